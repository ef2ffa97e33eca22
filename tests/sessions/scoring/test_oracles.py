"""The published formulas as others wrote them down: equal to a millionth in float64."""

from typing import Any

import numpy as np
import pytest
from dtaidistance import dtw_ndim
from hypothesis import given, settings
from hypothesis import strategies as st
from monalysa.quality import smoothness as published
from numpy.typing import NDArray
from OneEuroFilter import OneEuroFilter
from scipy import signal

from sessions.kinematics import minimum_jerk
from sessions.scoring.detector import advance, reversal
from sessions.scoring.filter import one_euro
from sessions.scoring.shape import BAND, SAMPLES, banded, local_costs, warped_distances
from sessions.scoring.smoothness import RATE, log_jerks, sparc, speed
from sessions.scoring.state import PEAK, State
from tests.sessions.scoring.made import plan

TOLERANCE = 1e-6
seeds = st.integers(0, 2**32)


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def movement(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Speed of one to four overlapping pushes, with a little jitter."""
    t = np.linspace(0.0, 1.0, n)
    begin = rng.uniform(0.0, 0.5, int(rng.integers(1, 5)))
    x = sum(minimum_jerk((t - b) / rng.uniform(0.3, 0.5)) for b in begin)
    jittered: NDArray[np.float64] = np.abs(np.gradient(x) * 3000.0 + rng.normal(0, 1, n))
    return jittered


@settings(max_examples=15, deadline=None)
@given(seeds, st.floats(0.1, 8.0), st.floats(0.0, 8.0), st.floats(0.2, 4.0))
def test_one_euro(seed: int, f_min: float, beta: float, f_d: float) -> None:
    rng = rng_of(seed)
    h = rng.uniform(0.005, 0.2, 60)
    t, x = np.cumsum(h), np.cumsum(rng.normal(size=60))
    theirs: Any = OneEuroFilter(30.0, f_min, beta, f_d)
    last, moved = x[:1, None].copy(), np.zeros((1, 1))
    tuning = [np.array([[value]]) for value in (f_min, beta, f_d)]
    assert theirs(x[0], t[0]) == x[0]
    for k in range(1, 60):
        step = np.array([[t[k] - t[k - 1]]])
        one_euro(x[k : k + 1, None].copy(), last, moved, step, *tuning)
        assert last.item() == pytest.approx(theirs(x[k], t[k]), abs=TOLERANCE)


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(5, 120))
def test_sparc(seed: int, n: int) -> None:
    v = movement(rng_of(seed), n)
    wanted, _, (f, _) = published.sparc(v, RATE)
    if f[0] == 0.0 and len(f) > 1:
        assert sparc(v) == pytest.approx(wanted, abs=TOLERANCE)


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(5, 120))
def test_log_dimensionless_jerk(seed: int, n: int) -> None:
    v = movement(rng_of(seed), n)
    (found,) = log_jerks(np.append(v, np.zeros(3)), [(0, n)])
    assert found == pytest.approx(published.log_dimensionless_jerk(v, RATE), abs=TOLERANCE)


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(9, 200))
def test_slope(seed: int, n: int) -> None:
    x = np.cumsum(rng_of(seed).normal(size=n))
    wanted = np.abs(signal.savgol_filter(x, 9, 2, deriv=1, delta=1.0 / RATE))[4:-4]
    assert np.abs(speed(x) - wanted).max() < TOLERANCE


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(1, 8))
def test_dynamic_time_warping(seed: int, features: int) -> None:
    rng = rng_of(seed)
    a, b = np.cumsum(rng.normal(size=(2, SAMPLES, features)), axis=1)
    # Their window counts the diagonal, ours the samples on each side of it.
    wanted = dtw_ndim.distance(a, b, window=BAND + 1)
    for copies in (1, 5):
        found = warped_distances([local_costs(a.T, banded(b))] * copies)
        assert found == pytest.approx([wanted] * copies, abs=TOLERANCE)


@settings(max_examples=30, deadline=None)
@given(seeds, st.floats(0.1, 1.0))
def test_reversals_are_peaks_of_that_prominence(seed: int, delta: float) -> None:
    rng = rng_of(seed)
    z = np.convolve(np.cumsum(rng.normal(0.0, 0.3, 300)), np.ones(3) / 3, "valid")
    z = z.astype(np.float32)
    state = State(1)
    state.assign(0, plan(), 0)
    threshold = np.array([delta], np.float32)
    slot, found = np.zeros(1, np.intp), []
    for k, value in enumerate(z):
        one = np.array([value], np.float32)
        peaks, _ = advance(state, slot, one, one, np.array([k], np.int64), threshold)
        state.frames[0] += 1
        if peaks:
            found.append(reversal(state, PEAK, 0).n)
    # Comparisons are made in float32 as the batch makes them: keep off the very edge.
    wanted, about = signal.find_peaks(z.astype(np.float64), prominence=0.5 * delta)
    edge = np.abs(about["prominences"] - delta) < 1e-5
    sure = set(wanted[(about["prominences"] >= delta) & ~edge].tolist())
    assert set(found) - set(wanted[edge].tolist()) == sure
