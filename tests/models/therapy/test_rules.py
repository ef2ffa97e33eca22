"""Which anchors a set gets from a child's profile and its own first movements."""

from datetime import date
from typing import Any

import pytest

from models.catalog.library import motion_library
from models.grading.library import grading_models
from models.therapy.records import Calibration, Goal, TherapyProfile
from models.therapy.rules import SetAnchors, Therapy

FIST = motion_library().get("fist")


def calibration(side: str = "right", rest: float = 50.0, far: float = 110.0) -> Calibration:
    return Calibration(
        id=f"c:fist:1:{side}:world", child_id="c", motion="fist", version=1, side=side,
        space="world", rest=rest, far=far, session_id="s", set_no=1, quality=0.9,
    )  # type: ignore[arg-type]  # fmt: skip


def profile(**changes: Any) -> TherapyProfile:
    return TherapyProfile.model_validate({"_id": "c", "affected_side": "right"} | changes)


def anchors(therapy: Therapy, side: Any = "right", space: Any = "world") -> SetAnchors:
    return therapy.anchors(FIST, grading_models().standard("fist").roles, side, space)


def goal(target: float, **changes: Any) -> dict[str, Any]:
    return {"id": "g1", "motion": "fist", "side": "right", "target": target} | changes


def test_nothing_known_is_the_default() -> None:
    assert anchors(Therapy()) == SetAnchors(35, 220, "default", "default", None, None, None)


def test_a_calibration_moves_the_rest_of_its_own_hand_and_space_only() -> None:
    therapy = Therapy(calibrations=[calibration()])
    found = anchors(therapy)
    assert (found.rest, found.target, found.source) == (50, 220, "calibration")
    assert found.calibration_id == "c:fist:1:right:world"
    assert anchors(therapy, "left").source == "default"
    assert anchors(therapy, "right", "image").rest == 10


def test_an_affected_hand_is_asked_a_step_more_than_it_did() -> None:
    found = anchors(Therapy(profile(), [calibration()]))
    assert (found.rest, found.source, found.rest_source) == (50, "baseline", "calibration")
    assert found.target == pytest.approx(50 + 1.15 * 60)
    assert found.other_calibration_id is None


def test_the_other_hand_raises_the_step() -> None:
    therapy = Therapy(profile(), [calibration(), calibration("left", 40.0, 180.0)])
    found = anchors(therapy)
    assert found.target == pytest.approx(50 + 0.8 * 140)
    assert found.other_calibration_id == "c:fist:1:left:world"
    both = Therapy(profile(affected_side="both"), [calibration(), calibration("left", 40.0, 180.0)])
    assert anchors(both).target == pytest.approx(50 + 1.15 * 60)


def test_the_unaffected_hand_is_measured_against_the_norm() -> None:
    found = anchors(Therapy(profile(), [calibration("left")]), "left")
    assert (found.rest, found.target, found.source) == (50, 220, "norm")


def test_a_goal_wins_unless_it_is_unsafe_or_for_something_else() -> None:
    therapy = Therapy(profile(goals=[goal(150)]), [calibration()])
    found = anchors(therapy)
    assert (found.rest, found.target, found.source, found.goal_id) == (50, 150, "goal", "g1")
    for other in (goal(300), goal(150, side="left"), goal(150, space="image")):
        assert anchors(Therapy(profile(goals=[other]), [calibration()])).source == "baseline"


def test_a_step_never_falls_short_of_the_lowest_plausible_target() -> None:
    found = anchors(Therapy(profile(), [calibration(rest=20.0, far=50.0)]))
    assert (found.target, found.source) == (70.0, "baseline")


def test_a_rest_too_near_the_target_gives_way_to_the_default() -> None:
    stiff = Therapy(profile(goals=[goal(150)]), [calibration(rest=140.0, far=190.0)])
    found = anchors(stiff)
    assert (found.rest, found.target, found.source) == (35, 150, "goal")
    assert found.calibration_id is None
    small = Therapy(profile(), [calibration(rest=190.0, far=200.0)])
    assert anchors(small).rest == 35


@pytest.mark.parametrize("motion", motion_library().latest)
def test_every_motion_has_usable_anchors_in_both_spaces(motion: str) -> None:
    definition = motion_library().get(motion)
    roles = grading_models().standard(motion).roles
    for space in ("world", "image"):
        default = definition.default_anchors(space)  # type: ignore[arg-type]
        for therapy in (Therapy(), Therapy(profile())):
            found = therapy.anchors(definition, roles, "right", space)  # type: ignore[arg-type]
            assert (found.rest, found.target) == (default.rest, default.target)


def test_age_counts_whole_years() -> None:
    born = Therapy(profile(birth_date="2018-05-02"))
    assert born.age(date(2026, 5, 1)) == 7
    assert born.age(date(2026, 5, 2)) == 8
    assert born.age(date(2017, 1, 1)) is None
    assert Therapy().age(date(2026, 5, 1)) is None


def record(**changes: Any) -> dict[str, Any]:
    return {
        "motion": {"id": "fist", "version": 1},
        "side": "left",
        "space": "world",
        "child_id": "c",
        "session_id": "s1",
        "set_no": 2,
        "span": {"p5": 30.0, "p95": 200.0},
        "quality": {"q": 0.8},
        "flags": [],
    } | changes


def test_the_first_good_set_calibrates_and_no_later_one() -> None:
    therapy = Therapy()
    for poor in (
        {"quality": {"q": 0.79}},
        {"quality": {"q": None}},
        {"span": None},
        {"span": {"p5": 30.0, "p95": 30.0}},
        {"flags": ["chirality_inverted"]},
    ):
        assert therapy.learn(record(**poor)) is None
    taken = therapy.learn(record())
    assert taken is not None
    assert taken.id == "c:fist:1:left:world"
    assert (taken.rest, taken.far, taken.session_id, taken.set_no) == (30, 200, "s1", 2)
    assert therapy.learn(record(set_no=3)) is None
    assert anchors(therapy, "left").rest == 30
    assert therapy.learn(record(space="image")) is not None


def test_documents_are_read_back_as_they_were_written() -> None:
    taken = calibration()
    document = taken.model_dump(mode="json", by_alias=True)
    assert document["_id"] == taken.id
    assert Calibration.model_validate(document) == taken
    known = profile(goals=[goal(150)], birth_date="2018-05-02", later_field=1)
    again = TherapyProfile.model_validate(known.model_dump(mode="json", by_alias=True))
    assert again == known
    assert isinstance(again.goals[0], Goal)
