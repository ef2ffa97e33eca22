"""Shape of a repetition beside the guide's: dynamic time warping of both, in degrees."""

from math import exp, inf, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.plan import GUIDE_PHASES, Motion

SAMPLES: Final = 64
BAND: Final = 6
_SPREAD: Final = 20.0
Series = NDArray[np.float64]

_ROWS = np.arange(SAMPLES)[:, None]
_OFFSETS = np.arange(-BAND, BAND + 1)
_INSIDE = np.clip(_ROWS + _OFFSETS, 0, SAMPLES - 1)
_OUTSIDE = (_ROWS + _OFFSETS < 0) | (_ROWS + _OFFSETS >= SAMPLES)


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
    at = np.linspace(start, end, SAMPLES)
    left = np.clip(np.searchsorted(t, at, side="right") - 1, 0, max(len(t) - 2, 0))
    right = np.minimum(left + 1, len(t) - 1)
    width = t[right] - t[left]
    part = np.clip((at - t[left]) / np.where(width > 0.0, width, 1.0), 0.0, 1.0)
    return values[left] + part[:, None] * (values[right] - values[left])


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


def _low_level(valley: float, peak: float) -> float:
    return valley + 0.1 * (peak - valley)


def warped_distance(a: Series, b: Series) -> float:
    """Root of the least sum of squared distances over warping paths within the band.

    Args:
        a: (64, c)
        b: (64, c)
    """
    apart = a[:, None] - b[_INSIDE]
    cost = np.square(apart).sum(axis=2)
    cost[_OUTSIDE] = inf
    # One short row at a time: plain floats beat arrays of 13.
    above = [inf] * (2 * BAND + 2)
    above[BAND] = 0.0
    for row in cost.tolist():
        here = [inf] * (2 * BAND + 2)
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


def shape_score(a: Series, guide: Series) -> float | None:
    """0..100 likeness of a repetition (64, c) to the guide; None for one that does not move."""
    if not a.size or not np.ptp(a, axis=0).any():
        return None
    rms = warped_distance(a, guide) / sqrt(SAMPLES * a.shape[1])
    return 100.0 * exp(-((rms / _SPREAD) ** 2))
