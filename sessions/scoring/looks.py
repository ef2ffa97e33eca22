"""How open sets stand now, many at a time: what players, watchers and lists are shown."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.marks import Advice, Live
from sessions.scoring.plan import SetPlan
from sessions.scoring.rounds import AnyBook
from sessions.scoring.sets import inverted
from sessions.scoring.state import State

_SECOND_US = 1_000_000
_MISSING_US = 1_000_000
GUIDED, HOLDING = 1, 2
"""What a motion may be, as bits."""

Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(slots=True, eq=False)
class Look:
    """Some open sets at their latest accepted frames; every column has a value for each set."""

    kind: NDArray[np.int8]
    """`GUIDED` and `HOLDING`, as far as its motion has a guide or is a hold."""
    begun: Bools
    """Whether there was an accepted frame; else nothing up to `held` means anything."""
    t_us: Integers
    z: NDArray[np.float32]
    sim: NDArray[np.float32]
    """0..100, where it is `GUIDED`."""
    quality: NDArray[np.float64]
    """Share of valid frames of the last second, 0..1."""
    held: NDArray[np.float64]
    """Seconds in the target so far, 0 outside; where it is `HOLDING`."""
    missing: Bools
    """No frame of the asked hand was accepted for a second of capture time."""
    inverted: Bools
    """The chirality seems to be told wrongly."""

    def lives(self, books: Sequence[AnyBook]) -> list[Live | None]:
        """Return what is shown of each set; None before there is an accepted frame."""
        columns = (self.begun, self.kind, self.t_us, self.z, self.sim, self.quality, self.held)
        rows = zip(books, *(column.tolist() for column in columns), strict=True)
        return [
            Live(
                t_us,
                z,
                sim if kind & GUIDED else None,
                quality,
                book.counts["full"],
                book.counts["partial"],
                held if kind & HOLDING else None,
            )
            if begun
            else None
            for book, begun, kind, t_us, z, sim, quality, held in rows
        ]

    def advices(self) -> list[Advice]:
        """Return how well each hand is tracked; silence is not seen here."""
        columns = (self.quality, self.missing, self.inverted)
        return list(map(Advice._make, zip(*(c.tolist() for c in columns), strict=True)))


class Looks:
    """Looks at the open sets of a state, at all that are asked for in one go."""

    def __init__(self, state: State) -> None:
        self._state = state
        # What of the plans is looked at, by slot.
        self._fps = np.zeros(0)
        self._kind = np.zeros(0, np.int8)

    def begin(self, slot: int, plan: SetPlan) -> None:
        """Take note of a set that was opened."""
        if slot >= len(self._fps):
            self._fps = np.resize(self._fps, self._state.capacity)
            self._kind = np.resize(self._kind, self._state.capacity)
        motion = plan.motion
        self._fps[slot] = plan.fps
        self._kind[slot] = GUIDED * motion.guided | HOLDING * (motion.kind == "hold")

    def at(self, slots: NDArray[np.intp]) -> Look:
        """Look at the sets in some slots."""
        state, kind = self._state, self._kind[slots]
        frames, signal_us, now = state.frames[slots], state.signal_us[slots], state.last_seen[slots]
        first_seen = state.first_seen[slots]
        held = np.zeros(len(slots))
        if (kind & HOLDING).any():
            np.divide(signal_us - state.held_us[slots], 1e6, out=held, where=state.inside[slots])
        since = np.where(state.begun[slots], state.last_us[slots], first_seen)
        tally = state.tally[slots]
        return Look(
            kind=kind,
            begun=frames > 0,
            t_us=signal_us,
            z=state.z[slots],
            sim=state.sim[slots],
            quality=self._valid_share(slots, frames, now, now - first_seen),
            held=held,
            missing=now - since >= _MISSING_US,
            inverted=inverted(tally[:, 1], tally[:, 2]),
        )

    def _valid_share(
        self, slots: NDArray[np.intp], frames: Integers, now: Integers, seen_us: Integers
    ) -> NDArray[np.float64]:
        """(n,) accepted frames of the last second by those the nominal rate promises, 0..1."""
        state, fps = self._state, self._fps[slots]
        length = state.ring_len[slots]
        # More than the rate promises says nothing more: the share ends at 1.
        valid = np.minimum(np.minimum(np.ceil(fps).astype(np.int64), length), frames)
        # Accepted times only rise: where the oldest is recent all are, and need not be looked at.
        oldest = state.ring_us[slots, (frames - valid) % length]
        late = np.flatnonzero(oldest <= now - _SECOND_US)
        if late.size:
            valid[late] = _recent(state, slots[late], frames[late], valid[late], now[late])
        elapsed = np.minimum(seen_us / 1e6, 1.0)
        return np.minimum(valid / np.maximum(fps * elapsed, 1.0), 1.0)


def _recent(
    state: State, slots: NDArray[np.intp], frames: Integers, looked_at: Integers, now: Integers
) -> Integers:
    """(n,) how many of the last so many frames of each slot are of the last second."""
    length = state.ring_len[slots]
    back = np.arange(1, int(looked_at.max(initial=0)) + 1)
    at = (frames % length)[:, None] - back
    at += (at < 0) * length[:, None]
    recent = state.ring_us[slots[:, None], at] > (now - _SECOND_US)[:, None]
    found: Integers = (recent & (back <= looked_at[:, None])).sum(axis=1)
    return found
