"""Percentiles from a histogram against the exact ones."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.simulation.latency import Latencies


def _of(values: list[float]) -> Latencies:
    latencies = Latencies()
    for value in values:
        latencies.add(value)
    return latencies


def test_nothing_counted_has_no_percentile() -> None:
    assert Latencies().percentile_ms(0.99) is None


def test_the_largest_is_exact() -> None:
    latencies = _of([0.001, 0.002, 0.1234567])
    assert latencies.percentile_ms(0.99) == 123.457
    assert latencies.count == 3


@given(
    st.lists(st.floats(min_value=1e-5, max_value=100.0), min_size=1, max_size=200),
    st.floats(min_value=0.01, max_value=1.0),
)
def test_a_percentile_is_within_half_a_bucket(values: list[float], share: float) -> None:
    exact = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    found = _of(values).percentile_ms(share)
    assert found is not None
    assert found == pytest.approx(exact * 1000, rel=0.0051, abs=0.001)


def test_merged_counts_as_one() -> None:
    both = _of([0.001] * 50)
    both.merge(_of([0.2] * 50))
    assert both.count == 100
    assert both.percentile_ms(0.5) == pytest.approx(1.0, rel=0.01)
    assert both.percentile_ms(0.51) == pytest.approx(200.0, rel=0.01)
