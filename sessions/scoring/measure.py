"""Repetition stage: what closed cycles of the signal measure, many at a time, in float64.

What looks at every sample is done for all cycles of a tick in one call of numpy, what looks at a
few in plain numbers. Nothing of a cycle depends on those beside it: everything is elementwise or
reduced over its own samples.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from math import ceil, floor, fsum, inf, nextafter
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.detector import Cycle
from sessions.scoring.features import FINGERS
from sessions.scoring.ragged import reduced
from sessions.scoring.reps import MEASURED
from sessions.scoring.shape import (
    Pattern,
    Series,
    Trace,
    local_costs,
    offset,
    onset,
    resampled,
    shape_score,
    standardised,
    warped_distances,
)
from sessions.scoring.smoothness import RATE, log_jerks, sparcs, speed

MARGIN_S: Final = 4.0 / RATE
"""The slope needs so much signal before and after the repetition."""
_HOLE_US: Final = 200_000
"""A longer pause inside makes interpolated speeds an invention."""
_HALF_MIN: Final = 5
_INSTANTS: Final = np.arange(600) / RATE - MARGIN_S
"""Of the first samples: few repetitions are longer."""
REACH_S: Final = 0.1
_REACH_SHARE: Final = 0.05


class Past(NamedTuple):
    """Frames of a hand still held, oldest first."""

    first: int
    """Frames with a signal before them, in the set."""
    us: NDArray[np.int64]
    """(n,) capture times."""
    x: NDArray[np.floating]
    """(n,) primary signal."""
    channels: NDArray[np.floating]
    """(n, c) `tam` of the four fingers, then the features of the shape."""


class Closed(NamedTuple):
    """A cycle to be measured."""

    past: Past
    """Reaches back to the start of the movement, else the times are None."""
    cycle: Cycle
    sign: float
    """+1 if x grows towards the target, else -1."""
    guide: Pattern | None
    scale: Series
    """(s,) degrees per unit of the shape's features."""


class Measured(NamedTuple):
    """What a cycle measures."""

    values: dict[str, Any]
    """`MEASURED`, times in seconds since the start valley."""
    levels: tuple[float, ...]
    """Of the signal about the valley before it, its peak and the valley after it."""


def measure(many: Sequence[Closed]) -> list[Measured]:
    """Times, speeds, smoothness, shape and finger excursions of repetitions."""
    courses = [Course(one) for one in many]
    held = [one for one in courses if one.peak >= 0]
    if held:
        _excursions(held)
    even = [one for one in held if one.timed() and not one.broken()]
    if even:
        _paces(even)
        _shapes([one for one in even if one.closed.guide is not None])
    return [Measured(one.values, one.levels) for one in courses]


def levels(us: Sequence[int], x: Sequence[float], cycle: Cycle) -> tuple[float, ...]:
    """Mean signal about each of the three reversals; its own where nothing about it is held.

    An extreme of noisy samples lies outside the movement, on both ends of it: with 1 mm of noise
    amplitudes came out 4 to 13 % too large, of quiet hands 1 to 5 % too small. The mean over 0.1 s
    either way lies within 7 % from no noise to 1 mm; 5 % of the repetition keeps the tops of quick
    ones. Class and completeness stay with the extreme itself: it is what the child was shown.
    """
    _, *turns = cycle
    reach = min(1e6 * REACH_S, _REACH_SHARE * (cycle.end.us - cycle.start.us))
    back, on = floor(reach), ceil(reach) + 1
    found = []
    for at in turns:
        first, stop = bisect_left(us, at.us - back), bisect_left(us, at.us + on)
        found.append(fsum(x[first:stop]) / (stop - first) if stop > first else at.x)
    return tuple(found)


class Course:
    """A cycle while it is measured: its samples as plain numbers, of which few are looked at."""

    def __init__(self, closed: Closed) -> None:
        past, cycle, sign = closed.past, closed.cycle, closed.sign
        self.closed = closed
        self.values: dict[str, Any] = dict.fromkeys(MEASURED)
        us, x = past.us.tolist(), past.x.tolist()
        self.levels = levels(us, x, cycle)
        self._u: list[float] = x if sign > 0.0 else [-value for value in x]
        self.near = bisect_left(us, cycle.start.us - _HOLE_US)
        """The first frame not parted from the start valley by a hole."""
        self.first = max(cycle.start.n - past.first, 0)
        self.peak = cycle.peak.n - past.first
        self.last = cycle.end.n - past.first
        self.t: Series = (past.us - cycle.start.us) / 1e6
        """(n,) seconds since the start valley."""
        self.u = past.x if sign > 0.0 else -past.x
        """(n,) signal that grows towards the target."""
        self.on = self.off = 0.0

    def timed(self) -> bool:
        """Find when the movement begins and ends; False if its start is no longer held."""
        closed, t, u = self.closed, self.t.tolist(), self._u
        start, top, end = (closed.sign * at.x for at in closed.cycle[1:])
        on = onset(t, u, self.first, self.peak, start + 0.1 * (top - start))
        off = offset(t, u, self.peak, end + 0.1 * (top - end))
        if on is None or off is None:
            return False
        self.on, self.off = on, off
        held = slice(self.first, self.last + 1)
        dwell = _time_above(t[held], u[held], top - 0.1 * (top - max(start, end)))
        self.values |= {"t_on": on, "t_off": off, "duration": off - on, "dwell": dwell}
        return True

    def broken(self) -> bool:
        """Whether there is a hole in the frames."""
        us = self.closed.past.us[self.near :]
        return bool(np.count_nonzero(us[1:] - us[:-1] > _HOLE_US))


