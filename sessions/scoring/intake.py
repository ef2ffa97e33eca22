"""What arrived in one tick, as columns: one entry per record, in the order of arrival."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sessions.frames import (
    HEAD,
    MAX_RECORDS,
    MIRRORED,
    NO_HAND,
    REC,
    SIDES,
    SPACES,
    T0_MAX,
    UNITS,
    FrameMessage,
)
from sessions.scoring.palm import Reals, padded
from sessions.scoring.verdicts import ABSENT, NONFINITE, RANGE, REACH

_LEFT = np.array(SIDES.index("left"), np.uint8)
Block = tuple[NDArray[np.intp], NDArray[np.uint8]]
"""(n,) slots, and (n, bytes) a message of each, all of one length, rows without gaps."""
# As arrays: see `verdicts`.
_IMAGE = np.array(SPACES.index("image"), np.uint8)
_T0_MAX = np.array(T0_MAX, np.uint64)
_NO_HAND = np.array(NO_HAND, np.uint8)
_MIRRORED = np.array(MIRRORED, np.uint8)
# What nearly every record has: one number each, seen as often as any tick has records.
_METRES = np.broadcast_to(UNITS["world"], 1 << 40)
_SQUARE = np.broadcast_to(1.0, 1 << 40)


@dataclass(slots=True)
class Columns:
    """N records, each with the hand it belongs to. Recordings fill it without messages."""

    work: NDArray[np.intp]
    """(N,) index of the message that brought the record."""
    slot: NDArray[np.intp]
    """(N,)"""
    t_us: NDArray[np.int64]
    """(N,) capture time, 0 .. 2^62."""
    counter: NDArray[np.int64]
    """(N,) camera frame counter."""
    side: NDArray[np.uint8]
    """(N,) code of `frames.SIDES`."""
    flags: NDArray[np.uint8]
    """(N,) bits of the frame message."""
    score: NDArray[np.uint8]
    """(N,) confidence in steps of 1/255."""
    unit: NDArray[np.float64]
    """(N,) what one step of `lm` means: metres (world) or picture heights (image, in y)."""
    aspect: NDArray[np.float64]
    """(N,) width by height of the picture; 1 for world landmarks."""
    lm: NDArray[np.int16] | NDArray[np.float32]
    """(N, 21, 3) landmarks as sent."""

    def __len__(self) -> int:
        return len(self.slot)

    def take(self, index: NDArray[np.intp]) -> Self:
        """The records at `index`, in that order."""
        return type(self)(
            self.work[index],
            self.slot[index],
            self.t_us[index],
            self.counter[index],
            self.side[index],
            self.flags[index],
            self.score[index],
            self.unit[index],
            self.aspect[index],
            self.lm.take(index, axis=0),
        )

    def geometry(self, image: NDArray[np.bool_]) -> "Geometry":
        """Landmarks as right hands relative to their wrists, garbage replaced by zeros.

        Args:
            image: (N,) whether the landmarks are of the image space.
        """
        n = len(self)
        points = np.empty((3, 21, padded(n)), np.float32)
        points[:, :, n:] = 0.0
        inside = points[:, :, :n]
        inside[...] = self.lm.transpose(2, 1, 0)
        wrong: list[tuple[int, NDArray[np.bool_]]] = []
        flip = self.side == _LEFT
        if np.count_nonzero(self.flags):
            flip ^= (self.flags & _MIRRORED).astype(np.bool_)
            wrong.append((ABSENT, (self.flags & _NO_HAND).astype(np.bool_)))
        wide = self.unit * self.aspect
        reach = 32768.0 * float(np.maximum.reduce(wide))
        if self.lm.dtype != np.int16:
            nonfinite = np.logical_not(np.isfinite(self.lm).all(axis=(1, 2)))
            inside[:, :, nonfinite] = 0.0
            wrong.append((NONFINITE, nonfinite))
            reach = np.inf
        steps = np.zeros((3, 1, points.shape[-1]), np.float32)
        steps[1, 0, :n] = self.unit
        steps[::2, 0, :n] = wide
        if np.count_nonzero(flip):
            np.negative(steps[0, 0, :n], out=steps[0, 0, :n], where=flip)
        if reach > REACH[0]:
            # Compared before the multiplication: its result may lie outside a float32.
            limit = np.where(image, *REACH[::-1])
            size = np.abs(inside).max(axis=1)
            far = (size > limit / np.abs(steps[:, 0, :n])).any(axis=0)
            inside[:, :, far] = 0.0
            wrong.append((RANGE, far))
        points *= steps
        return Geometry(wrong, (points[:, 1:] - points[:, :1]).reshape(3, 5, 4, -1))


@dataclass(slots=True)
class Geometry:
    """Canonical landmarks of a tick and what was already seen to be wrong with them."""

    wrong: list[tuple[int, NDArray[np.bool_]]]
    """Verdicts, and the (N,) records that have each, in the order of the rules."""
    a: Reals
    """(3, 5, 4, M) wrist-relative right hands, M = N padded to the vector width."""


def columns_of(work: Sequence[tuple[int, FrameMessage]]) -> Columns:
    """The records of a tick's messages; at least one message."""
    return columns_of_plain([slot for slot, _ in work], [message.plain() for _, message in work])


