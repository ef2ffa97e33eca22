"""Set metrics on repetitions made by hand, and when there is no metric."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sessions.scoring.layout import ANGLE_BINS, ANGLE_MIN, JOINTS
from sessions.scoring.reps import matched_peak
from sessions.scoring.sets import Tracking, inverted, metrics, quality, rom, span, theil_sen

TRACKED = Tracking(
    accepted=100,
    frozen=0,
    untimed=0,
    fps=30.0,
    duration=4.0,
    in_gaps=0.4,
    score_sum=100 * 204,
    curled=40,
    palmar=38,
    bone_sum=np.full(12, 50.0),
    bone_sq=np.full(12, 100 * 0.25 + 99 * 0.06**2),
)


def rep(number: int, cls: str = "full", **values: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "rep_no": number,
        "class": cls,
        "t_us": 1_000_000 * number,
        "amplitude": 100.0,
        "completeness": 95.0,
        "timing_error": 0.1,
    }
    base |= dict.fromkeys(("duration", "dwell", "peak_speed", "sparc", "ldlj", "shape"))
    return base | values


def test_counts_are_over_all_and_measures_over_valid_repetitions() -> None:
    reps = [
        rep(1, amplitude=90.0, sparc=-2.0),
        rep(2, "rejected", amplitude=1.0, sparc=-9.0),
        rep(3, "partial", amplitude=110.0),
        rep(4, "interrupted", amplitude=None),
        rep(6, amplitude=100.0, sparc=-1.0),
    ]
    got = metrics(reps)
    counted = [got[name] for name in ("reps_full", "reps_partial", "rejected", "interrupted")]
    assert counted == [2, 1, 1, 1]
    assert got["rate"] == 2 / 5
    assert got["amplitude_med"] == 100.0
    assert got["amplitude_cv"] == pytest.approx(10.0)
    assert got["sparc_med"] == -1.5
    assert got["shape_med"] is None
    assert got["rhythm_cv"] is None
    assert got["fatigue"] is None


@pytest.mark.parametrize(
    ("n", "known"),
    [
        (0, set()),
        (1, {"amplitude_med"}),
        (2, {"amplitude_med", "rate"}),
        (3, {"amplitude_med", "rate", "amplitude_cv"}),
        (4, {"amplitude_med", "rate", "amplitude_cv", "rhythm_cv"}),
        (5, {"amplitude_med", "rate", "amplitude_cv", "rhythm_cv", "fatigue"}),
    ],
)
def test_a_metric_of_too_few_repetitions_is_null(n: int, known: set[str]) -> None:
    got = metrics([rep(i + 1) for i in range(n)])
    names = ("amplitude_med", "rate", "amplitude_cv", "rhythm_cv", "fatigue")
    assert {name for name in names if got[name] is not None} == known
    assert (got["on_time"] is None) == (n == 0)


def test_rhythm_and_fatigue() -> None:
    times = (0.0, 1.0, 3.0, 4.0, 6.0)
    reps = [rep(i + 1, t_us=int(t * 1e6), amplitude=100.0 - 2.0 * i) for i, t in enumerate(times)]
    reps[2]["amplitude"] = 0.0
    got = metrics(reps)
    assert got["rhythm_cv"] == pytest.approx(100.0 * np.std([1, 2, 1, 2], ddof=1) / 1.5)
    assert got["fatigue"] == pytest.approx(100.0 * -2.0 / 94.0)
    assert theil_sen([0, 1, 2, 3], [0, 1, 2, 50]) == pytest.approx((1.0 + 50.0 / 3.0) / 2.0)


def test_timing() -> None:
    errors = (-0.5, -0.3, 0.0, 0.3, None, 0.31)
    got = metrics([rep(i, timing_error=error) for i, error in enumerate(errors)])
    assert got["timing_med"] == 0.0
    assert got["on_time"] == 3 / 5
    assert got["timing_iqr"] == pytest.approx(0.6)


def test_guide_peaks_are_answered_in_order_and_once() -> None:
    phases = (0.25, 0.75)
    assert matched_peak(260_000, 1_000_000, phases, 0) == (0, 0.01)
    assert matched_peak(260_000, 1_000_000, phases, 1) == (1, -0.49)
    assert matched_peak(260_000, 1_000_000, phases, 2) is None
    assert matched_peak(1_740_000, 1_000_000, phases, 2) == (3, -0.01)
    assert matched_peak(-300_000, 1_000_000, phases, 0) is None
    assert matched_peak(-200_000, 1_000_000, phases, 0) == (0, -0.45)
    assert matched_peak(2**62, 1, (0.5,), 0) == (2**62 - 1, 5e-7)


def test_quality_is_the_worst_of_its_parts() -> None:
    got = quality(TRACKED)
    assert got["q_valid"] == pytest.approx(100 / 120)
    assert got["q_gap"] == pytest.approx(0.9)
    assert got["q_bone"] == pytest.approx(1.0 - 0.12 / 0.6)
    assert got["q_chir"] == pytest.approx(0.95)
    assert got["q_conf"] == pytest.approx(0.8)
    assert got["q"] == got["q_bone"]
    assert quality(replace(TRACKED, frozen=50))["q"] == pytest.approx(50 / 120)


def test_quality_of_few_frames() -> None:
    one = replace(TRACKED, accepted=1, duration=0.0, in_gaps=0.0, curled=9, palmar=0)
    got = quality(one)
    assert got["q_valid"] == 1.0
    assert got["q_gap"] is None
    assert got["q_bone"] is None
    assert got["q_chir"] == 1.0
    none = quality(replace(one, accepted=0))
    assert none["q"] == 0.0
    assert none["q_conf"] is None


def test_fingers_that_bend_backwards_tell_the_wrong_side() -> None:
    assert inverted(30, 5)
    assert not inverted(29, 0)
    assert not inverted(30, 6)


def test_range_of_motion_is_linear_inside_a_degree() -> None:
    hist = np.zeros((len(JOINTS), ANGLE_BINS), np.uint32)
    hist[:, -ANGLE_MIN : -ANGLE_MIN + 100] = 3
    assert rom(hist, 300)["index_pip"] == pytest.approx(90.0)
    assert set(rom(hist, 59).values()) == {None}
    hist[:] = 0
    hist[:, 7] = 60
    assert rom(hist, 60)["thumb_ip"] == pytest.approx(0.9)


def test_the_calibration_span_waits_for_three_repetitions() -> None:
    parts = [np.arange(0.0, 101.0), np.arange(0.0, 101.0)]
    assert span(parts) is None
    assert span([*parts, np.arange(0.0, 101.0)]) == {"p5": 5.0, "p95": 95.0}


def test_pictures_without_a_time_of_their_own_count_as_not_seen() -> None:
    half = replace(TRACKED, accepted=60, untimed=60, duration=2.0)
    assert quality(half)["q_valid"] == 0.5
    stood = replace(TRACKED, accepted=1, untimed=99, duration=0.0)
    assert quality(stood)["q_valid"] == pytest.approx(1 / 99)
