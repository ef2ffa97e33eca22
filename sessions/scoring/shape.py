"""Shape of a repetition beside the guide's: dynamic time warping of both, in degrees."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from math import exp, fsum, inf, sqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.plan import GUIDE_PHASES, Motion

SAMPLES: Final = 64
BAND: Final = 6
_SPREAD: Final = 20.0
Series = NDArray[np.float64]

_WIDTH = 2 * BAND + 1
_STEPS = np.linspace(0.0, 1.0, SAMPLES)
_OFFSETS = np.arange(-BAND, BAND + 1)[:, None]
_INSIDE = np.clip(np.arange(SAMPLES) + _OFFSETS, 0, SAMPLES - 1)
_OUTSIDE = np.arange(SAMPLES) + _OFFSETS != _INSIDE
_MIDDLE = SAMPLES - 1
"""The diagonal, by the sum of both samples, in the middle of a table."""


def _diagonal(d: int) -> list[list[int]]:
    """Cells of diagonal `d` in a flat table closed by an infinite one; and of its mirror image."""
    cells = []
    # The offsets of a diagonal are all even or all odd.
    for k in range((d + BAND) % 2, _WIDTH, 2):
        i = (d + BAND - k) // 2
        inside = 0 <= i < SAMPLES and 0 <= d - i < SAMPLES
        here, there = k * SAMPLES + i, (_WIDTH - 1 - k) * SAMPLES + SAMPLES - 1 - i
        cells.append([here, there] if inside else [_WIDTH * SAMPLES] * 2)
    return cells


_EVENS = np.array([_diagonal(d) for d in range(0, _MIDDLE, 2)])
"""(32, 7, 2) cells of the diagonals before the middle one."""
_ODDS = np.array([_diagonal(d) for d in range(1, _MIDDLE, 2)])
"""(31, 6, 2)"""
_MIDDLES = np.array(_diagonal(_MIDDLE))[:, 0]
"""(6,)"""


def onset(
    t: Sequence[float], u: Sequence[float], first: int, peak: int, level: float
) -> float | None:
    """Last instant from sample `first` to `peak` at which the polyline (t, u) is at or under."""
    for i in range(peak - 1, first - 1, -1):
        if u[i] <= level:
            return _crossing(t, u, i, i + 1, level)
    return None


def offset(t: Sequence[float], u: Sequence[float], peak: int, level: float) -> float | None:
    """First instant after sample `peak` at which the polyline (t, u) is at or under `level`."""
    for i in range(peak + 1, len(u)):
        if u[i] <= level:
            return _crossing(t, u, i, i - 1, level)
    return None


def _crossing(t: Sequence[float], u: Sequence[float], under: int, over: int, level: float) -> float:
    rise = u[over] - u[under]
    if rise <= 0.0:
        return t[under]
    return t[under] + (t[over] - t[under]) * ((level - u[under]) / rise)


class Trace(NamedTuple):
    """A movement of which the shape is looked at."""

    t: Series
    """(n,) seconds, rising."""
    values: NDArray[np.floating]
    """(n, c) its features."""
    start: float
    """Seconds, within those times; so is `end`."""
    end: float


def resampled(traces: Sequence[Trace]) -> Series:
    """(rows, 64) values at equal steps from start to end, linear in between.

    Each feature of each movement has a row; a number depends on its own row alone.
    """
    spans = np.array([(one.start, one.end) for one in traces])
    at = spans[:, :1] + _STEPS * (spans[:, 1:] - spans[:, :1])
    before = np.empty(at.shape, np.intp)
    widths: list[int] = []
    bases: list[int] = []
    base = 0
    for k, one in enumerate(traces):
        n, c = one.values.shape
        before[k] = one.t[1:-1].searchsorted(at[k], "right")
        widths.append(c)
        bases += range(base, base + n * c, n)
        base += n * c
    t = np.concatenate([one.t for one in traces])
    begins = list(accumulate((len(one.t) for one in traces[:-1]), initial=0))
    here = before + np.array(begins)[:, None]
    since = t.take(here)
    share = (at - since) / (t.take(here + 1) - since)
    flat = np.concatenate([one.values.T.reshape(-1) for one in traces], dtype=np.float64)
    place = before.repeat(widths, axis=0) + np.array(bases)[:, None]
    known = flat.take(place)
    rise: Series = flat.take(place + 1)
    rise -= known
    rise *= share.repeat(widths, axis=0)
    rise += known
    return rise


def guide_shape(motion: Motion, sign: float) -> Series | None:
    """(64, c) the guide's first repetition, trimmed as a player's is; None if it has none.

    Args:
        motion: whose guide is meant.
        sign: +1 if the primary signal grows towards the target, else -1.
    """
    if not len(motion.shape_features) or not motion.guide_peaks:
        return None
    signal = sign * (motion.guide.astype(np.float64) @ motion.primary.astype(np.float64))
    near = round(motion.guide_peaks[0] * GUIDE_PHASES)
    reach = GUIDE_PHASES // len(motion.guide_peaks)
    around = (near + np.arange(-reach, reach + 1)) % GUIDE_PHASES
    u, t = signal[around].tolist(), np.arange(2.0 * reach + 1.0)
    before, after = u[: reach + 1], u[reach:]
    low = before.index(min(before))
    start = onset(t.tolist(), u, low, reach, _low_level(min(before), u[reach]))
    end = offset(t.tolist(), u, reach, _low_level(min(after), u[reach]))
    if start is None or end is None:
        return None
    values = motion.guide[around][:, motion.shape_features] * motion.shape_scale
    return resampled([Trace(t, values, start, end)]).T


def _low_level(valley: float, peak: float) -> float:
    return valley + 0.1 * (peak - valley)


class Pattern(NamedTuple):
    """A guide's shape as repetitions are compared with it."""

    table: Series
    """(c, 13, 64) as `banded` gives it."""
    mean: Series
    """(c,) of its features."""
    size: float
    """Root of the sum of squared differences from those means."""


