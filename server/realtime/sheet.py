"""Many messages of one pattern and length, read at once: unmasked and compared by numpy."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

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

    __slots__ = (
        "_below",
        "_columns",
        "_fixed",
        "_head",
        "_like",
        "_number",
        "_pad",
        "_part",
        "size",
    )

    def __init__(self, message: bytes, number: range, below: int, part: range) -> None:
        self._number, self._below, self._part = number, below, part
        self.size = FRAME_HEAD + len(message)
        """Bytes of the whole frame."""
        self._head = np.frombuffer(MASKED + len(message).to_bytes(2, "big"), np.uint32)[0]
        """How it begins."""
        self._pad = bytes(-self.size % 8)
        """Between two frames it makes each begin with a word."""
        fixed = np.zeros(len(message) + len(self._pad), np.uint8)
        fixed[: len(message)] = 0xFF
        fixed[number.start : number.stop] = fixed[part.start : part.stop] = 0
        like = np.frombuffer(message + self._pad, np.uint8) & fixed
        self._columns = np.flatnonzero(fixed.view(np.uint64))
        self._fixed = fixed.view(np.uint64)[self._columns]
        self._like = like.view(np.uint64)[self._columns]

    def read(self, frames: Sequence[bytes]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Read frames that are as long as `size`.

        Returns:
            (N,) the numbers, -1 where a message is not like the pattern; and (N, bytes) the binary
            parts.
        """
        padded = np.frombuffer(self._pad.join((*frames, b"")), np.uint32)
        halves = padded.reshape(len(frames), -1)
        # The last four bytes of the head are the key.
        body = halves[:, FRAME_HEAD // 4 :] ^ halves[:, FRAME_HEAD // 4 - 1, None]
        unlike = body.view(np.uint64).take(self._columns, axis=1)
        unlike &= self._fixed
        seqs = np.zeros(len(frames), np.int64)
        for at in self._number:
            seqs <<= 8
            seqs |= body.view(np.uint8)[:, at]
        wrong = (unlike != self._like).any(axis=1)
        wrong |= halves[:, 0] != self._head
        wrong |= seqs >= self._below
        seqs[wrong] = -1
        return seqs, np.ascontiguousarray(
            body.view(np.uint8)[:, self._part.start : self._part.stop]
        )
