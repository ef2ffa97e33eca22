"""Speed and smoothness of a movement sampled at 30 Hz: slope, SPARC, log dimensionless jerk."""

from math import ceil, log, log2
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE: Final = 30.0
"""Samples per second of the repetition stage."""
_TOP_HZ: Final = 10.0
_FLOOR: Final = 0.05
Series = NDArray[np.float64]


def speed(x: Series) -> Series:
    """Absolute least-squares slope over 9 samples (Savitzky-Golay 9, 2), per second.

    Args:
        x: (n,) values at `RATE`.

    Returns:
        (n - 8,) for the samples 4 .. n - 5, those that have four neighbours on both sides.
    """
    n = len(x) - 8
    if n <= 0:
        return np.empty(0)
    slope = np.zeros(n)
    for k in (1, 2, 3, 4):
        slope += k * (x[4 + k : 4 + k + n] - x[4 - k : 4 - k + n])
    return np.abs(slope) * (RATE / 60.0)


def sparc(v: Series) -> float | None:
    """Spectral arc length of a speed profile (Balasubramanian and others 2015).

    Args:
        v: (n,) speeds at `RATE`.

    Returns:
        Negative, nearer to 0 for a smoother movement; None for one that does not move.
    """
    if not v.size or not v.any():
        return None
    size = 2 ** (ceil(log2(len(v))) + 4)
    spectrum = np.abs(np.fft.rfft(v, size))
    spectrum /= spectrum.max()
    spectrum = spectrum[: int(_TOP_HZ * size / RATE) + 1]
    last = int((spectrum >= _FLOOR).nonzero()[0][-1])
    if last == 0:
        return None
    rise = spectrum[1 : last + 1] - spectrum[:last]
    rise *= rise
    rise += (1.0 / last) ** 2
    return -float(np.sqrt(rise, out=rise).sum())


def log_jerk(v: Series) -> float | None:
    """Log dimensionless jerk of a speed profile, nearer to 0 for a smoother movement.

    Args:
        v: (n,) speeds at `RATE`.

    Returns:
        None for fewer than 3 samples or a constant speed.
    """
    if len(v) < 3:
        return None
    top = float(v.max())
    bend = (v[2:] - 2.0 * v[1:-1] + v[:-2]) * RATE**2
    total = float((bend * bend).sum()) / RATE
    if not top or not total:
        return None
    return -log((len(v) / RATE) ** 3 / top**2 * total)
