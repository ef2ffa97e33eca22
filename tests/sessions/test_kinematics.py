"""The kinematic hand against its own anatomy; recovering the angles is tested with the features."""

from typing import Literal

import numpy as np
import pytest

from sessions import kinematics as kin
from sessions.scoring.features import NAMES, features_of


def random_poses(n: int, seed: int = 1) -> kin.Floats:
    rng = np.random.default_rng(seed)
    poses = np.zeros((n, kin.JOINTS))
    poses[:, kin.MCP] = rng.uniform(-20, 85, (n, 4))
    poses[:, kin.PIP] = rng.uniform(-5, 105, (n, 4))
    poses[:, kin.DIP] = rng.uniform(-5, 75, (n, 4))
    poses[:, kin.ABD] = rng.uniform(-12, 12, (n, 4))
    poses[:, kin.THUMB] = rng.uniform(0, 45, (n, 4))
    poses[:, kin.ROLL] = rng.uniform(-170, 170, n)
    poses[:, kin.TILT] = rng.uniform(-40, 40, n)
    poses[:, kin.WAVE] = rng.uniform(-60, 60, n)
    return poses


def test_bones_keep_their_length_in_every_pose() -> None:
    points = kin.hand_points(random_poses(50), 0.16)
    bones = np.linalg.norm(np.diff(points[:, 5:].reshape(50, 4, 4, 3), axis=2), axis=-1)
    assert np.ptp(bones, axis=0).max() < 1e-12
    assert bones[0, 1].tolist() == pytest.approx([0.266 * 0.16, 0.170 * 0.16, 0.108 * 0.16])
    assert np.linalg.norm(points[:, 9], axis=-1) == pytest.approx(kin.PALM_FRACTION * 0.16)


def test_flexion_goes_out_of_the_palm_and_fingers_reach_up_in_the_picture() -> None:
    fist = kin.hand_points(kin.POSES["fist"].angles(), 0.16)[0]
    assert (fist[[8, 12, 16, 20], 2] > 0).all()
    open_hand = kin.landmarks(kin.POSES["open"].angles(), length=0.16)[0]
    assert (open_hand[[8, 12, 16, 20], 1] < open_hand[0, 1]).all()
    # Palm to the camera: the thumb of a right hand is on the right of the picture.
    assert open_hand[4, 0] > open_hand[20, 0]


@pytest.mark.parametrize(
    ("pose", "tip"),
    [("oppose_index", 8), ("oppose_middle", 12), ("oppose_ring", 16), ("oppose_little", 20)],
)
def test_the_thumb_meets_the_finger_it_opposes(pose: str, tip: int) -> None:
    points = kin.hand_points(kin.POSES[pose].angles(), 1.0)[0]
    distance = np.linalg.norm(points[[8, 12, 16, 20]] - points[4], axis=-1) / kin.PALM_FRACTION
    assert distance[(tip - 8) // 4] < 0.25
    assert distance.argmin() == (tip - 8) // 4


def test_a_left_hand_is_the_mirror_image_of_a_right_one() -> None:
    poses = random_poses(20)
    right = kin.landmarks(poses, length=0.14)
    left = kin.landmarks(poses, length=0.14, side="left")
    np.testing.assert_array_equal(left * [-1, 1, 1], right)


def test_rows_do_not_depend_on_each_other() -> None:
    poses = random_poses(7)
    together = kin.landmarks(poses, length=0.14)
    alone = np.concatenate([kin.landmarks(row, length=0.14) for row in poses])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-15)


def test_minimum_jerk_starts_and_ends_at_rest() -> None:
    u = np.linspace(0, 1, 1001)
    s = kin.minimum_jerk(u)
    assert (s[0], s[500], s[-1]) == (0.0, 0.5, 1.0)
    assert (np.diff(s) >= 0).all()
    assert np.gradient(s, u).max() == pytest.approx(1.875, abs=1e-3)
    assert kin.minimum_jerk(np.array([-1.0, 2.0])).tolist() == [0.0, 1.0]


def test_a_guide_reaches_its_key_frames_and_closes_its_loop() -> None:
    legs = [
        kin.KeyFrame(1.0, kin.POSES["fist"]),
        kin.KeyFrame(0.5, kin.POSES["fist"]),
        kin.KeyFrame(1.5, kin.POSES["open"]),
        kin.KeyFrame(1.0, kin.POSES["open"]),
    ]
    angles = kin.guide_angles(legs, [0.0, 0.25, 0.30, 0.375, 0.75, 0.999999, 1.25, -0.7])
    fist, open_hand = kin.POSES["fist"].angles(), kin.POSES["open"].angles()
    for row, pose in [(0, open_hand), (1, fist), (2, fist), (3, fist), (4, open_hand)]:
        np.testing.assert_allclose(angles[row], pose, atol=1e-9)
    np.testing.assert_allclose(angles[5], open_hand, atol=1e-9)
    np.testing.assert_allclose(angles[6], angles[1], atol=1e-9)
    np.testing.assert_allclose(angles[7], angles[2], atol=1e-9)


@pytest.mark.parametrize("legs", [[], [kin.KeyFrame(0.0, kin.Pose())]])
def test_a_guide_without_time_is_refused(legs: list[kin.KeyFrame]) -> None:
    with pytest.raises(ValueError, match="key frames"):
        kin.guide_angles(legs, 0.0)


@pytest.mark.parametrize(
    ("age", "band", "length"),
    [
        (3, "3-5", 0.12),
        (5.9, "3-5", 0.12),
        (6, "6-8", 0.14),
        (12.9, "9-12", 0.16),
        (40, "13+", 0.18),
    ],
)
def test_hand_length_follows_age(age: float, band: str, length: float) -> None:
    assert kin.age_band(age) == band
    assert kin.hand_length(age) == length


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_features_recover_the_angles_that_were_put_in(side: Literal["left", "right"]) -> None:
    poses = random_poses(200)
    features = features_of(kin.landmarks(poses, length=0.15, side=side), side=side)
    expected = {
        "mcp_flex": poses[:, kin.MCP],
        "mcp_abd": poses[:, kin.ABD] + kin.NEUTRAL_ABD,
        "pip_flex": poses[:, kin.PIP],
        "dip_flex": poses[:, kin.DIP],
    }
    fingers = ("index", "middle", "ring", "little")
    for name, angles in expected.items():
        columns = [NAMES.index(f"{name}_{finger}") for finger in fingers]
        np.testing.assert_allclose(features[:, columns], angles, rtol=0, atol=1e-9)
    thumb = features[:, [NAMES.index("bend_thumb_mcp"), NAMES.index("bend_thumb_ip")]]
    np.testing.assert_allclose(thumb, poses[:, 18:20], rtol=0, atol=1e-9)
    curl = poses[:, kin.FLEXION].sum(axis=1) / 4
    np.testing.assert_allclose(features[:, NAMES.index("curl")], curl, rtol=0, atol=1e-9)
    roll = features[:, NAMES.index("roll")] - poses[:, kin.ROLL]
    np.testing.assert_allclose(np.sin(np.radians(roll)), 0, rtol=0, atol=1e-11)
    wave = features[:, NAMES.index("wave")]
    np.testing.assert_allclose(wave, poses[:, kin.WAVE], rtol=0, atol=1e-9)
