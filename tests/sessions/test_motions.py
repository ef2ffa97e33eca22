"""Compiled motions: the guide's signal runs from rest to target and peaks where it holds."""

import numpy as np
import pytest

from models.catalog.features import FEATURE_INDEX
from models.catalog.library import motion_library
from sessions.motions import compile_motion, motion_plan
from sessions.scoring.plan import FEATURES, GUIDE_PHASES

MOTIONS = ("fist", "spread", "tap", "turn", "wave")


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_guide_runs_between_the_kinematic_anchors(motion: str) -> None:
    plan = motion_plan(motion)
    assert plan.guide.shape == (GUIDE_PHASES, FEATURES)
    assert plan.guide.dtype == plan.primary.dtype == np.float32
    x = plan.guide @ plan.primary
    anchors = motion_library().get(motion).anchors.kinematic
    assert x.min() == pytest.approx(anchors.rest, abs=0.6)
    assert x.max() == pytest.approx(anchors.target, abs=0.6)
    assert np.abs(np.diff(x, append=x[:1])).max() < 0.08 * (anchors.target - anchors.rest)


@pytest.mark.parametrize(
    ("motion", "peak"),
    [
        ("fist", 1.35 / 3),
        ("spread", 1.15 / 2.6),
        ("tap", 0.275 / 0.6),
        ("turn", 0.45),
        ("wave", 0.575 / 1.2),
    ],
)
def test_the_guide_peaks_in_the_middle_of_its_hold(motion: str, peak: float) -> None:
    assert motion_plan(motion).guide_peaks == (pytest.approx(peak, abs=2e-3),)


@pytest.mark.parametrize("motion", MOTIONS)
def test_weights_are_normalised_and_settings_handed_on(motion: str) -> None:
    plan, definition = motion_plan(motion), motion_library().get(motion)
    assert plan.guide_weights.sum() == pytest.approx(1.0)
    assert np.count_nonzero(plan.guide_weights) == len(definition.similarity)
    assert plan.sha256 == definition.sha256
    one_euro = {"fist": (1.2, 0.5), "spread": (1.0, 0.3), "turn": (1.2, 0.5)}
    assert (plan.f_min, plan.beta) == one_euro.get(motion, (4.0, 3.0))
    assert plan.delta == (0.35 if motion in {"spread", "turn"} else 0.25)
    assert (plan.t_min, plan.t_max) == ((0.12, 3.0) if motion == "tap" else (0.2, 10.0))
    assert set(plan.shape_scale) == {1.0}


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
