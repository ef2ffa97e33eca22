"""Spectra, steadiness and tremor against scipy and against what was put in."""

import numpy as np
import pytest
from scipy import signal, stats

from sessions.scoring.tremor import BAND, TREMOR, line, measurable, spectrum, steadiness, tremor

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("n", [60, 61, 150, 600])
def test_the_spectrum_is_scipys_periodogram(n: int) -> None:
    y = RNG.normal(size=(n, 3))
    f, density = spectrum(y)
    wanted_f, wanted = signal.periodogram(y, 30.0, "hann", detrend=False, axis=0)
    assert np.abs(f - wanted_f).max() < 1e-9
    assert np.abs(density - wanted).max() < 1e-9


@pytest.mark.parametrize("n", [60, 151])
def test_the_line_is_scipys(n: int) -> None:
    t = np.cumsum(RNG.uniform(0.02, 0.05, n))
    y = RNG.normal(size=n) + 3.0 * t
    slope, rest = line(t, y)
    wanted = stats.linregress(t, y)
    assert slope == pytest.approx(wanted.slope, abs=1e-9)
    assert np.abs(rest - (y - wanted.intercept - wanted.slope * t)).max() < 1e-9
    even = np.arange(n) / 30.0
    assert np.abs(line(even, y)[1] - signal.detrend(y)).max() < 1e-9


@pytest.mark.parametrize("n", [120, 121])
def test_the_power_in_the_band_is_scipys(n: int) -> None:
    t = np.arange(n) / 30.0
    tips = RNG.normal(size=(n, 2, 3))
    straight = signal.detrend(tips, axis=0)
    f, density = signal.periodogram(straight, 30.0, "hann", detrend=False, axis=0)
    power = density.sum(axis=2).mean(axis=1)
    band = (f >= BAND[0]) & (f <= BAND[1])
    found = tremor(t, tips)
    assert found["tremor_rms"] == pytest.approx(np.sqrt(power[band].sum() * 30.0 / n), abs=1e-6)
    ratio = power[band].sum() / power[f >= 0.5].sum()
    assert found["tremor_ratio"] == pytest.approx(ratio, abs=1e-6)
    assert found["tremor_peak"] == pytest.approx(f[band][power[band].argmax()], abs=1e-6)


@pytest.mark.parametrize("hz", [4.0, 5.3, 8.0, 11.0])
@pytest.mark.parametrize("fps", [24.0, 30.0, 60.0])
def test_a_shaking_tip_is_measured(hz: float, fps: float) -> None:
    t = np.arange(0.0, 5.0, 1.0 / fps)
    way = np.array([6.0, 3.0, 6.0])
    tips = (way * np.sin(2 * np.pi * hz * t)[:, None] + 0.7 * t[:, None])[:, None]
    found = tremor(t, tips)
    # Between samples that do not fall on those of 30 Hz a line is drawn: it cuts the tops.
    kept = 1.0 if fps >= 30.0 else np.sinc(hz / fps) ** 2
    assert 0.97 * kept < found["tremor_rms"] / (9.0 / np.sqrt(2)) < 1.03
    assert found["tremor_peak"] == pytest.approx(hz, abs=0.25)
    assert found["tremor_ratio"] > 0.6
    assert found["tremor_below_floor"] is False


def test_what_cannot_be_told_is_none() -> None:
    t = np.arange(90) / 30.0
    still = tremor(t, np.zeros((90, 1, 3)))
    assert still == {
        "tremor_rms": 0.0,
        "tremor_ratio": None,
        "tremor_peak": None,
        "tremor_below_floor": True,
    }
    hole = np.where(t > 1.0, t + 0.3, t)
    assert tremor(hole, np.zeros((90, 1, 3))) == dict.fromkeys(TREMOR)
    assert tremor(t, np.zeros((90, 0, 3))) == dict.fromkeys(TREMOR)
    slow = tremor(t, np.sin(2 * np.pi * t)[:, None, None] * np.ones((90, 1, 3)))
    assert slow["tremor_peak"] is None
    assert slow["tremor_ratio"] < 0.3


def test_a_hold_needs_sixty_frames_at_twenty_a_second() -> None:
    assert not measurable(np.arange(59) / 30.0)
    assert measurable(np.arange(60) / 30.0)
    assert measurable(np.arange(60) / 20.0)
    assert not measurable(np.arange(60) / 19.0)


def test_steadiness_is_the_spread_about_a_line() -> None:
    t = np.arange(100) / 30.0
    noise = RNG.normal(0.0, 2.0, 100)
    wanted = stats.linregress(t, noise)
    found = steadiness(t, 5.0 - 3.0 * t + noise)
    assert found["drift"] == pytest.approx(wanted.slope - 3.0)
    spread = np.sqrt(((noise - wanted.intercept - wanted.slope * t) ** 2).sum() / 98)
    assert found["steadiness"] == pytest.approx(spread)
    assert steadiness(t, np.full(100, 4.0)) == {"steadiness": 0.0, "drift": 0.0}