@lru_cache(maxsize=64)
def pattern_of(motion: Motion, sign: float) -> Pattern | None:
    """A motion's `guide_shape` as a pattern, shared by all hands that play it."""
    guide = guide_shape(motion, sign)
    return None if guide is None else pattern(guide)


def pattern(guide: Series) -> Pattern:
    """What repetitions are compared with, of a guide's shape (64, c)."""
    mean = guide.mean(axis=0)
    return Pattern(banded(guide), mean, float(np.linalg.norm(guide - mean)))


def standardised(rows: Series, guides: Sequence[Pattern]) -> list[Series | None]:
    """Movements at their guides' places and of their sizes; None for one that stands still.

    How far a movement goes says its completeness; the shape must not say it again, nor that a
    tracker's world landmarks show an open hand bent. One gain serves all features, so the part
    that each takes still counts.

    Args:
        rows: (rows, 64) of one movement after the other.
        guides: of each movement, with a feature for each of its rows.

    Returns:
        (c, 64) of each.
    """
    away: Series = rows - rows.sum(axis=1, keepdims=True) / SAMPLES
    squares = (away * away).sum(axis=1).tolist()
    out: list[Series | None] = []
    first = 0
    for guide in guides:
        stop = first + len(guide.mean)
        size = sqrt(fsum(squares[first:stop]))
        if size > 1e-9:
            even = away[first:stop] * (guide.size / size)
            even += guide.mean[:, None]
            out.append(even)
        else:
            out.append(None)
        first = stop
    return out


def banded(guide: Series) -> Series:
    """(c, 13, 64) of a guide (64, c): for each sample those it may be matched with.

    The first feature is infinite outside the guide.
    """
    table: Series = np.ascontiguousarray(guide.T[:, _INSIDE])
    table[0, _OUTSIDE] = inf
    return table


def local_costs(a: Series, guide: Series) -> Series:
    """Squared distances of a repetition to the samples of the guide within the band.

    Args:
        a: (c, 64)
        guide: (c, 13, 64) as `banded` gives it.

    Returns:
        (13, 64), infinite outside the guide.
    """
    apart = a[:, None] - guide
    apart *= apart
    cost: Series = apart.sum(axis=0)
    return cost


def warped_distances(costs: Sequence[Series]) -> list[float]:
    """Root of the least sum of local costs over warping paths, for each table (13, 64).

    Steps of one sample in either or both. All tables are gone through together, diagonal by
    diagonal and from both corners at once, until both meet on the middle diagonal or step over it;
    each table's numbers are its own.
    """
    tables = np.full((_WIDTH * SAMPLES + 1, len(costs)), inf)
    for k, cost in enumerate(costs):
        tables[:-1, k] = cost.reshape(-1)
    evens = tables.take(_EVENS, axis=0).reshape(len(_EVENS), -1)
    odds = tables.take(_ODDS, axis=0).reshape(len(_ODDS), -1)
    # The least sums up to the cells of the last two diagonals, of even and of odd offsets. These
    # have a cell more on each side, so that every even one lies between two of them.
    cell = 2 * len(costs)
    even, odd = np.full(7 * cell, inf), np.full(8 * cell, inf)
    low, high = even[:-cell], even[cell:]
    left, right, inner = odd[:-cell], odd[cell:], odd[cell:-cell]
    best = np.empty_like(even)
    fewer = best[:-cell]
    # The first diagonal is one cell, with nothing before it.
    even[3 * cell : 4 * cell] = evens[0, 3 * cell : 4 * cell]
    # As `np.minimum` without NaN, but it takes its output by place, which is quicker.
    least, add = np.fmin, np.add
    for own, between in zip(evens[1:], odds, strict=True):
        least(low, high, fewer)
        least(inner, fewer, inner)
        add(inner, between, inner)
        least(left, right, best)
        least(even, best, even)
        add(even, own, even)
    return _met(even.reshape(7, 2, -1), inner.reshape(6, 2, -1), tables.take(_MIDDLES, axis=0))


def _met(even: Series, odd: Series, middle: Series) -> list[float]:
    """Roots of the least sums over paths that cross the middle diagonal; ways there and back."""
    back_even, back_odd = even[::-1, 1], odd[::-1, 1]
    there = np.minimum(np.minimum(even[:-1, 0], even[1:, 0]), odd[:, 0])
    back = np.minimum(np.minimum(back_even[:-1], back_even[1:]), back_odd)
    on = (there + middle + back).min(axis=0)
    over = (even[:, 0] + back_even).min(axis=0)
    found: list[float] = np.sqrt(np.minimum(on, over)).tolist()
    return found


def shape_score(distance: float, features: int) -> float:
    """0..100 likeness of two movements, by the warped distance over so many features."""
    rms = distance / sqrt(SAMPLES * features)
    return 100.0 * exp(-((rms / _SPREAD) ** 2))
