"""A set in the middle as bytes: it goes on in another batch, of another process, to the last bit.

A snapshot fits the layout it was made by. Every field of the state, its type, its shape and the
row it lies in take part in the number that names the layout, so that a build with another one
refuses the snapshot and scores the set again from its frames.

The bytes are a msgpack map, and behind it each repetition.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgpack
import numpy as np
from numpy.typing import NDArray

from sessions.scoring.book import ahead
from sessions.scoring.layout import FIELDS, RINGS, ROW_TYPES, ROWS, ring_type
from sessions.scoring.plan import SCHEMA, SetPlan
from sessions.scoring.rounds import AnyBook
from sessions.scoring.state import EXT, HOLD, REPS, RISING, VALLEY, State

VERSION: Final = 4
"""Raised when the same fields come to mean something else."""


class SnapshotError(ValueError):
    """A snapshot that cannot be taken up: damaged, of another layout, or of another set."""


def _layout() -> str:
    """Name of what `Snapshots` writes, the same for the same fields."""
    shapes = [
        (name, np.dtype(kind).descr, before, after)
        for name, (kind, before, after) in sorted((FIELDS | RINGS).items())
    ]
    rows = [(name, row.descr) for name, row in sorted(ROW_TYPES.items())]
    told = repr((VERSION, SCHEMA, shapes, rows)).encode()
    return sha256(told).hexdigest()[:16]


LAYOUT: Final = _layout()
_ALONE: Final = sorted(
    FIELDS.keys() - {"hist"} - {name for names in ROWS.values() for name in names}
)
"""Fields that lie by themselves."""
_KEPT: Final = np.dtype(
    [
        *ROW_TYPES.items(),
        *((name, FIELDS[name][0], FIELDS[name][1] + FIELDS[name][2]) for name in _ALONE),
    ]
)
"""What is kept of a slot as one: whole rows, then field by field."""
_PAIR: Final = np.uint64
"""Two bins of the histograms: half as many to look through, and neighbours are visited alike."""
_PLACE: Final = np.uint16
_WORD: Final = np.uint32
_HEAD: Final = ring_type(0).itemsize // np.dtype(_WORD).itemsize
"""Words of a frame before its channels."""
_pack: Callable[[Any], bytes] = msgpack.Packer().pack


class Snapshots:
    """Makes the snapshots of the sets of one state."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._reps: WeakKeyDictionary[AnyBook, tuple[int, bytes]] = WeakKeyDictionary()
        """How many repetitions of each book are packed; none changes any more."""

    def of(self, books: Sequence[AnyBook]) -> list[bytes]:
        """Bytes of the sets of some books, side by side; for use between two ticks."""
        held = _dumps(self._state, books)
        return [self._packed(book, dump) for book, dump in zip(books, held, strict=True)]

    def _packed(self, book: AnyBook, state: dict[str, bytes]) -> bytes:
        plan, kept = book.plan, book.dump()
        reps = kept.pop("reps")
        told = {
            "layout": LAYOUT,
            "set": _identity(plan),
            "anchors": [plan.rest, plan.target],
            "state": state,
            "book": kept,
            "reps": len(reps),
        }
        done, packed = self._reps.get(book, (0, b""))
        if done < len(reps):
            packed += b"".join(map(_pack, reps[done:]))
            self._reps[book] = len(reps), packed
        return _pack(told) + packed


def restore(state: State, slot: int, held: dict[str, bytes]) -> None:
    """Take up the state of a snapshot, in a slot `assign`ed to the same set.

    Raises:
        ValueError: the bytes are not as many as the slot has.
        KeyError: something is missing.
    """
    motion = state.motion[slot]
    row = np.frombuffer(held["row"], _KEPT)
    if len(row) != 1:
        raise ValueError("more than one row")
    for rows in ROWS:
        _plain(getattr(state, rows))[slot] = _plain(row[rows])[0]
    for name in _ALONE:
        getattr(state, name)[(slice(None),) * len(FIELDS[name][1]) + (slot,)] = row[name][0]
    state.motion[slot] = motion
    places, counts = np.frombuffer(held["bins"], _PLACE), np.frombuffer(held["counts"], _PAIR)
    pairs = state.hist[slot].reshape(-1).view(_PAIR)
    if len(places) != len(counts) or (places >= pairs.size).any():
        raise ValueError("bins of the histogram that there are not")
    pairs[places] = counts
    # How many frames the rings hold is known by now.
    ring, width = _words(state)[slot], _HEAD + int(state.ring_width[slot])
    past = np.frombuffer(held["past"], _WORD).reshape(-1, _HEAD)
    now = np.frombuffer(held["now"], _WORD).reshape(-1, width)
    n, length = int(state.frames[slot]), int(state.ring_len[slot])
    if not 0 < length <= len(ring) or len(past) + len(now) != min(n, length):
        raise ValueError("frames of the ring that there are not")
    ring[np.arange(n - len(past) - len(now), n - len(now)) % length, :_HEAD] = past
    ring[np.arange(n - len(now), n) % length, :width] = now


