"""Shape of a repetition beside the guide's: dynamic time warping of both, in degrees."""

from collections.abc import Sequence
from functools import lru_cache
from math import exp, inf, sqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.plan import GUIDE_PHASES, Motion

SAMPLES: Final = 64
BAND: Final = 6
_SPREAD: Final = 20.0
Series = NDArray[np.float64]

_WIDTH = 2 * BAND + 1
_MANY = 3
"""From so many tables on, going along the diagonals of all at once is quicker."""
_STEPS = np.linspace(0.0, 1.0, SAMPLES)
_ROWS = np.arange(SAMPLES)[:, None]
_OFFSETS = np.arange(-BAND, BAND + 1)
_INSIDE = np.clip(_ROWS + _OFFSETS, 0, SAMPLES - 1)
_OUTSIDE = (_ROWS + _OFFSETS < 0) | (_ROWS + _OFFSETS >= SAMPLES)


def _diagonals() -> NDArray[np.intp]:
    """(127, 15) where in a flat table, closed by one infinite cell, each diagonal's cells lie."""
    out = np.full((2 * SAMPLES - 1, _WIDTH + 2), SAMPLES * _WIDTH)
    for i, k in zip(*np.nonzero(~_OUTSIDE), strict=True):
        out[2 * i + k - BAND, k + 1] = i * _WIDTH + k
    return out


_DIAGONALS = _diagonals()


def onset(t: Series, u: Series, first: int, peak: int, level: float) -> float | None:
    """Last instant from sample `first` to `peak` at which the polyline (t, u) is at or under."""
    below = np.flatnonzero(u[first:peak] <= level)
    if not below.size:
        return None
    i = first + int(below[-1])
    return _crossing(t, u, i, i + 1, level)


def offset(t: Series, u: Series, peak: int, level: float) -> float | None:
    """First instant after sample `peak` at which the polyline (t, u) is at or under `level`."""
    below = np.flatnonzero(u[peak + 1 :] <= level)
    if not below.size:
        return None
    i = peak + 1 + int(below[0])
    return _crossing(t, u, i, i - 1, level)


def _crossing(t: Series, u: Series, under: int, over: int, level: float) -> float:
    rise = float(u[over] - u[under])
    if rise <= 0.0:
        return float(t[under])
    return float(t[under] + (t[over] - t[under]) * ((level - u[under]) / rise))


def resampled(t: Series, values: Series, start: float, end: float) -> Series:
    """(64, c) values (n, c) at equal steps from start to end, linear in between."""
    at = start + _STEPS * (end - start)
    out = np.empty((SAMPLES, values.shape[1]))
    for column, known in zip(out.T, values.T, strict=True):
        column[:] = np.interp(at, t, known)
    return out


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
    u, t = signal[around], np.arange(2.0 * reach + 1.0)
    peak = reach
    before, after = u[: peak + 1], u[peak:]
    low = int(before.argmin())
    start = onset(t, u, low, peak, _low_level(float(before.min()), float(u[peak])))
    end = offset(t, u, peak, _low_level(float(after.min()), float(u[peak])))
    if start is None or end is None:
        return None
    values = motion.guide[around][:, motion.shape_features] * motion.shape_scale
    return resampled(t, values.astype(np.float64), start, end)


class Pattern(NamedTuple):
    """A guide's shape as repetitions are compared with it."""

    table: Series
    """(c, 64, 13) as `banded` gives it."""
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


def standardised(a: Series, guide: Pattern) -> Series | None:
    """A repetition (64, c) at the guide's place and of the guide's size; None if it stands still.

    How far a movement goes says its completeness; the shape must not say it again, nor that a
    tracker's world landmarks show an open hand bent. One gain serves all features, so the part
    that each takes still counts.
    """
    away: Series = a - a.sum(axis=0) / SAMPLES
    size = sqrt(float((away * away).sum()))
    if size <= 1e-9:
        return None
    away *= guide.size / size
    away += guide.mean
    return away


def _low_level(valley: float, peak: float) -> float:
    return valley + 0.1 * (peak - valley)


def banded(guide: Series) -> Series:
    """(c, 64, 13) of a guide (64, c): for each sample those it may be matched with."""
    return np.ascontiguousarray(guide.T[:, _INSIDE])


def local_costs(a: Series, guide: Series) -> Series:
    """Squared distances of a repetition to the samples of the guide within the band.

    Args:
        a: (64, c)
        guide: (c, 64, 13) as `banded` gives it.

    Returns:
        (64, 13), infinite outside the guide.
    """
    apart = a.T[:, :, None] - guide
    apart *= apart
    cost: Series = apart.sum(axis=0)
    cost[_OUTSIDE] = inf
    return cost


def warped_distances(costs: Sequence[Series]) -> list[float]:
    """Root of the least sum of local costs over warping paths, for each table (64, 13).

    Steps of one sample in either or both; every table alone or all together: the same numbers.
    """
    if len(costs) < _MANY:
        return [_warped_alone(cost) for cost in costs]
    tables = np.full((SAMPLES * _WIDTH + 1, len(costs)), inf)
    tables[:-1] = np.stack(costs, axis=-1).reshape(-1, len(costs))
    diagonals = tables[_DIAGONALS]
    last, before = diagonals[0], np.full_like(diagonals[0], inf)
    for diagonal in diagonals[1:]:
        best = np.minimum(last[:-2], last[2:])
        np.minimum(best, before[1:-1], out=best)
        diagonal[1:-1] += best
        last, before = diagonal, last
    found: list[float] = np.sqrt(last[BAND + 1]).tolist()
    return found


def _warped_alone(cost: Series) -> float:
    # One short row at a time: plain floats beat arrays of 13.
    above = [inf] * (_WIDTH + 1)
    above[BAND] = 0.0
    for row in cost.tolist():
        here = [inf] * (_WIDTH + 1)
        left = inf
        for k, local in enumerate(row):
            best = above[k]
            if above[k + 1] < best:
                best = above[k + 1]
            if left < best:
                best = left
            left = here[k] = best + local
        above = here
    return sqrt(above[BAND])


def shape_score(distance: float, features: int) -> float:
    """0..100 likeness of two movements, by the warped distance over so many features."""
    rms = distance / sqrt(SAMPLES * features)
    return 100.0 * exp(-((rms / _SPREAD) ** 2))
