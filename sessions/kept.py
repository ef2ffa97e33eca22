"""The frame messages of a session that wait for its next append, and the last of those before."""

import msgpack

from models.play.chunks import packed_messages

RECENT = 8
"""Frame messages kept for the snapshot of a joining watcher."""

_Part = tuple[int, bytes]
"""How many messages, and as elements of msgpack one behind the other."""


class Kept:
    """Messages without a hole, the last of them just before the session's cursor."""

    __slots__ = ("_parts", "_past", "_past_count", "count")

    def __init__(self) -> None:
        self._parts: list[_Part] = []
        self._past: list[_Part] = []
        self._past_count = 0
        self.count = 0
        """Messages that wait."""

    def add(self, message: bytes) -> None:
        """Add one."""
        self.extend(1, packed_messages([message]))

    def extend(self, count: int, packed: bytes) -> None:
        """Add some that are packed already."""
        self._parts.append((count, packed))
        self.count += count

    def end(self) -> bytes:
        """Begin anew; return what waited."""
        parts, count = self._parts, self.count
        ended = parts[0][1] if len(parts) == 1 else b"".join([packed for _, packed in parts])
        self._parts, self.count = [], 0
        self.passed(count, ended)
        return ended

    def passed(self, count: int, packed: bytes) -> None:
        """Remember some that do not wait, as those before what will be added."""
        past = self._past
        past.append((count, packed))
        held = self._past_count + count
        while held - past[0][0] >= RECENT:
            held -= past.pop(0)[0]
        self._past_count = held

    def recent(self) -> list[bytes]:
        """Return the last messages, oldest first."""
        unpacker = msgpack.Unpacker()
        for _, packed in (*self._past, *self._parts):
            unpacker.feed(packed)
        return list(unpacker)[-RECENT:]
