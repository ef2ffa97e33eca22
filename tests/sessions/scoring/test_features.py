"""Features: what they must not see, and what real recordings say of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sessions.scoring.features import BEND, CURL, NAMES, ROLL, WAVE, features_of
from sessions.scoring.palm import in_palm, landmarks, palm_of
from tests.sessions.scoring.made import played

RECORDINGS = Path(__file__).parents[3] / "../shared/data/hand"
SEQUENCES = ("seq3d_come_first_half", "seq3d_away_first_half")
POSE_ONLY = [i for i in range(len(NAMES)) if i not in (ROLL, WAVE)]

recorded = pytest.mark.skipif(not RECORDINGS.is_dir(), reason="no recordings in shared/data/hand")


def hand(seed: int = 0) -> NDArray[np.float64]:
    """(n, 21, 3) frames of a fist set with noise, metres."""
    return played(seed=seed, reps=1)["lm"].astype(np.float64) * 1e-5


def rotation(angle: float, axis: int) -> NDArray[np.float64]:
    i, j = (k for k in range(3) if k != axis)
    out = np.eye(3)
    out[i, i] = out[j, j] = np.cos(angle)
    out[i, j], out[j, i] = -np.sin(angle), np.sin(angle)
    return out


def test_every_feature_has_its_own_name() -> None:
    assert len(set(NAMES)) == 44
    assert (NAMES[ROLL], NAMES[CURL], NAMES[34]) == ("roll", "curl", "opp_little")


@given(
    st.floats(-0.3, 0.3),
    st.floats(0.2, 5.0),
    st.floats(-3.0, 3.0),
    st.integers(0, 2),
    st.integers(0, 3),
)
def test_a_hand_is_the_same_anywhere_at_any_size_and_turned(
    shift: float, size: float, angle: float, axis: int, seed: int
) -> None:
    plain = hand(seed)[::9]
    moved = (plain @ rotation(angle, axis).T) * size + shift
    a, b = features_of(plain, side="right"), features_of(moved, side="right")
    assert np.abs(a - b)[:, POSE_ONLY].max() < 1e-6


def test_a_left_hand_or_a_mirrored_picture_is_the_same_hand() -> None:
    plain = hand()
    flipped = plain * [-1.0, 1.0, 1.0]
    right = features_of(plain, side="right")
    assert (right == features_of(flipped, side="left")).all()
    assert (right == features_of(flipped, side="right", mirrored=True)).all()
    assert (right == features_of(plain, side="left", mirrored=True)).all()
    assert not np.allclose(right, features_of(flipped, side="right"))


def test_float32_stays_within_a_thousandth_of_a_degree() -> None:
    plain = hand()
    exact = features_of(plain.astype(np.float32), side="right")
    short = features_of(plain.astype(np.float32), side="right", dtype=np.float32)
    assert short.dtype == np.float32
    assert np.abs(short - exact).max() < 1e-3


@given(st.integers(1, 40), st.integers(0, 60))
def test_frames_do_not_see_how_many_stand_beside_them(n: int, first: int) -> None:
    plain = hand()
    # Held and unwrapped values look at the frames before: leave roll out.
    whole = features_of(plain, side="right", dtype=np.float32)[first : first + n]
    part = features_of(plain[first : first + n], side="right", dtype=np.float32)
    rest = [i for i in range(44) if i != ROLL]
    assert whole[:, rest].tobytes() == part[:, rest].tobytes()


def test_roll_runs_on_past_half_a_turn_and_holds_what_it_cannot_see() -> None:
    turns = np.linspace(0.0, 4.0 * np.pi, 90)
    one = hand()[0]
    # The hand's own y axis stays upright: a turn about the camera's y is a turn of the forearm.
    whole = np.stack([one @ rotation(angle, 1).T for angle in turns])
    roll = features_of(whole, side="right")[:, ROLL]
    assert np.abs(np.diff(roll)).max() < 10.0
    assert abs(roll[-1] - roll[0]) == pytest.approx(720.0, abs=1e-6)
    y = palm_of(one.T[:, 1:].reshape(3, 5, 4, 1) - one.T[:, :1, None, None]).axes[1, :, 0]
    aside = np.cross(y, (0.0, 0.0, -1.0))
    tilt = _about(aside / np.linalg.norm(aside), np.arccos(-y[2]))
    held = features_of(np.stack([one, one @ tilt.T, one]), side="right")[:, ROLL]
    assert held.tolist() == [held[0]] * 3
    assert not features_of((one @ tilt.T)[None], side="right")[:, ROLL].any()


def _about(axis: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    out: NDArray[np.float64] = np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k)
    return out


def test_collapsed_hands_give_finite_features() -> None:
    flat = np.zeros((3, 21, 3))
    flat[1] = 0.1
    flat[2, :, 1] = np.linspace(0.0, 0.2, 21)
    assert np.isfinite(features_of(flat, side="right")).all()


def test_no_frames_give_no_features() -> None:
    assert features_of(np.zeros((0, 21, 3)), side="left").shape == (0, 44)


def test_a_palm_frame_is_orthonormal_and_the_palm_normal_of_a_fist_sees_the_tips() -> None:
    a = hand().transpose(2, 1, 0)
    rel = (a[:, 1:] - a[:, :1]).reshape(3, 5, 4, -1)
    palm = palm_of(rel)
    axes = palm.axes.transpose(2, 0, 1)
    assert np.abs(axes @ axes.transpose(0, 2, 1) - np.eye(3)).max() < 1e-12
    assert np.linalg.det(axes) == pytest.approx(1.0)
    q = landmarks(in_palm(rel, palm))
    assert np.abs(q[:, 2, 0].T - [0.0, 1.0, 0.0]).max() < 1e-12


@recorded
@pytest.mark.parametrize("name", SEQUENCES)
def test_recorded_bend_angles_are_reproduced(name: str) -> None:
    rows = np.load(RECORDINGS / f"{name}.npy")
    points = rows[:, :84].reshape(-1, 21, 4)[:, :, :3]
    bends = features_of(points, side="right", mirrored=True)[:, BEND]
    assert np.abs(bends - rows[:, 84:99]).max() < 1e-4


@recorded
@pytest.mark.parametrize("name", SEQUENCES)
def test_recorded_fingers_bend_to_the_palm(name: str) -> None:
    points = np.load(RECORDINGS / f"{name}.npy")[:, :84].reshape(-1, 21, 4)[:, :, :3]
    curl = features_of(points, side="right", mirrored=True)[:, CURL]
    assert (curl[np.abs(curl) > 60.0] > 0.0).all()
    assert (np.abs(curl) > 60.0).sum() > 30
    wrong = features_of(points, side="left", mirrored=True)[:, CURL]
    assert (wrong[np.abs(wrong) > 60.0] < 0.0).all()


@recorded
def test_a_photographed_fist_is_closed_and_its_side_is_told() -> None:
    poses = json.loads((RECORDINGS / "mediapipe_poses.json").read_text())
    curl = features_of(np.array(poses["fist"]["world_landmarks"])[None], side="right")[0, CURL]
    assert 190.0 < curl < 270.0
