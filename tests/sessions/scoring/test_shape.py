"""Dynamic time warping against every path, and the trimming of movements."""

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sessions.motions import motion_plan
from sessions.scoring.shape import (
    BAND,
    SAMPLES,
    Trace,
    banded,
    guide_shape,
    local_costs,
    offset,
    onset,
    pattern_of,
    resampled,
    shape_score,
    standardised,
    warped_distances,
)


def distance(a: NDArray[np.float64], b: NDArray[np.float64], copies: int = 1) -> list[float]:
    return warped_distances([local_costs(a.T, banded(b))] * copies)


def likeness(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return shape_score(distance(a, b)[0], a.shape[1])


def whole_matrix(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The distance by the definition, over the full table."""
    n = len(a)
    table = np.full((n + 1, n + 1), inf)
    table[0, 0] = 0.0
    for i in range(n):
        for j in range(n):
            if abs(i - j) <= BAND:
                cost = float(((a[i] - b[j]) ** 2).sum())
                table[i + 1, j + 1] = cost + min(table[i, j], table[i, j + 1], table[i + 1, j])
    return float(np.sqrt(table[n, n]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_warping_finds_the_cheapest_path(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = np.cumsum(rng.normal(size=(2, SAMPLES, width)), axis=1)
    assert distance(a, b) == pytest.approx([whole_matrix(a, b)], rel=1e-12)


@pytest.mark.parametrize("copies", [2, 3, 20])
def test_many_at_once_have_the_distance_of_each_alone(copies: int) -> None:
    rng = np.random.default_rng(copies)
    a, b = np.cumsum(rng.normal(size=(2, copies, SAMPLES, 3)), axis=2)
    pairs = list(zip(a, b, strict=True))
    costs = [local_costs(x.T, banded(y)) for x, y in pairs]
    assert warped_distances(costs) == [distance(x, y)[0] for x, y in pairs]


def test_a_delay_costs_less_than_a_difference() -> None:
    t = np.linspace(0.0, 1.0, SAMPLES)
    one = 100.0 * np.exp(-(((t - 0.5) / 0.15) ** 2))[:, None]
    late = 100.0 * np.exp(-(((t - 0.56) / 0.15) ** 2))[:, None]
    assert likeness(one, one) == 100.0
    assert likeness(late, one) > 95.0
    assert likeness(0.5 * one, one) < 70.0


def test_place_and_size_of_a_movement_are_not_its_shape() -> None:
    pattern = pattern_of(motion_plan("fist"), 1.0)
    guide = guide_shape(motion_plan("fist"), 1.0)
    assert pattern is not None
    assert guide is not None
    for a in (guide, 0.4 * guide, guide + 30.0, 0.5 * guide + np.arange(guide.shape[1])):
        (even,) = standardised(a.T, [pattern])
        assert even is not None
        assert np.abs(even.T - guide).max() < 1e-9
    lame = guide.copy()
    lame[:, 0] *= 0.2
    (even,) = standardised(lame.T, [pattern])
    assert even is not None
    # One finger that stays behind is a shape of its own.
    assert likeness(even.T, guide) < 60.0


def test_a_repetition_that_does_not_move_has_no_shape() -> None:
    pattern = pattern_of(motion_plan("fist"), 1.0)
    assert pattern is not None
    still, moved = np.full((4, SAMPLES), 3.0), np.eye(4, SAMPLES)
    none, some, again = standardised(np.concatenate((still, moved, moved)), [pattern] * 3)
    assert none is None
    assert some is not None
    assert again is not None
    assert (some == again).all()


def test_onset_and_offset_lie_between_the_samples() -> None:
    t = [float(n) for n in range(7)]
    u = [0.0, 4.0, 0.0, 10.0, 5.0, 0.0, 0.0]
    assert onset(t, u, 0, 3, 1.0) == pytest.approx(2.1)
    assert offset(t, u, 3, 1.0) == pytest.approx(4.8)
    assert onset(t, u, 1, 2, 1.0) is None
    assert offset(t, u, 3, -1.0) is None


def test_resampling_is_linear() -> None:
    rng = np.random.default_rng(4)
    traces = []
    for n, c in ((3, 2), (90, 1), (20, 5)):
        t = np.cumsum(rng.uniform(0.01, 0.2, n))
        values = rng.normal(size=(n, c)).astype(np.float32)
        traces.append(Trace(t, values, float(t[0]), float(t[-1])))
    rows = iter(resampled(traces))
    for one in traces:
        at = np.linspace(one.start, one.end, SAMPLES)
        for column in one.values.T:
            assert np.allclose(next(rows), np.interp(at, one.t, column), rtol=0.0, atol=1e-12)
    together = np.concatenate([resampled([one]) for one in traces])
    assert (together == resampled(traces)).all()


@pytest.mark.parametrize("motion", ["fist", "spread", "tap", "turn", "wave"])
def test_a_guide_starts_and_ends_low_and_peaks_in_between(motion: str) -> None:
    plan = motion_plan(motion)
    shape = guide_shape(plan, 1.0)
    assert shape is not None
    assert shape.shape == (SAMPLES, len(plan.shape_features))
    assert likeness(shape, shape) == 100.0
