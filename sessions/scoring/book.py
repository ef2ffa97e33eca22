"""The repetitions of one set: closing, judging and keeping them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.detector import Cycle, reversal
from sessions.scoring.plan import SetPlan
from sessions.scoring.reps import (
    NOTHING_LATE,
    Late,
    Past,
    entry,
    judged,
    levels,
    matched_peak,
    measure,
    reach_us,
)
from sessions.scoring.sets import SPAN_REPS
from sessions.scoring.shape import (
    Series,
    pattern_of,
    shape_score,
    warped_distances,
)
from sessions.scoring.smoothness import sparcs
from sessions.scoring.state import EXT, NEVER, PEAK, VALLEY, State

AHEAD_S = 0.2
"""Seconds before the start of a movement that its slope needs, with some to spare."""

_TOGETHER = 32
"""Of more the tables leave the processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What was measured of a repetition while its frames were at hand."""

    values: dict[str, Any]
    late: Late
    """What is not among the values yet."""
    x: Series
    start: float
    """Levels of the signal about the valley before it, its peak and the valley after it."""
    peak: float
    end: float


@dataclass(frozen=True, slots=True, eq=False)
class Unshaped:
    """A closed repetition of which the rest is worked out together with others."""

    rep: dict[str, Any]
    late: Late
    features: int


def add_shapes(waiting: Sequence[Unshaped]) -> None:
    """Work out shape and smoothness of closed repetitions."""
    for first in range(0, len(waiting), _TOGETHER):
        _add_shapes(waiting[first : first + _TOGETHER])


def _add_shapes(waiting: Sequence[Unshaped]) -> None:
    shaped = [(one, one.late.costs) for one in waiting if one.late.costs is not None]
    found = warped_distances([costs for _, costs in shaped])
    for (one, _), distance in zip(shaped, found, strict=True):
        one.rep["shape"] = shape_score(distance, one.features)
    lengths = iter(sparcs([half for one in waiting for half in one.late.halves]))
    for one in waiting:
        known = [x for _ in one.late.halves if (x := next(lengths)) is not None]
        one.rep["sparc"] = sum(known) / len(known) if known else None


def ahead(plan: SetPlan) -> int:
    """`AHEAD_S` in frames."""
    return int(np.ceil(AHEAD_S * plan.fps)) + 2


class Book:
    """Finished repetitions of the hand in one slot, and what is needed to close the next."""

    def __init__(self, plan: SetPlan, slot: int) -> None:
        self.plan = plan
        self.slot = slot
        self.reps: list[dict[str, Any]] = []
        self.spans: list[Series] = []
        """x during the first valid repetitions."""
        self.counts: dict[str, int] = {"full": 0, "partial": 0}
        self._ahead = ahead(plan)
        self._settled: _Found | None = None
        self._sign = 1.0 if plan.target > plan.rest else -1.0
        self._guide = pattern_of(plan.motion, self._sign)
        self._scale: Series = plan.motion.shape_scale.astype(np.float64)

    def dump(self) -> dict[str, Any]:
        """What `restore` needs, in types that are packed without a loss."""
        settled = self._settled
        return {
            "reps": self.reps,
            "spans": [x.tobytes() for x in self.spans],
            "counts": self.counts,
            "settled": None
            if settled is None
            else [settled.values, settled.x.tobytes(), settled.start, settled.peak, settled.end],
        }

    def restore(self, held: dict[str, Any]) -> None:
        """Take up what `dump` gave."""
        self.reps = held["reps"]
        self.spans = [np.frombuffer(x) for x in held["spans"]]
        self.counts = held["counts"]
        if held["settled"] is not None:
            values, x, *about = held["settled"]
            # The shape of a movement that was settled is among its values already.
            self._settled = _Found(values, NOTHING_LATE, np.frombuffer(x), *about)

    def settle(self, state: State) -> None:
        """Measure the pending repetition while the ring still holds its start.

        A child may rest for minutes before the next repetition confirms that the last one ended.
        Called when the start valley is about to leave the ring; often the movement began much
        later, then this only notes until when the ring will do.
        """
        slot = self.slot
        start, peak = reversal(state, VALLEY, slot), reversal(state, PEAK, slot)
        past = self._past(state, 0)
        oldest = int(state.frames[slot]) - len(past.us)
        low = self._sign * (start.x + 0.1 * (peak.x - start.x))
        below = np.flatnonzero(self._sign * past.x[: max(peak.n - oldest, 0)] <= low)
        state.settle_at[slot] = NEVER
        if not below.size:
            return
        needed = oldest + int(below[-1]) - self._ahead
        if needed > oldest:
            state.settle_at[slot] = needed + int(state.ring_len[slot])
        else:
            found = self._measured(past, Cycle(-1, start, peak, reversal(state, EXT, slot)))
            add_shapes([Unshaped(found.values, found.late, len(self._scale))])
            self._settled = replace(found, late=NOTHING_LATE)

    def close(
        self, state: State, rep_no: int, cycle: Cycle, waiting: list[Unshaped]
    ) -> dict[str, Any]:
        """Measure, judge and keep a repetition; if it has a shape, that is left `waiting`."""
        start, peak, end = cycle.start, cycle.peak, cycle.end
        past = self._past(state, end.n if self._settled else start.n)
        late = self._settled is None
        found = self._settled or self._measured(past, cycle)
        self._settled = None
        cls, reason = judged(self.plan, cycle, found.values)
        rep = entry(rep_no, cls, reason, peak)
        low = found.end if late else levels(past, [end], reach_us(cycle))[0]
        rep["amplitude"] = self._sign * (found.peak - 0.5 * (found.start + low))
        rep |= found.values
        origin = int(state.guide_t0[self.slot])
        for key in ("t_on", "t_off"):
            if rep[key] is not None:
                rep[key] += (start.us - origin) / 1e6
        if reason is None:
            self.counts[cls] += 1
            rep["timing_error"] = self._timing(state, peak.us - origin)
            if len(self.spans) < SPAN_REPS:
                self.spans.append(found.x)
        self.reps.append(rep)
        if late:
            waiting.append(Unshaped(rep, found.late, len(self._scale)))
        return rep

    def interrupt(self, state: State, rep_no: int) -> dict[str, Any]:
        """Keep a repetition that a gap cut off; only its peak is known."""
        self._settled = None
        rep = entry(rep_no, "interrupted", "gap", reversal(state, PEAK, self.slot))
        self.reps.append(rep)
        return rep

    def metrics(self) -> dict[str, Any]:
        """Nothing beyond what every set says of its repetitions."""
        return {}

    def _past(self, state: State, first: int) -> Past:
        """What the ring holds from a little before frame `first` of the set on."""
        slot = self.slot
        held = state.recent(slot, int(state.frames[slot]) - first + self._ahead)
        at: NDArray[np.intp] | slice = held
        if held.size and held[0] <= held[-1]:
            at = slice(int(held[0]), int(held[-1]) + 1)
        return Past(
            state.ring_us[slot, at],
            state.ring_x[slot, at].astype(np.float64),
            state.ring_f[slot, at].astype(np.float64),
        )

    def _measured(self, past: Past, cycle: Cycle) -> _Found:
        first, last = np.searchsorted(past.us, (cycle.start.us, cycle.end.us + 1)).tolist()
        values, late = measure(past, cycle, self._sign, self._guide, self._scale)
        about = levels(past, [cycle.start, cycle.peak, cycle.end], reach_us(cycle))
        return _Found(values, late, past.x[first:last], *about)

    def _timing(self, state: State, since_us: int) -> float | None:
        period, phases = int(state.guide_period[self.slot]), self.plan.motion.guide_peaks
        match = matched_peak(since_us, period, phases, int(state.guide_at[self.slot]))
        if match is None:
            return None
        state.guide_at[self.slot] = min(match[0] + 1, NEVER)
        return match[1]
