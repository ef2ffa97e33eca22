"""Compiled motions: the guide's signal runs from rest to target and peaks where it holds."""

import numpy as np
import pytest

from models.catalog.features import FEATURE_INDEX
from models.catalog.library import motion_library
from sessions.motions import compile_motion, motion_plan, signal_of
from sessions.scoring.plan import FEATURES, GUIDE_PHASES

MOTIONS = tuple(motion_library().latest)


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_guide_runs_between_the_kinematic_anchors(motion: str) -> None:
    plan = motion_plan(motion)
    assert plan.guide.shape == (GUIDE_PHASES, FEATURES)
    assert plan.guide.dtype == plan.primary.dtype == np.float32
    definition = motion_library().get(motion)
    x = signal_of(definition, plan.guide.astype(np.float64))
    anchors = definition.anchors.kinematic
    span = anchors.target - anchors.rest
    z = (x - anchors.rest) / span
    assert z.min() == pytest.approx(0.0, abs=0.02)
    assert z.max() == pytest.approx(1.0, abs=0.12 if plan.form == "pose" else 0.02)
    if plan.form == "linear":
        np.testing.assert_allclose(plan.guide @ plan.primary, x, atol=1e-3)
        assert np.abs(np.diff(z, append=z[:1])).max() < 0.12


@pytest.mark.parametrize(
    ("motion", "peak"),
    [
        ("fist", 1.35 / 3),
        ("spread", 1.15 / 2.6),
        ("tap", 0.275 / 0.6),
        ("turn", 0.45),
        ("wave", 0.575 / 1.2),
        ("hook", 0.45),
        ("table", 0.45),
        ("pinch", 3 / 7),
        ("thumbup", 3 / 7),
        ("scissors", 3 / 7),
    ],
)
def test_the_guide_peaks_in_the_middle_of_its_hold(motion: str, peak: float) -> None:
    assert motion_plan(motion).guide_peaks == (pytest.approx(peak, abs=2e-3),)


def test_a_sequence_peaks_in_every_step_but_not_at_home() -> None:
    whole = 6.0
    assert motion_plan("oppose").guide_peaks == pytest.approx(
        [(1.05 + 1.2 * k) / whole for k in range(4)]
    )
    assert len(motion_plan("count").guide_peaks) == 4


def test_each_signal_brings_what_its_form_needs() -> None:
    oppose, count, thumbup = motion_plan("oppose"), motion_plan("count"), motion_plan("thumbup")
    assert (oppose.form, oppose.order) == ("opposition", (0, 1, 2, 3))
    assert (oppose.contact, oppose.release) == (0.3, 0.4)
    assert (count.form, count.order) == ("count", (1, 2, 3, 4))
    assert not oppose.primary.any()
    assert not count.primary.any()
    assert thumbup.form == "pose"
    assert thumbup.pose is not None
    assert thumbup.pose_weights is not None
    assert thumbup.pose_weights.sum() == pytest.approx(1.0)
    assert not thumbup.pose[thumbup.pose_weights == 0].any()
    assert thumbup.tremor_tips == (4,)
    assert motion_plan("pinch").tremor_tips == (4, 8)


def test_a_posture_looks_different_in_image_space() -> None:
    world, image = motion_plan("scissors"), motion_plan("scissors", space="image")
    assert world.pose is not None
    assert image.pose is not None
    assert image.pose[FEATURE_INDEX["tam_ring"]] < world.pose[FEATURE_INDEX["tam_ring"]]
    assert world.sha256 == image.sha256
    np.testing.assert_array_equal(world.guide, image.guide)


@pytest.mark.parametrize("motion", MOTIONS)
def test_weights_are_normalised_and_settings_handed_on(motion: str) -> None:
    plan, definition = motion_plan(motion), motion_library().get(motion)
    assert plan.guide_weights.sum() == pytest.approx(1.0)
    assert np.count_nonzero(plan.guide_weights) == len(definition.similarity)
    assert plan.sha256 == definition.sha256
    slow, fast = (0.8, 0.2), (4.0, 3.0)
    one_euro = (
        dict.fromkeys(("spread", "hook", "table"), slow)
        | dict.fromkeys(("tap", "wave"), fast)
        | dict.fromkeys(("thumbup", "scissors"), (1.0, 0.4))
    )
    assert (plan.f_min, plan.beta) == one_euro.get(motion, (1.2, 0.5))
    assert plan.delta == (0.35 if motion in {"spread", "turn", "hook", "table"} else 0.25)
    longest = {"tap": 3.0} | dict.fromkeys(("pinch", "thumbup", "scissors"), 120.0)
    assert plan.t_max == longest.get(motion, 10.0)
    assert plan.t_min == (0.12 if motion == "tap" else 0.2)
    assert (plan.hold_in, plan.hold_out) == (0.9, 0.8)


def test_distances_weigh_forty_degrees_a_palm() -> None:
    document = motion_library().get("fist").model_dump(mode="json")
    definition = (
        motion_library().get("fist").model_validate(document | {"shape": ("opp_index", "curl")})
    )
    plan = compile_motion(definition)
    assert plan.shape_features.tolist() == [FEATURE_INDEX["opp_index"], FEATURE_INDEX["curl"]]
    assert plan.shape_scale.tolist() == [40.0, 1.0]


def test_a_peak_across_the_seam_of_the_loop_is_found_once() -> None:
    fist = motion_library().get("fist")
    document = fist.model_dump(mode="json")
    document["guide"]["legs"] = [
        {"seconds": 1.0, "pose": "open"},
        {"seconds": 1.0, "pose": "fist"},
        {"seconds": 0.1, "pose": "fist"},
    ]
    plan = compile_motion(fist.model_validate(document))
    assert len(plan.guide_peaks) == 1
    assert plan.guide_peaks[0] == pytest.approx(2.05 / 2.1, abs=2e-3)


def test_a_motion_the_library_does_not_hold_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        motion_plan("juggle")
    assert motion_plan("fist") is motion_plan("fist", 1)