def _time_above(t: Sequence[float], u: Sequence[float], level: float) -> float:
    """Seconds that the polyline (t, u) spends at or above a level."""
    spent = 0.0
    for begin, end, a, b in zip(t, t[1:], u, u[1:], strict=False):
        if a >= level and b >= level:
            spent += end - begin
        elif a > level or b > level:
            spent += (end - begin) * ((max(a, b) - level) / abs(a - b))
    return spent


def _excursions(courses: Sequence[Course]) -> None:
    """Largest less smallest `tam` of each finger."""
    count = len(FINGERS)
    parts = [one.closed.past.channels[one.first : one.last + 1, :count] for one in courses]
    starts = list(accumulate(map(len, parts[:-1]), initial=0))
    whole = np.concatenate(parts)
    high, low = np.maximum.reduceat(whole, starts), np.minimum.reduceat(whole, starts)
    spans = np.subtract(high, low, dtype=np.float64).tolist()
    for one, span in zip(courses, spans, strict=True):
        one.values["finger_rom"] = dict(zip(FINGERS, span, strict=True))


def _paces(courses: Sequence[Course]) -> None:
    """Speeds from `on` to `off`, and the smoothness of both halves, the peak in each."""
    v, cuts = _speeds(courses)
    halves = [half for rise, fall, top, rest in cuts for half in ((rise, top), (fall, rest))]
    tops = reduced(np.maximum, v, [(rise, rest) for rise, _, _, rest in cuts])
    sums = reduced(np.add, v, [(rise, rest) for rise, _, _, rest in cuts])
    jerks = log_jerks(v, halves)
    long = [k for k, (a, b) in enumerate(halves) if b - a >= _HALF_MIN]
    arcs = dict(zip(long, sparcs([v[slice(*halves[k])] for k in long]), strict=True))
    for k, (one, (rise, _, _, rest)) in enumerate(zip(courses, cuts, strict=True)):
        if rest > rise:
            one.values["peak_speed"], one.values["mean_speed"] = tops[k], sums[k] / (rest - rise)
        own = [half for half in (2 * k, 2 * k + 1) if half in arcs]
        one.values["ldlj"] = _mean([jerks[half] for half in own])
        one.values["sparc"] = _mean([arcs[half] for half in own])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _speeds(courses: Sequence[Course]) -> tuple[Series, list[tuple[int, int, int, int]]]:
    """Speeds at `RATE` of all courses, one after the other.

    Returns:
        (n,) speeds; and for each course the places in it of the first sample from `on` and from
        the peak on, and of those behind the peak and behind `off`.
    """
    parts, cuts, place = [], [], 0
    for one in courses:
        t, cycle = one.t, one.closed.cycle
        middle, seconds = t.item(one.peak), (cycle.end.us - cycle.start.us) / 1e6
        begin = max(_sample_from(t.item(one.near)), 0)
        stop = min(_sample_behind(t.item(-1)), int(seconds * RATE + 8.0 + 1e-6) + 1)
        count = max(stop - begin - 8, 0)
        wanted = (
            *(_sample_from(one.on), _sample_from(middle)),
            *(_sample_behind(middle), _sample_behind(one.off)),
        )
        rise, fall, top, rest = (place + min(max(n - begin - 4, 0), count) for n in wanted)
        cuts.append((rise, fall, top, rest))
        # Three samples to spare: places behind a part must be places.
        at = _instants(begin, begin + count + 11)
        parts.append(np.interp(at, t[one.near :], one.u[one.near :]))
        place += len(at)
    return speed(np.concatenate(parts)), cuts


def _instants(begin: int, stop: int) -> Series:
    """(stop - begin,) seconds since the start valley, of samples by their numbers."""
    if stop <= len(_INSTANTS):
        return _INSTANTS[begin:stop]
    return np.arange(begin, stop) / RATE - MARGIN_S


def _sample_from(t: float) -> int:
    """Number of the first sample at or after an instant, seconds since the start valley."""
    number = ceil((t + MARGIN_S) * RATE) - 1
    while number / RATE - MARGIN_S < t:
        number += 1
    return number


def _sample_behind(t: float) -> int:
    """Number of the first sample after an instant."""
    return _sample_from(nextafter(t, inf))


def _shapes(courses: Sequence[Course]) -> None:
    """Likeness to the guides."""
    count = len(FINGERS)
    traces, guides, scales = [], [], []
    for one in courses:
        past, _, _, guide, scale = one.closed
        if guide is not None:
            guides.append(guide)
            scales.append(scale)
            values = past.channels[:, count : count + len(scale)]
            traces.append(Trace(one.t, values, one.on, one.off))
    if not guides:
        return
    rows = resampled(traces)
    rows *= np.concatenate(scales)[:, None]
    shaped = [
        (one, local_costs(even, guide.table))
        for one, guide, even in zip(courses, guides, standardised(rows, guides), strict=True)
        if even is not None
    ]
    found = warped_distances([costs for _, costs in shaped]) if shaped else []
    for (one, _), distance in zip(shaped, found, strict=True):
        one.values["shape"] = shape_score(distance, len(one.closed.scale))
