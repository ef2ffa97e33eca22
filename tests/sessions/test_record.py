"""The PlayRecord: plain, complete, recomputable, and the same bytes after MongoDB's encoding."""

import json
import tomllib
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import bson
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.catalog.library import motion_library
from models.grading.library import grading_models, parse_model
from sessions.record import VERSION, canonical, code_version, graded, plain, play_record

START = {"set_no": 2, "motion": "fist", "side": "left", "asked_reps": 4, "guide_t0_us": 5_000_000}
CONTEXT = {
    "anchors": {"rest": 35.0, "target": 200.0, "source": "goal"},
    "goal": 200.0,
    "guide_period_us": 3_000_000,
    "age_band": "6-8",
    "space": "world",
    "utc": datetime(2026, 3, 1, 18, 30, tzinfo=timezone(timedelta(hours=9))),
}


def rep(number: int, error: float | None, kind: str = "full") -> dict[str, Any]:
    return {
        "rep_no": number,
        "class": kind,
        "t_us": 5_000_000 + number * 3_000_000,
        "z": np.float64(1.05),
        "amplitude": 170.5,
        "completeness": 105.0,
        "timing_error": error,
        "finger_rom": {"index": 171.0, "middle": None},
    }


def measures(**changes: Any) -> dict[str, Any]:
    return {
        "schema": "hand44-1",
        "verdicts": {"accepted": np.int64(420), "absent": 3},
        "quality": {
            "q": 0.93,
            "q_valid": 0.99,
            "q_gap": 1.0,
            "q_bone": 0.93,
            "q_chir": 1.0,
            "q_conf": 0.9,
        },
        "reps": [rep(1, 0.2), rep(2, 0.35), rep(3, None, "partial"), rep(4, 0.1, "rejected")],
        "metrics": {
            "reps_full": 2,
            "reps_partial": 1,
            "rejected": 1,
            "interrupted": 0,
            "rate": 0.33,
            "rhythm_cv": None,
            "amplitude_med": 170.5,
            "completeness_med": 96.0,
            "sparc_med": -1.75,
            "shape_med": float("nan"),
            "on_time": 0.5,
        },
        "rom": {"index_mcp": 80.25, "thumb_ip": None},
        "span": {"p5": 36.0, "p95": 210.0},
        "duration": 14.2,
        "flags": [],
    } | changes


def record(**changes: Any) -> dict[str, Any]:
    options: dict[str, Any] = {
        "session_id": "s1", "set_no": 2, "start": START, "context": CONTEXT,
        "measures": measures(), "model": grading_models().standard("fist"), "unfinished": False,
    }  # fmt: skip
    return play_record(**(options | changes))


def test_a_record_names_everything_that_made_it() -> None:
    made = record()
    fist, model = motion_library().get("fist"), grading_models().standard("fist")
    assert made["schema"] == "hand44-1"
    assert made["motion"] == {"id": "fist", "version": 1, "sha256": fist.sha256}
    assert made["model"] == {"id": "fist-standard", "version": 1, "sha256": model.sha256}
    assert made["anchors"] == CONTEXT["anchors"]
    assert made["context"] == {"space": "world", "utc": "2026-03-01T09:30:00.000000+00:00"}
    assert made["code"]["numpy"] == np.__version__
    assert made["code"]["simd"]
    assert made["verdicts"] == {"accepted": 420, "absent": 3}
    assert made["metrics"]["shape_med"] is None
    assert made["stars"] == 3
    # (0.35 x 96 + 0.20 x 62.5 + 0.15 x 100 + 0.10 x 100) over the 0.8 that was measured.
    assert made["grade"] == 88.9
    assert made["explanation"]["ko"].startswith("정해진 만큼")
    assert {part["key"]: part["raw"] for part in made["indicators"]} == {
        "completeness_med": 96.0,
        "completion": 0.625,
        "shape_med": None,
        "sparc_med": -1.75,
        "on_time": 1.0,  # two timed reps, both inside 0.3 s x 1.3 for the age
        "rhythm_cv": None,
    }


def test_other_models_grade_beside_it_and_count_nowhere() -> None:
    kinder = grading_models().get("fist-functional")
    made, alone = record(shadow=[kinder]), record()
    assert made | {"shadow": []} == alone
    (beside,) = made["shadow"]
    assert beside["model"] == {"id": "fist-functional", "version": 1, "sha256": kinder.sha256}
    assert beside["grade"] > made["grade"]
    assert beside["grade"] == graded(made, kinder)["grade"]
    assert "explanation" not in beside


def test_the_motion_of_the_context_wins_over_the_newest() -> None:
    old = {"id": "fist", "version": 1, "sha256": "0" * 64}
    assert record(context=CONTEXT | {"motion": old})["motion"] == old


def test_the_same_input_gives_the_same_bytes() -> None:
    assert canonical(record()) == canonical(record())
    assert canonical(record(unfinished=True)) != canonical(record())


def test_bytes_survive_the_database() -> None:
    made = record()
    stored = bson.decode(bson.encode(made))
    assert canonical(stored) == canonical(made)
    assert canonical(json.loads(canonical(made))) == canonical(made)
    assert type(stored["grade"]) is float


def test_a_stored_record_can_be_graded_again_and_by_another_model() -> None:
    made = bson.decode(bson.encode(record()))
    model = grading_models().standard("fist")
    assert canonical(made | graded(made, model)) == canonical(made)
    strict = model.model_dump(mode="json", by_alias=True)
    strict |= {"id": "fist-strict", "min_available_weight": 0.95}
    other = made | graded(made, parse_model("strict", json.dumps(strict).encode()))
    assert (other["grade"], other["grade_reason"]) == (None, "min_available_weight")
    assert other["metrics"] == made["metrics"]


def test_poor_tracking_and_confused_hands_leave_the_measurements_alone() -> None:
    poor = record(measures=measures(quality={"q": 0.4}))
    assert (poor["grade"], poor["grade_reason"], poor["stars"]) == (
        None,
        "insufficient_tracking",
        0,
    )
    confused = record(measures=measures(flags=["chirality_inverted"]))
    assert (confused["grade"], confused["flags"]) == (None, ["chirality_inverted"])
    assert confused["metrics"]["completeness_med"] == 96.0


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc_", min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.text("abc_", min_size=1, max_size=4), json_like, max_size=4))
def test_any_record_keeps_its_bytes_through_bson(value: dict[str, Any]) -> None:
    assert canonical(bson.decode(bson.encode(value))) == canonical(value)


def test_plain_turns_what_arithmetic_leaves_into_json() -> None:
    given_ = {"a": np.float32(0.5), "b": np.arange(2), "c": (1, np.bool_(True)), "d": np.inf}
    given_["e"] = datetime(2026, 1, 2, tzinfo=UTC)
    out = plain(given_)
    assert out == {"a": 0.5, "b": [0, 1], "c": [1, True], "d": None,
                   "e": "2026-01-02T00:00:00.000000+00:00"}  # fmt: skip
    assert [type(v) for v in (out["a"], out["b"][0], out["c"][1])] == [float, int, bool]


@pytest.mark.parametrize("value", [{1: 2}, b"bytes", {"a": object()}, {"a": {3.0}}])
def test_what_a_record_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="record"):
        plain(value)


def test_the_code_version_is_the_projects() -> None:
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    assert tomllib.loads(pyproject.read_text())["project"]["version"] == VERSION
    assert code_version()["gemgem"] == VERSION
