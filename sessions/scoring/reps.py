"""Repetition stage: what one closed cycle of the signal measures, in float64."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.detector import Cycle, Reversal
from sessions.scoring.features import FINGERS
from sessions.scoring.plan import SetPlan
from sessions.scoring.shape import (
    Pattern,
    Series,
    local_costs,
    offset,
    onset,
    resampled,
    standardised,
)
from sessions.scoring.smoothness import RATE, log_jerk, speed

MARGIN_S: Final = 4.0 / RATE
"""The slope needs so much signal before and after the repetition."""
_HOLE_US: Final = 200_000
"""A longer pause inside makes interpolated speeds an invention."""
_HALF_MIN: Final = 5
REACH_S: Final = 0.1
_REACH_SHARE: Final = 0.05
_COVER_MIN: Final = 0.8

MEASURED: Final = (
    *("t_on", "t_off", "duration", "dwell", "peak_speed", "mean_speed", "sparc", "ldlj"),
    *("shape", "finger_rom"),
)
"""What `measure` finds; all None for a repetition of which too little is known."""


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Frames of a hand still held, oldest first."""

    us: NDArray[np.int64]
    """(n,) capture times."""
    x: Series
    """(n,) primary signal."""
    channels: Series
    """(n, c) `tam` of the four fingers, then the features of the shape."""


def reach_us(cycle: Cycle) -> float:
    """How far about an extreme its level is taken, microseconds.

    An extreme of noisy samples lies outside the movement, on both ends of it: with 1 mm of noise
    amplitudes came out 4 to 13 % too large, of quiet hands 1 to 5 % too small. The mean over 0.1 s
    either way lies within 7 % from no noise to 1 mm; 5 % of the repetition keeps the tops of quick
    ones. Class and completeness stay with the extreme itself: it is what the child was shown.
    """
    return min(1e6 * REACH_S, _REACH_SHARE * (cycle.end.us - cycle.start.us))


def levels(past: Past, extremes: Sequence[Reversal], reach: float) -> list[float]:
    """Mean signal within `reach` microseconds of each extreme; its own where that is not held."""
    edges = [at.us + way for at in extremes for way in (-reach, reach + 1.0)]
    bounds = np.searchsorted(past.us, edges).tolist()
    return [
        float(past.x[first:last].sum()) / (last - first) if last > first else at.x
        for at, first, last in zip(extremes, bounds[::2], bounds[1::2], strict=True)
    ]


class Late(NamedTuple):
    """What of a repetition is quicker to work out together with others of the tick."""

    costs: Series | None
    """From which the shape follows; None if there is none."""
    halves: list[Series]
    """Speeds of its half-cycles, of which `sparc` is taken."""


NOTHING_LATE: Final = Late(None, [])


