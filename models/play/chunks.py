"""Chunks of frame messages: what a session brings four times a second, and nearly all it brings."""

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import msgpack

from models.play.records import Item, Kind, field_head, utc

_packer = msgpack.Packer(datetime=True)
"""One packer for all: making one costs a third of packing a chunk."""
_pack: Callable[[Any], bytes] = _packer.pack

_TEXT16 = 0xDA
"""How msgpack announces a text of less than 65 536 bytes."""
_ID = struct.Struct(">5sBH")
_COUNT = struct.Struct(">6sQ3sI10sI")


class ChunkForm:
    """The chunks of one session, of which only the numbers and the messages are missing."""

    __slots__ = ("_id", "_id_bytes", "_session", "_session_id", "field")

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._session = _pack("session_id") + _pack(session_id)
        self._id = session_id.encode() + b":"
        self._id_bytes = len(self._id)
        self.field = field_head(Kind.CHUNK, session_id).encode()
        """How the name of a chunk's field begins; its last number follows."""

    def parts(self, seq0: int, count: int, packed: bytes, time_us: int) -> tuple[bytes, ...]:
        """Return the document of consecutive `frames` messages, to be joined.

        Args:
            seq0: the number of the first message.
            packed: so many messages exactly as they came, as elements `bin` of msgpack.
        """
        number = b"%d" % seq0
        return (
            # A map of six. Each number has the same width whatever its value.
            _ID.pack(b"\x86\xa3_id", _TEXT16, self._id_bytes + len(number)),
            self._id,
            number,
            self._session,
            _COUNT.pack(b"\xa4seq0\xcf", seq0, b"\xa1n\xce", count, b"\xa8messages\xdd", count),
            packed,
            _packed_at(time_us),
        )

    def item(self, seq0: int, count: int, packed: bytes, time_us: int) -> Item:
        """Return the same as an item."""
        document = b"".join(self.parts(seq0, count, packed, time_us))
        return Item(Kind.CHUNK, self._session_id, seq0 + count - 1, document)


def chunk_item(session_id: str, seq0: int, messages: Sequence[bytes], time_us: int) -> Item:
    """Consecutive `frames` messages exactly as they came, keyed by the first's number."""
    return ChunkForm(session_id).item(seq0, len(messages), packed_messages(messages), time_us)


def packed_messages(messages: Sequence[bytes]) -> bytes:
    """Return messages as elements `bin` of msgpack, one behind the other."""
    return b"".join(map(_pack, messages))


@lru_cache(maxsize=1)  # all chunks of an append have the same
def _packed_at(time_us: int) -> bytes:
    return _pack({"at": utc(time_us)})[1:]
