"""Smoothness against textbook movements."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sessions.kinematics import minimum_jerk
from sessions.scoring.smoothness import RATE, log_jerks, sparc, sparcs, speed


def log_jerk(v: NDArray[np.float64]) -> float | None:
    """Of a whole profile, between others."""
    (found,) = log_jerks(np.concatenate(([9.0], v, [5.0, 0.0, 7.0])), [(1, len(v) + 1)])
    return found


def bell(seconds: float, parts: int = 1) -> NDArray[np.float64]:
    """Speed of a movement made of minimum-jerk parts one after another, at 30 Hz."""
    u = np.arange(int(seconds * RATE) + 1) / (seconds * RATE) * parts
    inside = u - np.minimum(np.floor(u), parts - 1)
    return np.asarray(30.0 * inside**2 * (1.0 - inside) ** 2)


@pytest.mark.parametrize("seconds", [0.25, 0.5, 1.0, 2.0, 3.0])
def test_one_smooth_movement_has_the_known_arc_length(seconds: float) -> None:
    assert sparc(bell(seconds)) == pytest.approx(-1.40, abs=0.02)


def test_more_movements_are_less_smooth() -> None:
    one, two, three = (sparc(bell(2.0, parts)) for parts in (1, 2, 3))
    assert one is not None
    assert two is not None
    assert three is not None
    assert one > two > three
    assert two == pytest.approx(-2.1, abs=0.3)


def test_arc_length_is_blind_to_size_and_null_without_movement() -> None:
    v = bell(1.0)
    assert sparc(1000.0 * v) == pytest.approx(sparc(v))
    assert sparc(np.zeros(20)) is None
    assert sparc(np.empty(0)) is None


def test_arc_length_is_that_of_the_published_formula() -> None:
    v = bell(1.0, 2) + 0.05 * np.random.default_rng(1).random(31)
    size = 2 ** (int(np.ceil(np.log2(len(v)))) + 4)
    f = np.arange(size) * RATE / size
    spectrum = np.abs(np.fft.fft(v, size))
    spectrum = spectrum / spectrum.max()
    chosen = f <= 10.0
    f, spectrum = f[chosen], spectrum[chosen]
    above = np.flatnonzero(spectrum >= 0.05)
    f, spectrum = f[above[0] : above[-1] + 1], spectrum[above[0] : above[-1] + 1]
    wanted = -np.sum(np.sqrt((np.diff(f) / (f[-1] - f[0])) ** 2 + np.diff(spectrum) ** 2))
    assert sparc(v) == pytest.approx(wanted, abs=1e-9)


def test_jerk_of_one_smooth_movement() -> None:
    assert log_jerk(bell(2.0)) == pytest.approx(-5.3, abs=0.1)
    assert log_jerk(500.0 * bell(2.0)) == pytest.approx(log_jerk(bell(2.0)))
    shaken = bell(2.0) + 0.1 * np.random.default_rng(1).random(61)
    assert log_jerk(shaken) < log_jerk(bell(2.0))  # type: ignore[operator]  # both move
    assert log_jerk(np.ones(9)) is None
    assert log_jerk(np.ones(2)) is None


def test_speed_is_the_slope_of_the_fitted_parabola() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=40)
    k = np.arange(-4, 5)
    wanted = [abs(np.polyfit(k / RATE, x[i - 4 : i + 5], 2)[1]) for i in range(4, 36)]
    assert np.abs(speed(x) - wanted).max() < 1e-9
    assert speed(x[:8]).size == 0


def test_speed_of_a_whole_movement_peaks_in_its_middle() -> None:
    x = 200.0 * minimum_jerk(np.linspace(0.0, 1.0, 61))
    v = speed(np.asarray(x))
    assert v.argmax() + 4 == 30
    assert v.max() == pytest.approx(200.0 * 1.875 / 2.0, rel=0.05)


def test_many_profiles_at_once_have_the_length_of_each_alone() -> None:
    rng = np.random.default_rng(8)
    profiles = [np.abs(rng.normal(size=int(n))) for n in rng.integers(5, 150, 40)]
    profiles += [np.zeros(9), np.zeros(0), np.ones(1)]
    assert sparcs(profiles) == [sparc(v) for v in profiles]
    assert sparcs([]) == []


def test_the_jerk_of_a_part_is_blind_to_what_stands_around_it() -> None:
    rng = np.random.default_rng(9)
    v = np.abs(rng.normal(size=300))
    parts = [(0, 40), (30, 90), (90, 92), (120, 290)]
    assert log_jerks(v, parts) == [log_jerk(v[a:b]) for a, b in parts]
    assert log_jerks(v, parts)[2] is None
