"""What is told many times a second, as msgpack: made once, for players and watchers alike.

These layouts are fixed: a number has the same width whatever its value. Every decoder reads it as
the same number (msgpack specification, "Formats").
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgpack
import numpy as np
from numpy.typing import NDArray

from sessions.scoring.looks import GUIDED, HOLDING, Look
from sessions.sets import OpenSet

pack: Callable[[Any], bytes] = msgpack.Packer().pack
"""One packer for all: making one costs as much as a message."""

_NIL = b"\xc0"
_NOT_BEGUN = -1
_KINDS: Final = {">u2": b"\xcd", ">u4": b"\xce", ">i8": b"\xd3", ">f8": b"\xcb"}
"""How msgpack announces what numpy calls so."""
_SCORE: Final = {
    "set_no": ">u2",
    "t_us": ">i8",
    "z": ">f8",
    "sim": ">f8",
    "quality": ">f8",
    "full": ">u4",
    "partial": ">u4",
    "held": ">f8",
}


class _Layout:
    """The map `score` of one kind of sets, as bytes in which only the values are missing."""

    def __init__(self, kind: int) -> None:
        keys = [key for key in _SCORE if key != "held" or kind & HOLDING]
        places: dict[str, int] = {}
        blank = bytes((0x80 | len(keys),))
        for key in keys:
            blank += pack(key)
            if key == "sim" and not kind & GUIDED:
                blank += _NIL
                continue
            blank += _KINDS[_SCORE[key]]
            places[key] = len(blank)
            blank += bytes(np.dtype(_SCORE[key]).itemsize)
        self._blank = blank
        self._dtype = np.dtype(
            {
                "names": list(places),
                "formats": [_SCORE[key] for key in places],
                "offsets": list(places.values()),
                "itemsize": len(blank),
            }
        )

    def filled(self, columns: Mapping[str, NDArray[Any]], count: int) -> list[bytes]:
        """Return so many maps with the values of the columns."""
        room = bytearray(self._blank * count)
        rows = np.frombuffer(room, self._dtype)
        for key in self._dtype.names or ():
            rows[key] = columns[key]
        # Four times as quick as a slice for each.
        told: list[bytes] = np.frombuffer(room, f"V{len(self._blank)}").tolist()
        return told


_LAYOUTS = [_Layout(kind) for kind in range(4)]


def packed_scores(sets: Sequence[OpenSet], look: Look) -> list[bytes]:
    """Return the event `score` of each set looked at; empty where no frame was accepted yet."""
    told = [b""] * len(sets)
    columns: dict[str, NDArray[Any]] = {
        "set_no": np.array([one.set_no for one in sets]),
        "t_us": look.t_us,
        "z": look.z,
        "sim": look.sim,
        "quality": look.quality,
        "full": np.array([one.full for one in sets]),
        "partial": np.array([one.partial for one in sets]),
        "held": look.held,
    }
    kinds = np.where(look.begun, look.kind, _NOT_BEGUN)
    for kind in set(kinds.tolist()) - {_NOT_BEGUN}:
        at = np.flatnonzero(kinds == kind)
        if at.size == len(sets):
            told = _LAYOUTS[kind].filled(columns, at.size)
            break
        here = {key: column[at] for key, column in columns.items()}
        for place, score in zip(at.tolist(), _LAYOUTS[kind].filled(here, at.size), strict=True):
            told[place] = score
    return told


_MARKS = struct.Struct(">11sq8sq")


def packed_marks(buffered: int, stored: int) -> bytes:
    """Return the event `ack`."""
    return _MARKS.pack(b"\x82\xa8buffered\xd3", buffered, b"\xa6stored\xd3", stored)


_NUMBERS = struct.Struct(">BQBI")
_SENT = struct.Struct(">B9sQ")
_NAMES = {name: pack(name) for name in ("score", "peak", "rep")}


def packed_feed(
    session: bytes, offset: int, frames: bytes, extra: Mapping[str, bytes], sent_us: int
) -> bytes:
    """Return the four arguments of the event `feed`.

    Args:
        session: the session's id, packed.
        extra: what goes with the frames, packed each.
    """
    parts = [
        session,
        _NUMBERS.pack(0xCF, offset, 0xC6, len(frames)),
        frames,
        _SENT.pack(0x81 + len(extra), b"\xa7sent_us\xcf", sent_us),
    ]
    for name, body in extra.items():
        parts += _NAMES[name], body
    return b"".join(parts)
