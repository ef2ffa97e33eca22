"""A set in the middle as bytes: it goes on in another batch, of another process, to the last bit.

A snapshot fits the layout it was made by. Every field of the state, its type and its shape take
part in the number that names the layout, so that a build with another one refuses the snapshot
and scores the set again from its frames.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, Final

import msgpack
import numpy as np
from numpy.typing import NDArray

from sessions.scoring.layout import FIELDS, RINGS
from sessions.scoring.plan import SCHEMA, SetPlan
from sessions.scoring.rounds import AnyBook
from sessions.scoring.state import State

VERSION: Final = 3
"""Raised when the same fields come to mean something else."""


class SnapshotError(ValueError):
    """A snapshot that cannot be taken up: damaged, of another layout, or of another set."""


def _layout() -> str:
    """Name of what `packed` writes, the same for the same fields."""
    shapes = [
        (name, np.dtype(kind).descr, before, after)
        for name, (kind, before, after) in sorted((FIELDS | RINGS).items())
    ]
    told = repr((VERSION, SCHEMA, shapes)).encode()
    return sha256(told).hexdigest()[:16]


LAYOUT: Final = _layout()
_ROW: Final = np.dtype(
    [
        (name, kind, before + after)
        for name, (kind, before, after) in sorted(FIELDS.items())
        if name not in ("motion", "hist")
    ]
)
"""What is kept of a slot as one: not the motion's number, which is the batch's own."""
_BIN: Final = np.uint16
_pack: Callable[[Any], bytes] = msgpack.Packer().pack


def packed(state: State, books: Sequence[AnyBook]) -> list[bytes]:
    """Bytes of the sets of some books, side by side."""
    held = _dumps(state, [book.slot for book in books])
    return [_pack(_content(book, dump)) for book, dump in zip(books, held, strict=True)]


def restore(state: State, slot: int, held: dict[str, bytes]) -> None:
    """Take up the state of a snapshot, in a slot `assign`ed to the same set.

    Raises:
        ValueError: the bytes are not as many as the slot has.
        KeyError: something is missing.
    """
    (row,) = np.frombuffer(held["row"], _ROW)
    for name in _ROW.names or ():
        getattr(state, name)[(slice(None),) * len(FIELDS[name][1]) + (slot,)] = row[name]
    places, counts = np.frombuffer(held["bins"], _BIN), np.frombuffer(held["counts"], np.uint32)
    bins = state.hist[slot].reshape(-1)
    if len(places) != len(counts) or (places >= bins.size).any():
        raise ValueError("bins of the histogram that there are not")
    bins[places] = counts
    # How many frames the rings hold is known by now.
    for name, ring in _rings(state, slot).items():
        ring[...] = np.frombuffer(held[name], ring.dtype).reshape(ring.shape)


def _dumps(state: State, slots: Sequence[int]) -> list[dict[str, bytes]]:
    """Bytes of everything some slots hold; of the rings what is written."""
    # Field by field for all slots: one by one the indexing alone takes as long as the rest.
    at, rows = np.array(slots, np.intp), np.empty(len(slots), _ROW)
    for name in _ROW.names or ():
        field = getattr(state, name)
        rows[name] = field[:, at].T if FIELDS[name][1] else field[at]
    return [
        {
            "row": row.tobytes(),
            **_bins(state, slot),
            **{name: ring.tobytes() for name, ring in _rings(state, slot).items()},
        }
        for slot, row in zip(slots, rows, strict=True)
    ]


def _bins(state: State, slot: int) -> dict[str, bytes]:
    """The histograms, of which a hand visits one bin in three: each byte is sent as well."""
    bins = state.hist[slot].reshape(-1)
    places = np.flatnonzero(bins)
    return {"bins": places.astype(_BIN).tobytes(), "counts": bins[places].tobytes()}


def _rings(state: State, slot: int) -> dict[str, NDArray[Any]]:
    """Views of what is written of a slot's rings."""
    length, width = int(state.ring_len[slot]), int(state.ring_width[slot])
    written = min(int(state.frames[slot]), length)
    rings: dict[str, NDArray[Any]] = {}
    for name, (_, _, after) in RINGS.items():
        ring = getattr(state, name)[slot, :written]
        rings[name] = ring[:, :width] if after else ring
    return rings


def _content(book: AnyBook, held: dict[str, bytes]) -> dict[str, Any]:
    plan = book.plan
    return {
        "layout": LAYOUT,
        "set": _identity(plan),
        "anchors": [plan.rest, plan.target],
        "state": held,
        "book": book.dump(),
    }


def unpacked(plan: SetPlan, data: bytes) -> dict[str, Any]:
    """What a snapshot holds, checked against the plan of the set that it should be of.

    Raises:
        SnapshotError: it does not fit.
    """
    try:
        found = msgpack.unpackb(data)
        layout, identity = found["layout"], found["set"]
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise SnapshotError(f"not a snapshot of a set: {error}") from None
    if layout != LAYOUT:
        raise SnapshotError(f"layout {layout} is not {LAYOUT}")
    if identity != _identity(plan):
        raise SnapshotError("the snapshot is of another set")
    held: dict[str, Any] = found
    return held


def _identity(plan: SetPlan) -> list[Any]:
    """What must be the same on both sides; anchors may have moved since the set began."""
    return [
        plan.motion.sha256,
        plan.side,
        plan.space,
        plan.fps,
        plan.guide_t0_us,
        plan.guide_period_us,
        plan.palm_mm,
    ]