def measure(
    past: Past, cycle: Cycle, sign: float, guide: Pattern | None, scale: Series
) -> tuple[dict[str, Any], Late]:
    """Times, speeds, smoothness and finger excursions of a repetition.

    Args:
        past: reaches back to the start of the movement, else the times are None.
        cycle: from the detector.
        sign: +1 if x grows towards the target, else -1.
        guide: the guide's shape, or None.
        scale: (s,) degrees per unit of the shape's features.

    Returns:
        `MEASURED`, times in seconds since the start valley, `shape` and `sparc` still None; and
        what they follow from.
    """
    out: dict[str, Any] = dict.fromkeys(MEASURED)
    begin, end = cycle.start.us, cycle.end.us
    near = int(np.searchsorted(past.us, begin - _HOLE_US))
    us, channels = past.us[near:], past.channels[near:]
    t = (us - begin) / 1e6
    u = sign * past.x[near:]
    first, peak, last = np.searchsorted(us, (begin, cycle.peak.us, end)).tolist()
    if peak >= len(us) or us[peak] != cycle.peak.us:
        return out, NOTHING_LATE
    tams = channels[first : last + 1, : len(FINGERS)]
    out["finger_rom"] = dict(zip(FINGERS, (tams.max(0) - tams.min(0)).tolist(), strict=True))
    tops = sign * cycle.peak.x
    lows = sign * cycle.start.x, sign * cycle.end.x
    on = onset(t, u, first, peak, lows[0] + 0.1 * (tops - lows[0]))
    off = offset(t, u, peak, lows[1] + 0.1 * (tops - lows[1]))
    if on is None or off is None:
        return out, NOTHING_LATE
    out["t_on"], out["t_off"], out["duration"] = on, off, off - on
    high = tops - 0.1 * (tops - max(lows))
    out["dwell"] = _time_above(t[first : last + 1], u[first : last + 1], high)
    if (us[1:] - us[:-1]).max(initial=0) > _HOLE_US:
        return out, NOTHING_LATE
    grid = np.arange(int((end - begin) / 1e6 * RATE + 8.0 + 1e-6) + 1) / RATE - MARGIN_S
    from_, to = np.searchsorted(grid, t[0]), np.searchsorted(grid, t[-1], "right")
    grid = grid[from_:to]
    v = speed(np.interp(grid, t, u))
    at = grid[4 : 4 + len(v)]
    middle = (cycle.peak.us - begin) / 1e6
    rise, fall = np.searchsorted(at, (on, middle)).tolist()
    top, rest = np.searchsorted(at, (middle, off), "right").tolist()
    if rest > rise:
        moving = v[rise:rest]
        out["peak_speed"] = float(moving.max())
        out["mean_speed"] = float(moving.sum()) / len(moving)
    halves = [half for half in (v[rise:top], v[fall:rest]) if len(half) >= _HALF_MIN]
    jerks = [value for half in halves if (value := log_jerk(half)) is not None]
    out["ldlj"] = sum(jerks) / len(jerks) if jerks else None
    if guide is None:
        return out, Late(None, halves)
    shape = channels[:, len(FINGERS) : len(FINGERS) + len(scale)] * scale
    even = standardised(resampled(t, shape, on, off), guide)
    return out, Late(None if even is None else local_costs(even, guide.table), halves)


def _time_above(t: Series, u: Series, level: float) -> float:
    """Seconds that the polyline (t, u) spends at or above a level."""
    over = u - level
    a, b = over[:-1], over[1:]
    # What of each step lies above; a step that only touches the level counts as above.
    high = np.maximum(np.maximum(a, b), 0.0)
    whole = high - np.minimum(np.minimum(a, b), 0.0)
    share = np.divide(high, whole, out=np.ones_like(high), where=whole > 0.0)
    share *= t[1:] - t[:-1]
    return float(share.sum())


def judged(plan: SetPlan, cycle: Cycle, measured: dict[str, Any]) -> tuple[str, str | None]:
    """Class of a closed repetition, and why where it is rejected."""
    motion = plan.motion
    whole = (cycle.end.us - cycle.start.us) / 1e6
    if whole < motion.t_min:
        return "rejected", "too_short"
    if measured["duration"] is None or measured["duration"] > motion.t_max:
        return "rejected", "too_long"
    if cycle.end.n - cycle.start.n < _COVER_MIN * whole * plan.fps:
        return "rejected", "missing_frames"
    return ("full" if cycle.peak.z >= motion.full_at else "partial"), None


def entry(rep_no: int, cls: str, reason: str | None, peak: Reversal) -> dict[str, Any]:
    """A repetition as it is stored, its measures still to be filled in."""
    out: dict[str, Any] = {"rep_no": rep_no, "class": cls}
    if reason is not None:
        out["reason"] = reason
    out["t_us"] = peak.us
    out["amplitude"] = None
    out["completeness"] = 100.0 * min(max(peak.z, 0.0), 1.25)
    out |= dict.fromkeys(MEASURED)
    out["timing_error"] = None
    return out


def matched_peak(
    since_us: int, period_us: int, phases: tuple[float, ...], after: int
) -> tuple[int, float] | None:
    """The guide peak that a peak of the hand answers: the nearest not used yet.

    Args:
        since_us: time of the hand's peak since the guide's start.
        period_us: one guide cycle.
        phases: of the peaks in a cycle, 0..1, rising.
        after: lowest number of a guide peak that is still free.

    Returns:
        Its number and the hand's delay in seconds; None if none is free within half a cycle.
    """
    best: tuple[int, float] | None = None
    cycle = since_us // period_us
    for number in range(max((cycle - 1) * len(phases), after, 0), (cycle + 2) * len(phases)):
        turn, place = divmod(number, len(phases))
        late = (since_us - turn * period_us) - phases[place] * period_us
        if abs(late) <= 0.5 * period_us and (best is None or abs(late) < abs(best[1]) * 1e6):
            best = number, late / 1e6
    return best
