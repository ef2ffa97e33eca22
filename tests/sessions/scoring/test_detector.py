"""Repetition detector against peaks of a given prominence, found by looking at everything."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sessions.scoring.detector import advance, last_cycle, reversal
from sessions.scoring.state import PEAK, State

DELTA = 0.25


def detected(signal: Sequence[float], delta: float = DELTA) -> tuple[list[int], list[list[int]]]:
    """Peaks, and the frames of the closed cycles, of one hand among idle ones."""
    state = State(3)
    slots, threshold = np.array([1]), np.array([delta], np.float32)
    peaks, cycles = [], []
    for i, value in enumerate(np.asarray(signal, np.float32)):
        z = np.array([value])
        found, closed = advance(state, slots, z, z, np.array([1000 * i]), threshold)
        peaks += [reversal(state, PEAK, 1).n for _ in found]
        cycles += [[c.start.n, c.peak.n, c.end.n] for c in closed]
        state.frames[1] += 1
    return peaks, cycles


def prominent(z: Sequence[float], delta: float) -> list[int]:
    """Samples that stand out by delta on both sides before anything higher comes.

    On a plateau the first sample counts; the first and the last sample of all are no peaks unless
    the signal falls by delta to both sides of them.
    """
    values = np.asarray(z, np.float32)
    out = []
    for i, top in enumerate(values):
        left, right = values[:i], values[i + 1 :]
        higher = np.flatnonzero(left >= top)
        before = left[higher[-1] + 1 if higher.size else 0 :]
        higher = np.flatnonzero(right > top)
        after = right[: higher[0] if higher.size else len(right)]
        if before.size and after.size and top - max(before.min(), after.min()) >= delta:
            out.append(i)
    return out


@given(st.lists(st.integers(-40, 40), max_size=80))
def test_peaks_are_those_of_the_prominence(steps: list[int]) -> None:
    # Steps of 1/32 are exact in float32: no verdict hangs on rounding.
    signal = np.cumsum(steps) / 32.0
    assert detected(signal)[0] == prominent(signal, DELTA)


@given(st.lists(st.integers(-10, 10), max_size=300))
def test_cycles_run_from_lowest_point_to_lowest_point(steps: list[int]) -> None:
    signal = np.cumsum(steps) / 32.0
    peaks, cycles = detected(signal)
    assert [peak for _, peak, _ in cycles] == peaks[: len(cycles)]
    for start, peak, end in cycles:
        assert start < peak < end
        assert signal[start] <= signal[start : peak + 1].min()
        assert signal[end] <= signal[peak : end + 1].min()
        assert signal[peak] >= signal[start : end + 1].max()
    for before, after in pairwise(cycles):
        assert before[2] == after[0]


def test_neither_end_of_a_signal_is_a_peak() -> None:
    assert detected([1.0, 0.0, 0.0])[0] == []
    assert detected([0.0, 0.5, 1.0])[0] == []
    assert detected([0.0, 1.0, 0.75])[0] == [1]
    assert detected([0.0, 1.0, 0.76])[0] == []


def test_the_end_of_a_set_closes_a_peak_that_was_left() -> None:
    def ended(*signal: float) -> bool:
        state = State(1)
        state.tuning[3] = DELTA
        for value in signal:
            z = np.array([value], np.float32)
            advance(state, np.array([0]), z, z, np.array([0]), state.tuning[3])
            state.frames[0] += 1
        return last_cycle(state, 0) is not None

    assert ended(0.0, 1.0, 0.5)
    assert not ended(0.0, 1.0, 0.51)
    assert not ended(0.0, 1.0)
    # Of a small rise a fall by the threshold is asked.
    assert ended(0.0, 0.4, 0.15)
    assert not ended(0.0, 0.4, 0.16)
