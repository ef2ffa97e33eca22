"""The grade: monotone, bounded, null with a reason, and recomputable."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.grading.anchors import SettledAnchors, settle_anchors
from models.grading.library import grading_models
from models.grading.records import GradingModel
from models.grading.rules import Grade, grade, half_up, interpolate, session_grade

MOTIONS = (
    "fist", "spread", "tap", "turn", "wave", "hook", "table", "pinch", "scissors", "oppose",
)  # fmt: skip
GOOD: dict[str, float | int | None] = {
    "reps_full": 8,
    "reps_partial": 2,
    "completeness_med": 95.0,
    "amplitude_med": 160.0,
    "shape_med": 75.0,
    "sparc_med": -1.8,
    "on_time": 0.8,
    "rhythm_cv": 20.0,
    "rate": 1.2,
    "fatigue": -1.5,
    "hold_time": 4.0,
    "hold_total": None,
    "steadiness": 3.0,
    "steps": 0,
    "sequences": None,
    "order_correct": 0.9,
    "contact_depth": 80.0,
}
CLEAR = {"q": 0.95}


def graded(
    model: GradingModel | None = None,
    metrics: dict[str, Any] | None = None,
    quality: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Grade:
    options = {"asked_reps": 10, "age_band": "13+", "span": 185.0, "asked_hold_s": 5.0} | kwargs
    return grade(
        model or grading_models().standard("fist"),
        GOOD if metrics is None else metrics,
        CLEAR if quality is None else quality,
        **options,
    )


def test_a_grade_is_the_weighted_mean_of_its_indicators() -> None:
    result = graded()
    scores = {part.key: part.score for part in result.indicators}
    assert scores == {
        "completeness_med": 95.0,
        "completion": 90.0,
        "shape_med": 90.0,
        "sparc_med": pytest.approx(60 + 40 * 0.6 / 0.7),
        "on_time": pytest.approx(100 * 0.6 / 0.7),
        "rhythm_cv": pytest.approx(100 * 40 / 45),
    }
    mean = math.fsum(part.weight * part.score for part in result.indicators if part.score)
    assert result.grade == half_up(mean)
    assert (result.reason, result.flags, result.stars) == (None, (), 3)


HOLD: dict[str, Any] = {
    "reps_full": 0, "reps_partial": 0, "completeness_med": 95.0, "hold_time": 3.0,
    "hold_total": 8.0, "steadiness": 4.0,
}  # fmt: skip
SEQUENCE: dict[str, Any] = {
    "reps_full": 0, "reps_partial": 0, "steps": 9, "sequences": 2, "sequence_errors": 1,
    "order_correct": 0.85, "contact_depth": 75.0, "rate": None,
}  # fmt: skip


def test_a_hold_is_graded_by_the_longest_stay_and_all_of_it() -> None:
    pinch = grading_models().standard("pinch")
    result = graded(pinch, HOLD, asked_reps=2, asked_hold_s=5.0)
    raws = {part.key: part.raw for part in result.indicators}
    assert raws == {
        "completeness_med": 95.0, "hold_share": 0.6, "steadiness": 4.0, "completion": 0.8,
    }  # fmt: skip
    assert result.stars >= 1
    once = graded(pinch, HOLD, asked_reps=0, asked_hold_s=5.0)
    assert {p.key: p.raw for p in once.indicators}["completion"] == 1.0
    unasked = graded(pinch, HOLD, asked_reps=2, asked_hold_s=None)
    reasons = {part.key: part.reason for part in unasked.indicators if part.raw is None}
    assert reasons == {"hold_share": "no_hold_asked", "completion": "nothing_asked"}
    assert (unasked.grade, unasked.reason) == (None, "min_available_weight")


def test_a_sequence_is_graded_by_its_order_and_its_rounds() -> None:
    result = graded(grading_models().standard("oppose"), SEQUENCE, asked_reps=4)
    raws = {part.key: part.raw for part in result.indicators}
    assert raws == {
        "order_correct": 0.85, "completion": 0.5, "contact_depth": 75.0, "rate": None,
    }  # fmt: skip
    assert result.grade is not None
    assert result.stars >= 1


@pytest.mark.parametrize(
    ("motion", "metrics"),
    [
        ("pinch", {**HOLD, "hold_time": 0.0, "hold_total": 0.0}),
        ("count", {**SEQUENCE, "steps": 0, "sequences": 0}),
    ],
)
def test_nothing_held_and_no_step_is_nothing_done(motion: str, metrics: dict[str, Any]) -> None:
    result = graded(grading_models().standard(motion), metrics, asked_hold_s=5.0)
    assert (result.grade, result.reason, result.stars) == (0.0, "no_repetition", 0)


finite = st.floats(-1e6, 1e6)
maybe = st.none() | finite
metric_sets = st.fixed_dictionaries(
    {
        "reps_full": st.integers(0, 50),
        "reps_partial": st.integers(0, 50),
        **{key: maybe for key in GOOD if not key.startswith("reps")},
    }
)


@settings(deadline=None)
@given(
    st.sampled_from(MOTIONS),
    metric_sets,
    st.none() | st.floats(0, 1),
    st.integers(0, 40),
    st.sampled_from(["3-5", "6-8", "9-12", "13+", None, "adult"]),
)
def test_a_grade_is_bounded_or_null_with_a_reason(
    motion: str, metrics: dict[str, Any], q: float | None, asked: int, band: str | None
) -> None:
    model = grading_models().standard(motion)
    result = graded(model, metrics, {"q": q}, asked_reps=asked, age_band=band)
    assert (result.grade is None) <= (result.reason is not None)
    assert result.grade is None or 0 <= result.grade <= 100
    assert result.stars in {0, 1, 2, 3}
    for part in result.indicators:
        assert (part.score is None) == (part.reason is not None)
        assert part.score is None or 0 <= part.score <= 100
    assert graded(model, metrics, {"q": q}, asked_reps=asked, age_band=band) == result
    assert 1 <= len(result.explanation["ko"]) == len(result.explanation["en"]) <= 2


@settings(deadline=None)
@given(
    st.sampled_from(MOTIONS),
    st.sampled_from(sorted(GOOD)),
    finite,
    finite,
    st.sampled_from(["3-5", None]),
)
def test_a_better_value_never_lowers_the_grade(
    motion: str, key: str, one: float, other: float, band: str | None
) -> None:
    model = grading_models().standard(motion)
    low, high = sorted((one, other))
    if key in ("rhythm_cv", "steadiness"):
        low, high = high, low
    if key.startswith("reps"):
        low, high = (int(min(max(v, 1), 50)) for v in (low, high))
    worse = graded(model, GOOD | {key: low}, age_band=band)
    better = graded(model, GOOD | {key: high}, age_band=band)
    assert worse.grade is not None
    assert better.grade is not None
    assert better.grade >= worse.grade


@settings(deadline=None)
@given(
    st.lists(st.floats(-100, 100), min_size=2, max_size=6, unique=True),
    st.lists(st.floats(0, 100), min_size=6, max_size=6),
    finite,
    finite,
    st.booleans(),
)
def test_interpolation_is_monotone_and_exact_at_its_knots(
    xs: list[float], ys: list[float], a: float, b: float, falling: bool
) -> None:
    knots = list(zip(sorted(xs, reverse=falling), sorted(ys), strict=False))
    for x, y in knots:
        assert interpolate(knots, x) == pytest.approx(y, abs=1e-9)
    low, high = (interpolate(knots, x) for x in sorted((a, b), reverse=falling))
    assert low <= high


def test_without_enough_quality_there_is_no_grade() -> None:
    for quality in ({"q": 0.59}, {"q": None}, {}, {"q": math.nan}):
        result = graded(quality=quality)
        assert (result.grade, result.reason, result.stars) == (None, "insufficient_tracking", 0)
        assert result.indicators[0].score == 95.0  # the measurements stay
    assert graded(quality={"q": 0.6}).flags == ("low_quality",)
    assert graded(quality={"q": 0.8}).flags == ()


def test_too_few_indicators_give_no_grade() -> None:
    # 0.35 + 0.20 + 0.05 of the weight is just enough, 0.20 + 0.15 + 0.15 + 0.05 is not.
    few = dict.fromkeys(("shape_med", "sparc_med", "on_time"))
    assert graded(metrics=GOOD | few).grade is not None
    result = graded(metrics=GOOD | {"completeness_med": None, "on_time": None})
    assert (result.grade, result.reason, result.stars) == (None, "min_available_weight", 1)
    missing = {part.key: part.reason for part in result.indicators if part.score is None}
    assert missing == {"completeness_med": "no_repetition", "on_time": "no_timed_repetition"}


def test_nothing_done_in_good_view_is_zero_and_no_star() -> None:
    result = graded(metrics={"reps_full": 0, "reps_partial": 0})
    assert (result.grade, result.reason, result.stars) == (0.0, "no_repetition", 0)
    assert "No repetition" in result.explanation["en"][0]


def test_confused_hands_are_not_graded_at_all() -> None:
    result = graded(flags=["chirality_inverted"])
    assert (result.grade, result.reason) == (None, "chirality_inverted")
    assert {part.score for part in result.indicators} == {None}
    assert result.indicators[0].raw == 95.0


def test_stars_reward_the_attempt_and_then_the_grade() -> None:
    partial = {"reps_full": 0, "reps_partial": 1}
    assert graded(metrics=partial).stars == 1
    assert graded(metrics=GOOD | partial | {"completeness_med": 55.0}).stars == 2
    assert graded().stars == 3
    assert graded(metrics=GOOD, quality={"q": 0.5}).stars == 0


def test_age_asks_less_of_the_young_and_says_when_it_is_unknown() -> None:
    tap = grading_models().standard("tap")
    young, grown, unknown = (
        graded(tap, age_band=band, metrics=GOOD | {"rate": 1.0}, timing_errors=[0.4])
        for band in ("3-5", "13+", None)
    )
    assert young.grade is not None
    assert grown.grade is not None
    assert young.grade > grown.grade == unknown.grade
    assert (young.flags, unknown.flags) == ((), ("age_unknown",))


def test_the_timing_window_follows_age() -> None:
    errors = [0.1, -0.25, 0.45, None, -0.6]
    raw = {
        band: next(
            part.raw
            for part in graded(age_band=band, timing_errors=errors).indicators
            if part.key == "on_time"
        )
        for band in ("3-5", "13+")
    }
    assert raw == {"3-5": 0.75, "13+": 0.5}
    untimed = graded(timing_errors=[None]).indicators
    assert [part.reason for part in untimed if part.key == "on_time"] == ["no_timed_repetition"]


def test_completion_counts_partial_repetitions_half_and_is_capped() -> None:
    def completion(**metrics: Any) -> float | None:
        options = {"asked_reps": 10} | {k: metrics.pop(k) for k in ("asked_reps",) if k in metrics}
        parts = graded(metrics=GOOD | metrics, **options).indicators
        return next(part.raw for part in parts if part.key == "completion")

    assert completion(reps_full=3, reps_partial=4) == 0.5
    assert completion(reps_full=30, reps_partial=0) == 1.0
    assert completion(asked_reps=0) is None


def test_amplitude_counts_against_the_way_from_rest_to_target() -> None:
    tap = grading_models().standard("tap")
    raws = {
        part.key: part.raw
        for part in graded(tap, GOOD | {"amplitude_med": 14.5}, span=29.0).indicators
    }
    assert raws["amplitude"] == 50.0
    without = graded(tap, span=None).indicators[0]
    assert (without.key, without.raw, without.score) == ("amplitude", None, None)


def test_the_two_largest_losses_are_told() -> None:
    metrics = GOOD | {
        "completeness_med": 50.0,
        "rhythm_cv": 80.0,
        "sparc_med": -1.0,
        "on_time": 1.0,
    }
    told = graded(metrics=metrics, asked_reps=9).explanation["en"]
    assert [text.split(";")[0] for text in told] == [
        "The movement stopped short of its goal",
        "The time from one repetition to the next was uneven.",
    ]
    best = {"completeness_med": 110.0, "shape_med": 95.0, "sparc_med": -1.4, "rhythm_cv": 5.0}
    assert graded(metrics=GOOD | best | {"on_time": 1.0}, asked_reps=9).explanation == {
        "ko": ("아주 잘했어요!",),
        "en": ("Very well done!",),
    }


def test_halves_are_rounded_up() -> None:
    assert [half_up(v) for v in (0.05, 0.25, 72.25, 72.249, 99.95, 100.0)] == [
        0.1,
        0.3,
        72.3,
        72.2,
        100.0,
        100.0,
    ]


def test_a_session_is_the_mean_of_its_graded_sets() -> None:
    assert session_grade([(80.0, 10), (50.0, 5), (None, 20)]) == 70.0
    assert session_grade([(80.0, 0), (50.0, 1)]) == 65.0
    assert session_grade([(None, 10)]) is None
    assert session_grade([]) is None


@pytest.mark.parametrize(
    ("given_", "target", "source"),
    [
        ({"role": "unaffected", "goal": 150.0}, 220.0, "norm"),
        ({"role": "affected", "goal": 150.0, "baseline_amplitude": 20.0}, 150.0, "goal"),
        ({"role": None, "goal": 150.0}, 220.0, "norm"),
        ({"role": "affected"}, 220.0, "norm"),
        ({"role": "affected", "baseline_amplitude": 100.0}, 150.0, "baseline"),
        (
            {"role": "affected", "baseline_amplitude": 100.0, "unaffected_amplitude": 150.0},
            155.0,
            "baseline",
        ),
        ({"role": "affected", "baseline_amplitude": 170.0}, 220.0, "norm"),
    ],
)
def test_an_affected_hand_is_measured_against_its_goal(
    given_: dict[str, Any], target: float, source: str
) -> None:
    settled = settle_anchors(
        grading_models().standard("fist").roles, rest=35.0, norm=220.0, **given_
    )
    assert settled == SettledAnchors(35.0, pytest.approx(target), source)  # type: ignore[arg-type]  # compared, not used
