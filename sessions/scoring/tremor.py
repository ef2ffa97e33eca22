"""What a held posture shows: how steady it is, whether it drifts, and the tremor of the tips."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.smoothness import RATE

BAND: Final = (3.0, 12.0)
"""Frequencies counted as tremor, Hz."""
LOWEST: Final = 0.5
"""Slower movement is posture, not shaking, Hz."""
PEAK_RATIO: Final = 0.3
"""A peak frequency is named only where so much of the power lies in the band."""
FLOOR_MM: Final = 1.5
"""Under this a still hand before a webcam shows as much."""
FRAMES_MIN: Final = 60
FPS_MIN: Final = 20.0
HOLE_S: Final = 0.2
"""A longer pause inside makes an interpolated spectrum an invention."""

Series = NDArray[np.float64]

STEADY: Final = ("steadiness", "drift")
TREMOR: Final = ("tremor_rms", "tremor_ratio", "tremor_peak", "tremor_below_floor")


def measurable(t: Series) -> bool:
    """Whether (n,) capture times, seconds, are enough of a hold to measure."""
    n = len(t)
    return n >= FRAMES_MIN and n - 1 >= FPS_MIN * float(t[-1] - t[0])


def line(t: Series, y: Series) -> tuple[Series, Series]:
    """Least-squares line through (n, …) values.

    Returns:
        (…) slopes per second, and the (n, …) values without the line.
    """
    centred = t - t.mean()
    away = y - y.mean(axis=0)
    slope = centred @ away / (centred @ centred)
    return slope, away - np.multiply.outer(centred, slope)


def steadiness(t: Series, degrees: Series) -> dict[str, float]:
    """Spread about a line and slope of the signal of a hold.

    Args:
        t: (n,) seconds.
        degrees: (n,) the signal, growing towards the target.

    Returns:
        `steadiness`, degrees; `drift`, degrees per second, negative away from the target.
    """
    slope, rest = line(t, degrees)
    # Two degrees of freedom went into the line.
    spread = float(np.sqrt((rest * rest).sum() / (len(t) - 2)))
    return {"steadiness": spread, "drift": float(slope)}


def spectrum(y: Series, rate: float = RATE) -> tuple[Series, Series]:
    """One-sided power spectral density of (n, …) values under a periodic Hann window.

    Returns:
        (k,) frequencies, Hz, and (k, …) densities, square units per Hz.
    """
    n = len(y)
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n) / n)
    power: Series = np.abs(np.fft.rfft(y * window.reshape(-1, *[1] * (y.ndim - 1)), axis=0)) ** 2
    power /= rate * float(window @ window)
    # All but 0 Hz and, for an even number, the highest stand for two frequencies.
    power[1 : (n + 1) // 2] *= 2.0
    frequencies: Series = np.arange(len(power), dtype=np.float64) * (rate / n)
    return frequencies, power


def tremor(t: Series, tips: Series) -> dict[str, Any]:
    """Shaking of finger tips during a hold.

    Args:
        t: (n,) seconds, rising.
        tips: (n, tips, 3) unfiltered positions in the palm frame, mm.

    Returns:
        `TREMOR`: mm, share of the power above `LOWEST`, Hz, and whether a still hand could show
        as much; all None where nothing can be told.
    """
    if np.diff(t).max(initial=0.0) > HOLE_S or not tips.shape[1]:
        return dict.fromkeys(TREMOR)
    grid = np.arange(int((t[-1] - t[0]) * RATE + 1e-6) + 1) / RATE
    flat = tips.reshape(len(t), -1)
    even = np.stack([np.interp(grid, t - t[0], column) for column in flat.T], axis=1)
    f, density = spectrum(line(grid, even)[1])
    power = density.reshape(len(f), -1, 3).sum(axis=2).mean(axis=1)
    step = RATE / len(grid)
    band = (f >= BAND[0]) & (f <= BAND[1])
    inside = float(power[band].sum())
    whole = float(power[f >= LOWEST].sum())
    rms = float(np.sqrt(inside * step))
    ratio = inside / whole if whole > 0.0 else None
    peak = None
    if ratio is not None and ratio > PEAK_RATIO:
        peak = float(f[band][power[band].argmax()])
    return {
        "tremor_rms": rms,
        "tremor_ratio": ratio,
        "tremor_peak": peak,
        "tremor_below_floor": rms < FLOOR_MM,
    }
