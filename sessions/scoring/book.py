"""The repetitions of one set: closing, judging and keeping them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sessions.scoring.detector import Cycle, reversal
from sessions.scoring.measure import Closed, Measured, Past, levels, measure
from sessions.scoring.plan import SetPlan
from sessions.scoring.reps import entry, judged, matched_peak
from sessions.scoring.sets import SPAN_REPS
from sessions.scoring.shape import Series, pattern_of
from sessions.scoring.state import EXT, NEVER, PEAK, VALLEY, State

AHEAD_S = 0.2
"""Seconds before the start of a movement that its slope needs, with some to spare."""

_TOGETHER = 32
"""Of more the tables leave the processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class _Settled:
    """What was measured of a repetition before it closed."""

    values: dict[str, Any]
    x: Series
    """Signal of its frames."""
    start: float
    """Levels of the signal about the valley before it and about its peak."""
    peak: float

    def now(self, closed: Closed) -> Measured:
        """The same with the valley after it, of which the last frames tell."""
        us, x = closed.past.us.tolist(), closed.past.x.tolist()
        return Measured(self.values, (self.start, self.peak, levels(us, x, closed.cycle)[2]))


class Closing(NamedTuple):
    """A repetition that closed in this tick; measured and judged together with the others."""

    book: "Book"
    rep: dict[str, Any]
    """Its place among the repetitions, filled in at the end of the tick."""
    closed: Closed
    settled: _Settled | None


def finish(state: State, waiting: Sequence[Closing]) -> None:
    """Measure, judge and fill in what closed, in the order in which it did."""
    for first in range(0, len(waiting), _TOGETHER):
        some = waiting[first : first + _TOGETHER]
        fresh = [one.closed for one in some if one.settled is None]
        found = iter(measure(fresh) if fresh else ())
        for one in some:
            measured = one.settled.now(one.closed) if one.settled else next(found)
            one.book.fill_in(state, one, measured)


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
        self._settled: _Settled | None = None
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
            else [settled.values, settled.x.tobytes(), settled.start, settled.peak],
        }

    def restore(self, held: dict[str, Any]) -> None:
        """Take up what `dump` gave."""
        self.reps = held["reps"]
        self.spans = [np.frombuffer(x) for x in held["spans"]]
        self.counts = held["counts"]
        if held["settled"] is not None:
            values, x, *about = held["settled"]
            self._settled = _Settled(values, np.frombuffer(x), *about)

    def settle(self, state: State) -> None:
        """Measure the pending repetition while the ring still holds its start.

        A child may rest for minutes before the next repetition confirms that the last one ended.
        Called when the start valley is about to leave the ring; often the movement began much
        later, then this only notes until when the ring will do.
        """
        slot = self.slot
        start, peak = reversal(state, VALLEY, slot), reversal(state, PEAK, slot)
        past = self._past(state, 0)
        low = self._sign * (start.x + 0.1 * (peak.x - start.x))
        x = self._sign * past.x[: max(peak.n - past.first, 0)].astype(np.float64)
        below = np.flatnonzero(x <= low)
        state.settle_at[slot] = NEVER
        if not below.size:
            return
        needed = past.first + int(below[-1]) - self._ahead
        if needed > past.first:
            state.settle_at[slot] = needed + int(state.ring_len[slot])
        else:
            closed = self._closed(past, Cycle(-1, start, peak, reversal(state, EXT, slot)))
            (found,) = measure([closed])
            self._settled = _Settled(found.values, _signal(closed), *found.levels[:2])

    def close(self, state: State, rep_no: int, cycle: Cycle) -> Closing:
        """Take the frames of a repetition before they are overwritten, and keep its place."""
        settled, self._settled = self._settled, None
        past = self._past(state, cycle.end.n if settled else cycle.start.n)
        rep: dict[str, Any] = {"rep_no": rep_no}
        self.reps.append(rep)
        return Closing(self, rep, self._closed(past, cycle), settled)

    def fill_in(self, state: State, closing: Closing, measured: Measured) -> None:
        """Judge a repetition by what was measured of it."""
        rep, cycle, settled = closing.rep, closing.closed.cycle, closing.settled
        values, (start, peak, end) = measured
        cls, reason = judged(self.plan, cycle, values)
        rep |= entry(rep["rep_no"], cls, reason, cycle.peak)
        rep["amplitude"] = self._sign * (peak - 0.5 * (start + end))
        rep |= values
        origin = int(state.guide_t0[self.slot])
        for key in ("t_on", "t_off"):
            if rep[key] is not None:
                rep[key] += (cycle.start.us - origin) / 1e6
        if reason is None:
            self.counts[cls] += 1
            rep["timing_error"] = self._timing(state, cycle.peak.us - origin)
            if len(self.spans) < SPAN_REPS:
                self.spans.append(settled.x if settled else _signal(closing.closed))

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
        frames, length = int(state.frames[slot]), int(state.ring_len[slot])
        first = max(first - self._ahead, frames - length, 0)
        begin = first % length
        stop = begin + frames - first
        ring = state.rings[slot]
        if stop <= length:
            rows = ring[begin:stop].copy()
        else:
            rows = np.concatenate((ring[begin:length], ring[: stop - length]))
        return Past(first, rows["ring_us"], rows["ring_x"], rows["ring_f"])

    def _closed(self, past: Past, cycle: Cycle) -> Closed:
        return Closed(past, cycle, self._sign, self._guide, self._scale)

    def _timing(self, state: State, since_us: int) -> float | None:
        period, phases = int(state.guide_period[self.slot]), self.plan.motion.guide_peaks
        match = matched_peak(since_us, period, phases, int(state.guide_at[self.slot]))
        if match is None:
            return None
        state.guide_at[self.slot] = min(match[0] + 1, NEVER)
        return match[1]


def _signal(closed: Closed) -> Series:
    """x from valley to valley, as far as it is held."""
    past, cycle = closed.past, closed.cycle
    first, stop = max(cycle.start.n - past.first, 0), cycle.end.n - past.first + 1
    return past.x[first : max(stop, 0)].astype(np.float64)
