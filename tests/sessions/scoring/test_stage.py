"""The frame stage against the same arithmetic in float64, one hand and one number at a time."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from sessions.scoring.batch import Batch
from sessions.scoring.features import ROLL, hand_features
from sessions.scoring.palm import in_palm, palm_of
from sessions.scoring.plan import SetPlan
from tests.sessions.scoring.made import ANCHORS, cut, plan, played
from tests.sessions.scoring.test_filter import Scalar


def reference(plan: SetPlan, records: NDArray[np.void]) -> tuple[NDArray[np.float64], list[float]]:
    """z and similarity of every frame."""
    motion = plan.motion
    t = records["dt"].astype(np.float64) / 1e6
    points = (records["lm"] * 1e-5).transpose(2, 1, 0)
    a = (points[:, 1:] - points[:, :1]).reshape(3, 5, 4, -1)
    palm = palm_of(a)
    q = in_palm(a, palm)
    smooth = np.empty_like(q)
    for channel, values in enumerate(q):
        one = Scalar(values[0], motion.f_min, motion.beta, motion.f_d)
        smooth[channel, 0] = values[0]
        for i in range(1, len(t)):
            smooth[channel, i] = one(values[i], t[i] - t[i - 1])
    features = hand_features(smooth)
    features[ROLL] = np.degrees(np.unwrap(np.radians(features[ROLL])))
    z = (motion.primary @ features - plan.rest) / (plan.target - plan.rest)
    similarities = []
    for i, f in enumerate(features.T):
        phase = math.floor((t[i] * 1e6 / plan.guide_period_us) % 1.0 * 128)
        apart = [
            math.sqrt(sum(motion.guide_weights * (f - motion.guide[(phase + o) % 128]) ** 2))
            for o in range(-5, 6)
        ]
        similarities.append(100.0 * math.exp(-((min(apart) / 20.0) ** 2)))
    return z, similarities


@pytest.mark.parametrize("motion", sorted(ANCHORS))
def test_signal_and_similarity_are_those_of_the_formulas(motion: str) -> None:
    made = played(motion, reps=2, seed=9)[:240]
    wanted, similar = reference(plan(motion), made)
    batch = Batch(1)
    slot = batch.open(plan(motion))
    sims = []
    for one in cut(made, [1] * 300):
        batch.step([(slot, one)])
        live = batch.live(slot)
        assert live is not None
        sims.append(live.sim)
    z = np.array([value for _, value in batch.trace(slot)])
    assert np.abs(z - wanted).max() < 1e-4
    assert np.abs(np.array(sims) - similar).max() < 1e-2
    result = batch.close(slot)
    assert result["metrics"]["sim_mean"] == pytest.approx(np.mean(similar), abs=1e-3)
    rest, target = ANCHORS[motion]
    x_mean = rest + (target - rest) * wanted.mean()
    assert result["metrics"]["x_mean"] == pytest.approx(x_mean, abs=1e-2)


def test_quality_parts_are_those_of_the_frames() -> None:
    made = played(reps=2, seed=9)
    made["score"] = np.arange(len(made)) % 50 + 200
    kept = np.ones(len(made), np.bool_)
    kept[40:46] = False
    made = made[kept]
    batch = Batch(1)
    slot = batch.open(plan())
    for one in cut(made, [5] * 100):
        batch.step([(slot, one)])
    result = batch.close(slot)
    t = made["dt"] / 1e6
    duration = t[-1] - t[0]
    pauses = np.diff(t)
    points = made["lm"] * 1e-5
    scale = np.linalg.norm(points[:, 9] - points[:, 0], axis=1)
    tips = [k for k in range(6, 21) if k % 4 != 1]
    bones = np.linalg.norm(points[:, tips] - points[:, [k - 1 for k in tips]], axis=2)
    bones /= scale[:, None]
    cv = bones.std(axis=0, ddof=1) / bones.mean(axis=0)
    assert result["duration"] == pytest.approx(duration)
    assert result["quality"]["q_gap"] == pytest.approx(
        1.0 - pauses[pauses > 2 / 30].sum() / duration, abs=1e-6
    )
    assert result["quality"]["q_valid"] == pytest.approx(len(made) / (duration * 30.0), abs=1e-9)
    assert result["quality"]["q_bone"] == pytest.approx(1.0 - np.median(cv) / 0.6, abs=1e-5)
    assert result["quality"]["q_conf"] == pytest.approx(made["score"].mean() / 255.0)
    assert result["quality"]["q_chir"] == 1.0


@pytest.mark.parametrize("first", [0, 1, 6, 15, 16, 40])
def test_a_frozen_hand_is_known_at_any_place_in_the_batch(first: int) -> None:
    frozen = played(reps=0, landmark_noise_mm=0.0)[:1].repeat(30)
    frozen["dt"] = np.arange(30) * 33_333
    frozen["dseq"] = np.arange(30)
    batch = Batch(64)
    slots = [batch.open(plan()) for _ in range(41)]
    moving = cut(played(reps=1, seed=2)[:30], [1] * 30)
    for k, one in enumerate(cut(frozen, [1] * 30)):
        # The neighbours come and go, so that the hand stands elsewhere each time.
        near = [(slot, moving[k]) for slot in slots[1 : 1 + max(first - k, 0)]]
        batch.step([*near, (slots[0], one)])
    assert batch.close(slots[0])["verdicts"]["frozen"] == 30