def _dumps(state: State, books: Sequence[AnyBook]) -> list[dict[str, bytes]]:
    """Bytes of everything the slots of some books hold that is still needed."""
    # Field by field for all slots: one by one the indexing alone takes as long as the rest.
    at, rows = np.array([book.slot for book in books], np.intp), np.empty(len(books), _KEPT)
    for name in ROWS:
        _plain(rows[name])[:] = _plain(getattr(state, name)).take(at)
    rows["terms"]["motion"] = 0  # the number that the batch has given it
    for name in _ALONE:
        field = getattr(state, name)
        rows[name] = field.take(at, axis=1).T if FIELDS[name][1] else field.take(at, axis=0)
    parts = zip(rows, _bins(state, at), _frames(state, at, rows, books), strict=True)
    return [{"row": row.tobytes(), **bins, **frames} for row, bins, frames in parts]


def _plain(rows: NDArray[Any]) -> NDArray[Any]:
    """Structures as plain bytes: numpy copies those in one go, and structures field by field."""
    return rows.view(f"V{rows.itemsize}")


def _bins(state: State, at: NDArray[np.intp]) -> Iterator[dict[str, bytes]]:
    """The histograms, of which a hand visits one bin in three: each byte is sent as well."""
    pairs = state.hist.reshape(state.capacity, -1).view(_PAIR).take(at, axis=0)
    size, pairs = pairs.shape[1], pairs.reshape(-1)
    # What is no zero is told first: of truth values numpy finds the places quicker.
    visited = np.flatnonzero(pairs != 0)
    ends = visited.searchsorted(np.arange(len(at) + 1) * size).tolist()
    places, counts = (visited % size).astype(_PLACE).tobytes(), pairs.take(visited).tobytes()
    p, c = np.dtype(_PLACE).itemsize, np.dtype(_PAIR).itemsize
    for a, b in pairwise(ends):
        yield {"bins": places[p * a : p * b], "counts": counts[c * a : c * b]}


def _frames(
    state: State, at: NDArray[np.intp], rows: NDArray[np.void], books: Sequence[AnyBook]
) -> Iterator[dict[str, bytes]]:
    """What is written of the rings: what is told of every frame, all of those still needed."""
    words = _words(state)
    n, length, width = rows["frames"], rows["ring_len"], rows["ring_width"]
    oldest = np.maximum(n - length, 0)
    first = np.clip(_first_needed(rows, books), oldest, n)
    columns = (column.tolist() for column in (at, length, width, oldest, first, n))
    for slot, size, channels, begin, middle, end in zip(*columns, strict=True):
        ring = words[slot, :size]
        yield {
            "past": _span(ring[:, :_HEAD], begin, middle),
            "now": _span(ring[:, : _HEAD + channels], middle, end),
        }


def _words(state: State) -> NDArray[np.uint32]:
    """(slots, length, words) view of the rings."""
    rings = state.rings
    return rings.view(_WORD).reshape(*rings.shape, rings.itemsize // np.dtype(_WORD).itemsize)


def _span(ring: NDArray[np.uint32], first: int, stop: int) -> bytes:
    """Frames `first` to `stop` of a set, of which the ring holds the last ones."""
    begin = first % len(ring)
    over = begin + stop - first - len(ring)
    held = ring[begin : begin + stop - first].tobytes()
    return held + ring[:over].tobytes() if over > 0 else held


def _first_needed(rows: NDArray[np.void], books: Sequence[AnyBook]) -> NDArray[np.int64]:
    """(n,) the first frame of each set whose channels may still be measured."""
    n, turned, kind = rows["frames"], rows["reversals"]["n"], rows["terms"]["kind"]
    # A repetition begins at the last valley while it is under way, else where the signal turns.
    under_way = rows["pending"] | (rows["phase"] == RISING)
    begin = np.where(under_way, turned[:, VALLEY], turned[:, EXT])
    begin = np.minimum(begin, n) - [ahead(book.plan) for book in books]
    hold = np.where(rows["inside"], rows["held_n"], n)
    needed: NDArray[np.int64] = np.where(kind == REPS, begin, np.where(kind == HOLD, hold, n))
    return needed


def unpacked(plan: SetPlan, data: bytes) -> dict[str, Any]:
    """What a snapshot holds, checked against the plan of the set that it should be of.

    Raises:
        SnapshotError: it does not fit.
    """
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    try:
        found = unpacker.unpack()
        layout, identity = found["layout"], found["set"]
        reps = list(unpacker)
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise SnapshotError(f"not a snapshot of a set: {error}") from None
    if layout != LAYOUT:
        raise SnapshotError(f"layout {layout} is not {LAYOUT}")
    if identity != _identity(plan):
        raise SnapshotError("the snapshot is of another set")
    if found["reps"] != len(reps):
        raise SnapshotError("repetitions are missing")
    found["book"]["reps"] = reps
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
