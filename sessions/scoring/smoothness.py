"""Speed and smoothness of a movement sampled at 30 Hz: slope, SPARC, log dimensionless jerk."""

from collections.abc import Sequence
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.ragged import Part, reduced

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
    slope: Series = x[5 : 5 + n] - x[3 : 3 + n]
    for k in (2, 3, 4):
        step = x[4 + k : 4 + k + n] - x[4 - k : 4 - k + n]
        step *= k
        slope += step
    np.abs(slope, out=slope)
    slope *= RATE / 60.0
    return slope


def sparc(v: Series) -> float | None:
    """Spectral arc length of a speed profile (Balasubramanian and others 2015).

    Args:
        v: (n,) speeds at `RATE`, none negative.

    Returns:
        Negative, nearer to 0 for a smoother movement; None for one that does not move.
    """
    return sparcs([v])[0]


def sparcs(profiles: Sequence[Series]) -> list[float | None]:
    """`sparc` of each profile; together they are quicker, and the same numbers."""
    sizes = [16 << (len(v) - 1).bit_length() if len(v) else 0 for v in profiles]
    order = sorted(range(len(profiles)), key=sizes.__getitem__)
    # The widest spectrum and a place to spare; what a narrower one does not reach is 0.
    spectra = np.zeros((len(profiles), _bins(max(sizes, default=0)) + 1))
    for size in set(sizes) - {0}:
        first = sum(one < size for one in sizes)
        # A sixteenth of the size holds each: the transform pads them itself.
        rows = np.zeros((sizes.count(size), size // 16))
        for row, i in enumerate(order[first : first + len(rows)]):
            rows[row, : len(profiles[i])] = profiles[i]
        bins = _bins(size)
        np.abs(np.fft.rfft(rows, size)[:, :bins], out=spectra[first : first + len(rows), :bins])
    lengths = dict(zip(order, _arc_lengths(spectra), strict=True))
    return [lengths[i] for i in range(len(profiles))]


def _bins(size: int) -> int:
    return int(_TOP_HZ * size / RATE) + 1


def _arc_lengths(spectra: Series) -> list[float | None]:
    if not len(spectra):
        return []
    # What is never negative has its largest value at 0 Hz.
    tops = spectra[:, 0].tolist()
    spectra /= np.array([top or 1.0 for top in tops])[:, None]
    behind = (spectra >= _FLOOR)[:, ::-1].argmax(axis=1).tolist()
    bins = spectra.shape[1]
    last = [bins - 1 - n if top else 0 for top, n in zip(tops, behind, strict=True)]
    steps = max(last) + 1
    rise = spectra[:, 1 : steps + 1] - spectra[:, :steps]
    rise *= rise
    rise += np.array([(1.0 / max(n, 1)) ** 2 for n in last])[:, None]
    np.sqrt(rise, out=rise)
    parts = [(k * steps, k * steps + n) for k, n in enumerate(last)]
    lengths = reduced(np.add, rise.reshape(-1), parts)
    return [-value if n else None for value, n in zip(lengths, last, strict=True)]


def log_jerks(v: Series, parts: Sequence[Part]) -> list[float | None]:
    """Log dimensionless jerk of parts of speeds, nearer to 0 for a smoother movement.

    Args:
        v: (n,) speeds at `RATE`.
        parts: first sample of each and the one behind its last, less than n - 2.

    Returns:
        For each part, None for fewer than 3 samples or a constant speed.
    """
    tops = reduced(np.maximum, v, parts)
    bend = v[2:] - 2.0 * v[1:-1]
    bend += v[:-2]
    bend *= RATE**2
    bend *= bend
    totals = reduced(np.add, bend, [(a, max(b - 2, a)) for a, b in parts])
    return [
        _log_jerk(b - a, top, total) for (a, b), top, total in zip(parts, tops, totals, strict=True)
    ]


def _log_jerk(samples: int, top: float, total: float) -> float | None:
    if samples < 3 or not top or not total:
        return None
    return -log((samples / RATE) ** 3 / top**2 * (total / RATE))
