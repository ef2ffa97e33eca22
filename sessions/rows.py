"""The sessions of an engine as columns, for the frames that a tick takes of many of them at once.

A session is some dozen objects, and a thousand sessions do not stay in the processor's cache. Of a
frame that is like the one before, it is enough to compare a few numbers and to keep its bytes: that
is done here for all by numpy. A session is told of its frames when it next does anything, at the
latest when they are appended (`Session.catch_up`).
"""

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

S = TypeVar("S")
"""What a row is of: a session, of which nothing is known here."""
Ints = NDArray[np.int64]
Block = tuple[Ints, NDArray[np.uint8]]
"""(n,) rows, and (n, bytes) a frame message of each, all as long as one another."""

RING: Final = 16
"""Messages of a session that lie here at most: half a second of one frame each."""
LARGEST: Final = 1024
"""Bytes of a message that is taken so."""
SHAPE_BYTES: Final = 8
_BIN16: Final = 0xC5
_HEAD: Final = 3
"""Bytes before a message in the ring: together they are a msgpack `bin 16`, as chunks have it."""
_NOBODY: Final = -1
_NO_SLOT: Final = -1
_INTS: Final = ("key", "next", "stop", "size", "shape", "count", "slot", "turn", "watched")
_START: Final = 64


class Rows(Generic[S]):
    """One row for each session. Only who holds the key of a row has its frames taken.

    Args:
        score_s: period of the scores a player is told, seconds.
    """

    def __init__(self, score_s: float) -> None:
        self._score_s = score_s
        self.sessions: list[S | None] = []
        """By row."""
        self.fresh: list[Block] = []
        """What was taken and is not scored yet, before anything else of its sessions."""
        self._free: list[int] = []
        self._ints: Ints = np.zeros((len(_INTS), 0), np.int64)
        self._floats: NDArray[np.float64] = np.zeros((2, 0))
        self._ring: NDArray[np.uint8] = np.zeros((0, _HEAD), np.uint8)
        self._grow(_START, _HEAD)

    def _grow(self, rows: int, width: int) -> None:
        had, wide = self._ints.shape[1], self._ring.shape[1]
        ints = np.zeros((len(_INTS), rows), np.int64)
        floats, ring = np.zeros((2, rows)), np.zeros((rows * RING, width), np.uint8)
        ints[:, :had], floats[:, :had] = self._ints, self._floats
        ring[: had * RING, :wide] = self._ring
        self._ints, self._floats, self._ring = ints, floats, ring
        self._key, self._next, self._stop, self._size, self._shape = ints[:5]
        self._count, self.slot, self._turn, self.watched = ints[5:]
        self._score_at, self._phase = floats
        self.sessions += [None] * (rows - had)
        self._free += range(rows - 1, had - 1, -1)
        self._key[had:] = _NOBODY
        self.slot[had:] = _NO_SLOT

    # -- sessions

    def enter(self, session: S, turn: int, phase: float) -> int:
        """Return a row for a session.

        Args:
            turn: at which turn its frames are appended.
            phase: where in the period of the scores its own come, 0..1.
        """
        if not self._free:
            self._grow(2 * len(self.sessions), self._ring.shape[1])
        row = self._free.pop()
        self.sessions[row] = session
        self._count[row] = self.watched[row] = 0
        self.slot[row] = _NO_SLOT
        self._turn[row], self._phase[row], self._score_at[row] = turn, phase, 0.0
        return row

    def leave(self, row: int) -> None:
        """Free a row."""
        self.shut(row)
        self.sessions[row] = None
        self._free.append(row)

    def place(self, row: int, slot: int | None) -> None:
        """Have the frames of a row scored in this slot from now on; None for not at all."""
        self.slot[row] = _NO_SLOT if slot is None else slot

    def watch(self, rows: Sequence[int]) -> None:
        """Take note of all the rows that are watched."""
        self.watched[:] = 0
        self.watched[list(rows)] = 1

    def open(self, row: int, key: int, seq: int, like: bytes) -> None:
        """Take the frames of a row from number `seq` on that are like this message."""
        size = len(like)
        if size + _HEAD > self._ring.shape[1]:
            self._grow(len(self.sessions), size + _HEAD)
        self._key[row], self._next[row], self._size[row] = key, seq, size
        self._shape[row] = int.from_bytes(like[:SHAPE_BYTES], "little", signed=True)
        self._ring[row * RING : (row + 1) * RING, :_HEAD] = _BIN16, *size.to_bytes(2, "big")

    def limit(self, row: int, stop: int) -> None:
        """Take none with a number from `stop` on."""
        self._stop[row] = stop

    def shut(self, row: int) -> None:
        """Take nothing more. What was taken is drained before."""
        self._key[row] = _NOBODY

    # -- frames

    def take(
        self, rows: Ints, keys: Ints, seqs: Ints, parts: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """Take frame messages that are the next of their sessions, and like the one before.

        Args:
            rows, keys: (N,) as `Session.berth` told them; no row twice.
            seqs: (N,) their numbers.
            parts: (N, bytes) the messages.

        Returns:
            (N,) which were taken. Of the others nothing is known here.
        """
        size = parts.shape[1]
        if size < SHAPE_BYTES:
            return np.zeros(len(parts), np.bool_)
        shape = np.ascontiguousarray(parts[:, :SHAPE_BYTES]).view("<i8")[:, 0]
        taken: NDArray[np.bool_] = self._key[rows] == keys
        taken &= self._next[rows] == seqs
        taken &= self._stop[rows] > seqs
        taken &= self._size[rows] == size
        taken &= self._shape[rows] == shape
        if not taken.all():
            rows, seqs, parts = rows[taken], seqs[taken], parts[taken]
            if not rows.size:
                return taken
        self._next[rows] = seqs + 1
        self._count[rows] += 1
        self._ring[rows * RING + seqs % RING, _HEAD : _HEAD + size] = parts
        self.fresh.append((rows, parts))
        return taken

    def count(self, row: int) -> int:
        """Return how many messages of a row its session was not told of."""
        return int(self._count[row])

    def drain(self, rows: Sequence[int]) -> list[tuple[int, bytes]]:
        """Return the messages of each row that its session was not told of, and forget them.

        As many more may be taken from now on, unless `limit` says less.

        Returns:
            How many, and as msgpack one behind the other.
        """
        if not rows:
            return []
        at = np.array(rows)
        counts, sizes = self._count[at], self._size[at]
        self._count[at] = 0
        self._stop[at] += counts
        if (sizes != sizes[0]).any():
            return [
                (count, self._messages(at[n : n + 1], counts[n : n + 1]).tobytes())
                for n, count in enumerate(counts.tolist())
            ]
        messages = self._messages(at, counts)
        packed, size, begin = messages.tobytes(), messages.shape[1], 0
        drained = []
        for count in counts.tolist():
            drained.append((count, packed[begin : begin + count * size]))
            begin += count * size
        return drained

    def _messages(self, rows: Ints, counts: Ints) -> NDArray[np.uint8]:
        """Return the newest so many messages of some rows that are equally long."""
        ends = np.cumsum(counts)
        first = np.repeat(self._next[rows] - ends, counts)
        places = (first + np.arange(ends[-1])) % RING + np.repeat(rows * RING, counts)
        return self._ring[places, : _HEAD + int(self._size[rows[0]])]

    def holding(self, turn: int) -> list[S]:
        """Return the sessions of a turn that have messages here."""
        rows = np.flatnonzero((self._turn == turn) & (self._count > 0)).tolist()
        return [session for row in rows if (session := self.sessions[row]) is not None]

    @property
    def waiting(self) -> int:
        """How many sessions have messages here."""
        return int(np.count_nonzero(self._count))

    # -- scores

    def scores_due(self, rows: Ints, now: float) -> list[int]:
        """Return those of the rows that are to be told a score, each once; plan their next.

        Each is on a grid of its own, so that all together come evenly.
        """
        due = list(dict.fromkeys(rows[self._score_at[rows] <= now].tolist()))
        if due:
            at = np.array(due)
            since = (now - self._phase[at] * self._score_s) % self._score_s
            self._score_at[at] = now + self._score_s - since
        return due