def columns_of_plain(slots: Sequence[int], messages: Sequence[bytes | memoryview]) -> Columns:
    """The records of messages in bytes, of which each record has the known length."""
    return columns_of_blocks(blocks_of(slots, messages))


def blocks_of(slots: Sequence[int], messages: Sequence[bytes | memoryview]) -> list[Block]:
    """Messages in their order, those of one length behind one another as a block."""
    blocks, begin = [], 0
    for size, alike in groupby(map(len, messages)):
        end = begin + sum(1 for _ in alike)
        joined = np.frombuffer(b"".join(messages[begin:end]), np.uint8)
        blocks.append((np.array(slots[begin:end], np.intp), joined.reshape(-1, size)))
        begin = end
    return blocks


def columns_of_blocks(blocks: Sequence[Block]) -> Columns:
    """The records of blocks of messages; at least one."""
    slot, head, rec, counts = _parts(blocks)
    n = len(rec)
    of = np.arange(len(slot))
    if n > len(slot):
        of = of.repeat(counts)
        slot, head = slot[of], head.take(of)
    # Below the limit numbers with and without a sign have the same bits.
    t_us = np.minimum(head["t0"], _T0_MAX).view(np.int64)
    t_us += rec["dt"]
    counter = head["seq0"].astype(np.int64)
    counter += rec["dseq"]
    unit, aspect = _METRES[:n], _SQUARE[:n]
    image = head["space"] == _IMAGE
    if np.count_nonzero(image):
        unit, aspect = unit.copy(), aspect.copy()
        unit[image] = UNITS["image"]
        known = image & (head["width"] > 0) & (head["height"] > 0)
        np.divide(head["width"], head["height"], out=aspect, where=known)
    return Columns(
        of,
        slot,
        t_us,
        counter,
        rec["side"],
        rec["flags"],
        rec["score"],
        unit,
        aspect,
        rec["lm"],
    )


def _parts(
    blocks: Sequence[Block],
) -> tuple[NDArray[np.intp], NDArray[np.void], NDArray[np.void], int | NDArray[np.intp]]:
    """Slots (messages,), `HEAD` (messages,), `REC` (records,), records of all or each."""
    if len(blocks) == 1:
        slot, messages = blocks[0]
        count = _records(messages)
        whole = messages.view(_message(count))[:, 0]
        return slot, whole["head"], whole["rec"].reshape(-1), count
    slot = np.concatenate([slot for slot, _ in blocks])
    counts = np.repeat([_records(one) for _, one in blocks], [len(one) for _, one in blocks])
    # As bytes: concatenating structured arrays is an order of magnitude dearer.
    heads = np.concatenate([one[:, : HEAD.itemsize] for _, one in blocks])
    records = [one[:, HEAD.itemsize :].reshape(-1, REC.itemsize) for _, one in blocks]
    return slot, heads.view(HEAD)[:, 0], np.concatenate(records).view(REC)[:, 0], counts


def _records(messages: NDArray[np.uint8]) -> int:
    return int(messages.shape[1] - HEAD.itemsize) // REC.itemsize


@lru_cache(maxsize=MAX_RECORDS)
def _message(n: int) -> np.dtype[np.void]:
    """A message of n records."""
    return np.dtype([("head", HEAD), ("rec", REC, (n,))])


def in_rounds(slot: NDArray[np.intp]) -> tuple[NDArray[np.intp], list[int]]:
    """Order records so that round k holds the k-th record of every slot.

    Returns:
        (N,) the order, and the bounds of the rounds in it: round k is bounds[k] to bounds[k + 1].
    """
    n = len(slot)
    by_slot = np.argsort(slot, kind="stable")
    grouped = slot[by_slot]
    first = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]])
    rank = np.arange(n) - np.repeat(first, np.diff(np.r_[first, n]))
    order = np.argsort(rank, kind="stable")
    bounds = np.concatenate(([0], np.cumsum(np.bincount(rank)))).tolist()
    return by_slot[order], bounds
