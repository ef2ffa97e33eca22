"""The messages of one turn of the loop that need no look of their own, read together at its end.

To take a message through the parser and its pattern costs some ten calls, each on memory that the
other clients' messages have pushed out of the cache meanwhile. A frame that looks from outside like
those before it is therefore only kept; at the end of the turn numpy unmasks and compares all of
them at once. A client's order is its own: whatever else it sends is looked at behind what is kept.
"""

from collections.abc import Callable
from typing import Protocol

from server.realtime.sheet import Sheet

FEW = 4
"""So many are read one by one: numpy would be dearer."""


class Kept(Protocol):
    """A line of which a frame is kept."""

    kept: Sheet | None
    """Where it is kept."""

    def receive(self, data: bytes) -> None:
        """Take what the network brought, by itself."""
        ...

    def came(self, seq: int, part: bytes, data: bytes) -> None:
        """Take a hot event, or the frame it was read from where none may be handled now."""
        ...


class Lane:
    """The frames that are kept, at most one of each line.

    Args:
        first: called with the first that is kept since `count` was last asked.
    """

    def __init__(self, first: Callable[[], None]) -> None:
        self._first = first
        self._since = 0
        self._by_sheet: dict[Sheet, tuple[list[Kept], list[bytes]]] = {}
        self.size = 0
        """How many are kept."""

    def keep(self, line: Kept, sheet: Sheet, data: bytes) -> None:
        """Keep a frame that looks like those of a sheet."""
        held = self._by_sheet.get(sheet)
        if held is None:
            held = self._by_sheet[sheet] = [], []
        held[0].append(line)
        held[1].append(data)
        line.kept = sheet
        self.size += 1
        if not self._since:
            self._first()
        self._since += 1

    def count(self) -> int:
        """Return how many were kept since this was last asked."""
        since, self._since = self._since, 0
        return since

    def give(self, line: Kept) -> bytes:
        """Give back the frame that is kept of a line."""
        sheet, line.kept = line.kept, None
        if sheet is None:
            return b""
        lines, frames = self._by_sheet[sheet]
        at = lines.index(line)
        del lines[at]
        self.size -= 1
        return frames.pop(at)

    def read(self) -> None:
        """Read what is kept."""
        by_sheet, self._by_sheet = self._by_sheet, {}
        self.size = 0
        for sheet, (lines, frames) in by_sheet.items():
            if len(lines) <= FEW:
                for line, data in zip(lines, frames, strict=True):
                    line.kept = None
                    line.receive(data)
                continue
            seqs, parts = sheet.read(frames)
            for line, seq, part, data in zip(lines, seqs, parts, frames, strict=True):
                line.kept = None
                if seq >= 0:
                    line.came(seq, part, data)
                else:
                    line.receive(data)


class Walk:
    """Follows the frames in what the network brings, to know when it ends with a whole message."""

    __slots__ = ("_head", "_left", "_parted")

    def __init__(self) -> None:
        self._left = 0
        """Bytes of the frame under way that are still to come."""
        self._head = b""
        """The beginning of a frame that was cut within its head."""
        self._parted = False
        """Whether a message came in several frames; who does that is not followed any more."""

    def follow(self, data: bytes) -> bool:
        """Return whether what came so far ends with a whole message."""
        if self._parted:
            return False
        if self._head:
            data, self._head = self._head + data, b""
        at, end = self._left, len(data)
        while at < end:
            size = data[at + 1] & 0x7F if at + 1 < end else 0
            wide = 2 if size == 126 else 8 if size == 127 else 0
            head = at + 2 + wide
            if head > end:
                self._head = data[at:]
                self._left = 0
                return False
            if data[at] & 0x8F in (0x00, 0x01, 0x02, 0x80):  # not the last, or not the first
                self._parted = True
                return False
            if wide:
                size = int.from_bytes(data[at + 2 : head], "big")
            at = head + size + (4 if data[at + 1] & 0x80 else 0)
        self._left = at - end
        return not self._left
