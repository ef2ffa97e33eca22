"""The motions' data files, and what is said about a file with a fault."""

import json
from typing import Any

import numpy as np
import pytest

from models.catalog.features import FEATURE_INDEX, FEATURE_NAMES
from models.catalog.library import motion_library, parse_motion
from models.catalog.records import Library
from sessions.kinematics import POSES, Pose, landmarks
from sessions.motions import signal_of
from sessions.scoring.features import NAMES, features_of


def document(motion: str = "fist", **changes: Any) -> bytes:
    return json.dumps(motion_library().get(motion).model_dump(mode="json") | changes).encode()


KINDS = {
    "count": "sequence", "fist": "reps", "hook": "reps", "oppose": "sequence", "pinch": "hold",
    "scissors": "hold", "spread": "reps", "table": "reps", "tap": "tap", "thumbup": "hold",
    "turn": "reps", "wave": "reps",
}  # fmt: skip


def test_all_twelve_motions_are_there() -> None:
    latest = motion_library().latest
    assert {name: m.kind for name, m in latest.items()} == KINDS
    for motion in latest.values():
        assert motion.name.ko
        assert len(motion.sha256) == 64
        for space in ("world", "image"):
            anchors = motion.default_anchors(space)
            assert motion.accepts_target(space, anchors.target)
            assert not motion.accepts_target(space, anchors.rest)


def test_only_the_fist_is_measured_in_image_space() -> None:
    for motion in motion_library().latest.values():
        assert motion.anchors.image.provisional == (motion.id != "fist")
    fist = motion_library().get("fist").anchors
    assert (fist.image.rest, fist.image.target) == (10.0, 180.0)


def test_features_have_the_places_of_the_schema() -> None:
    assert FEATURE_NAMES == NAMES
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == 44
    places = {"bend_index_mcp": 3, "mcp_flex_index": 15, "mcp_abd_index": 19, "pip_flex_index": 23}
    places |= {"dip_flex_index": 27, "opp_index": 31, "aperture": 35, "spread": 36, "roll": 37}
    places |= {"wave": 38, "tam_index": 39, "tam_little": 42, "curl": 43}
    assert {name: FEATURE_INDEX[name] for name in places} == places


def test_a_posture_has_one_meaning_everywhere() -> None:
    shared = 0
    for motion in motion_library().latest.values():
        for name, pose in motion.guide.poses.items():
            if name in POSES:
                given = Pose(**pose.model_dump()).angles()
                np.testing.assert_allclose(given, POSES[name].angles(), atol=1e-9)
                shared += 1
    assert shared >= 12


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (document(signal={"form": "linear", "unit": "deg", "weights": {"grip": 1}}), "'grip'"),
        (document(version=0), "version"),
        (document(colour="red"), "Extra inputs are not permitted"),
        (document(shape=["curl", "curl"]), "named twice"),
        (document(filter={"f_min": 0, "beta": 1}), "filter.f_min"),
        (document(detector={"t_min": 2.0, "t_max": 1.0}), "t_max must be above t_min"),
        (document(target_limits={}), "missing for ['image', 'world']"),
        (b"[]", "MotionDefinition"),
    ],
)
def test_a_fault_is_told_with_its_file_and_place(text: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=r"broken\.json") as error:
        parse_motion("broken.json", text)
    assert fault in str(error.value)


def test_anchors_legs_and_limits_are_checked() -> None:
    plain = json.loads(document())
    cases = {
        "above the rest": {"anchors": plain["anchors"] | {"world": {"rest": 9, "target": 9}}},
        "highest must be": {
            "target_limits": plain["target_limits"] | {"world": {"lowest": 9, "highest": 9}}
        },
        "outside the limits of world": {
            "target_limits": plain["target_limits"] | {"world": {"lowest": 9, "highest": 19}}
        },
        "['claw']": {"guide": {**plain["guide"], "legs": [{"seconds": 1, "pose": "claw"}] * 2}},
        "no leg uses: ['open']": {
            "guide": {**plain["guide"], "legs": [{"seconds": 1, "pose": "fist"}] * 2}
        },
    }
    for fault, change in cases.items():
        with pytest.raises(ValueError, match=r"broken\.json") as error:
            parse_motion("broken.json", document(**change))
        assert fault in str(error.value)


def changed(motion: str, **changes: Any) -> bytes:
    return json.dumps(motion_library().get(motion).model_dump(mode="json") | changes).encode()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (changed("fist", kind="sequence"), "of kind sequence has no linear signal"),
        (changed("oppose", kind="reps"), "of kind reps has no opposition signal"),
        (changed("fist", tremor_tips=[8]), "tremor is measured in holds only"),
        (changed("pinch", tremor_tips=[7]), "tremor_tips.0"),
        (changed("pinch", detector={"hold_in": 0.7, "hold_out": 0.8}), "hold_out must not be"),
        (
            changed(
                "oppose",
                signal={
                    "form": "opposition", "unit": "palm", "contact": 0.4, "release": 0.4,
                    "order": [0, 1],
                },
            ),
            "release must be above contact",
        ),
        (
            changed(
                "thumbup",
                signal={
                    "form": "pose", "unit": "1", "weights": {"curl": 1},
                    "poses": {"world": {"curl": 9}, "image": {"spread": 9}},
                },
            ),
            "the posture in image space must name the weighted features",
        ),
        (
            changed(
                "thumbup",
                signal={
                    "form": "pose", "unit": "1", "weights": {"opp_index": 1},
                    "poses": {"world": {"opp_index": 1}, "image": {"opp_index": 1}},
                },
            ),
            "made of angles",
        ),
        (
            changed("oppose", anchors=motion_library().get("fist").anchors.model_dump()),
            "must lie below the rest",
        ),
    ],
)  # fmt: skip
def test_a_signal_fits_its_motion(text: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=r"broken\.json") as error:
        parse_motion("broken.json", text)
    assert fault in str(error.value)


def test_a_posture_is_told_from_the_others() -> None:
    for name, own in (("thumbup", "thumb_up"), ("scissors", "scissors")):
        definition = motion_library().get(name)
        held = definition.detector.hold_in * definition.anchors.world.target
        for pose_name, pose in POSES.items():
            features = features_of(landmarks(pose.angles(), length=0.16), side="right")
            likeness = float(signal_of(definition, features)[0])
            assert (likeness >= held) == (pose_name == own), (name, pose_name, likeness)


def test_the_hash_names_the_content_and_versions_live_side_by_side() -> None:
    first = motion_library().get("fist")
    second = parse_motion("v2", document(version=2))
    assert first.sha256 != second.sha256
    library = Library([second, first])
    assert library.get("fist") is library.latest["fist"] is second
    assert library.get("fist", 1) is first
    with pytest.raises(KeyError):
        library.get("fist", 3)
    with pytest.raises(ValueError, match="fist version 1 twice"):
        Library([first, parse_motion("again", document())])
