"""Speed and smoothness of a movement sampled at 30 Hz: slope, SPARC, log dimensionless jerk."""

from collections.abc import Sequence
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
    return sparcs([v])[0]


def sparcs(profiles: Sequence[Series]) -> list[float | None]:
    """`sparc` of each profile; together they are quicker, and the same numbers."""
    sizes = [2 ** (ceil(log2(len(v))) + 4) if v.size and v.any() else 0 for v in profiles]
    out: list[float | None] = [None] * len(profiles)
    for size in set(sizes) - {0}:
        which = [i for i, one in enumerate(sizes) if one == size]
        rows = np.zeros((len(which), size))
        for row, i in zip(rows, which, strict=True):
            row[: len(profiles[i])] = profiles[i]
        for i, length in zip(which, _arc_lengths(np.abs(np.fft.rfft(rows)), size), strict=True):
            out[i] = length
    return out


def _arc_lengths(spectra: Series, size: int) -> list[float | None]:
    spectra = spectra / spectra.max(axis=1, keepdims=True)
    spectra = spectra[:, : int(_TOP_HZ * size / RATE) + 1]
    high = spectra >= _FLOOR
    last = np.where(high.any(axis=1), high.shape[1] - 1 - high[:, ::-1].argmax(axis=1), 0)
    rise = spectra[:, 1:] - spectra[:, :-1]
    rise *= rise
    rise += ((1.0 / np.maximum(last, 1)) ** 2)[:, None]
    np.sqrt(rise, out=rise)
    rise[np.arange(rise.shape[1]) >= last[:, None]] = 0.0
    lengths = rise.sum(axis=1).tolist()
    return [-value if n else None for value, n in zip(lengths, last.tolist(), strict=True)]


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
