"""Many messages of one pattern and length, read at once: unmasked and compared by numpy."""

from collections.abc import Sequence
from typing import Final

import numpy as np

MASKED: Final = b"\x82\xfe"
"""How a frame begins that is a whole binary message, masked, of 126 to 65 535 bytes (RFC 6455,
5.2)."""
FRAME_HEAD: Final = 8
"""Bytes of such a frame before its content: the last four are its key."""


def fits(message: bytes) -> bool:
    """Tell whether a message has a length that such a frame tells."""
    return 126 <= len(message) <= 0xFFFF


class Sheet:
    """What is the same in all messages of a pattern that are as long as one of them.

    Args:
        message: one of them.
        number: places of the bytes of its number, big-endian, at most four.
        below: what numbers there are less than.
        part: places of the bytes of its binary part.
    """

    __slots__ = ("_below", "_columns", "_fixed", "_like", "_number", "_part", "head", "size")

    def __init__(self, message: bytes, number: range, below: int, part: range) -> None:
        self._number, self._below, self._part = number, below, part
        self.size = FRAME_HEAD + len(message)
        """Bytes of the whole frame."""
        self.head = MASKED + len(message).to_bytes(2, "big")
        """How it begins."""
        fixed = np.zeros(-(-len(message) // 8) * 8, np.uint8)
        fixed[: len(message)] = 0xFF
        fixed[number.start : number.stop] = fixed[part.start : part.stop] = 0
        like = np.zeros_like(fixed)
        like[: len(message)] = np.frombuffer(message, np.uint8)
        self._columns = np.flatnonzero(fixed.view(np.uint64))
        self._fixed = fixed.view(np.uint64)[self._columns]
        self._like = like.view(np.uint64)[self._columns] & self._fixed

    def read(self, frames: Sequence[bytes]) -> tuple[list[int], list[bytes]]:
        """Read frames that are as long as `size` and begin with `head`.

        Returns:
            The numbers, -1 where a message is not like the pattern; and the binary parts.
        """
        whole = np.frombuffer(b"".join(frames), np.uint8).reshape(-1, self.size)
        words = np.zeros((len(whole), -(-self.size // 8) - 1), np.uint64)
        body = words.view(np.uint8)
        body[:, : self.size - FRAME_HEAD] = whole[:, FRAME_HEAD:]
        halves = words.view(np.uint32)
        halves ^= whole[:, FRAME_HEAD - 4 : FRAME_HEAD].copy().view(np.uint32)
        seqs = np.zeros(len(whole), np.int64)
        for at in self._number:
            seqs = seqs << 8 | body[:, at]
        unlike = (words.take(self._columns, axis=1) & self._fixed) != self._like
        seqs[unlike.any(axis=1) | (seqs >= self._below)] = -1
        first, stop = self._part.start, self._part.stop
        parts = body[:, first:stop].tobytes()
        length = stop - first
        return seqs.tolist(), [parts[at : at + length] for at in range(0, len(parts), length)]
