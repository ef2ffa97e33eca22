"""Where in what the network brings WebSocket frames begin and end (RFC 6455, 5.2)."""

from collections.abc import Iterator
from typing import Any, Final

from aiohttp import WSMsgType

MASK: Final = 0x80
_TEXT, _BINARY = 0x81, 0x82
"""How frames begin that are a whole message."""
_SHORT: Final = 126
"""Of fewer bytes the second one of a frame tells how many they are."""


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
            behind = _end_of(data, at)
            if behind < 0:
                self._head = data[at:]
                self._left = 0
                return False
            if data[at] & 0x8F in (0x00, 0x01, 0x02, 0x80):  # not the last, or not the first
                self._parted = True
                return False
            at = behind
        self._left = at - end
        return not self._left


def _end_of(data: bytes, at: int) -> int:
    """Return where the frame that begins at a place ends; below 0 when its head is cut."""
    if at + 2 > len(data):
        return -1
    size, begin = data[at + 1] & 0x7F, at + 2
    if size >= _SHORT:
        begin += 2 if size == _SHORT else 8
        if begin > len(data):
            return -1
        size = int.from_bytes(data[at + 2 : begin], "big")
    return begin + size + (4 if data[at + 1] & MASK else 0)


def frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each frame begins and ends, as far as they are whole; the first one at 0."""
    at, behind = 0, _end_of(data, 0)
    while 0 <= behind <= len(data):
        yield at, behind
        at, behind = behind, _end_of(data, behind)


def small(data: bytes, at: int) -> tuple[WSMsgType, Any, int] | None:
    """Return a message of few bytes that begins at a place, and where it ends.

    None where there is something else. It is a fraction of the work of a parser that is ready for
    everything, and touches no memory but its own.
    """
    if at + 6 > len(data) or not MASK <= data[at + 1] < MASK + _SHORT:
        return None
    first, size = data[at], data[at + 1] - MASK
    begin = at + 6
    end = begin + size
    if end > len(data) or not _TEXT <= first <= _BINARY:
        return None
    mask = (data[at + 2 : begin] * (size // 4 + 1))[:size]
    number = int.from_bytes(data[begin:end], "big") ^ int.from_bytes(mask, "big")
    content = number.to_bytes(size, "big")
    if first == _BINARY:
        return WSMsgType.BINARY, content, end
    try:
        return WSMsgType.TEXT, content.decode(), end
    except UnicodeDecodeError:
        return None
