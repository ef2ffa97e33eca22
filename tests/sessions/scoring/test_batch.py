"""The batch: what a set tells while it runs, and what is left of it."""

import json
from typing import Any

import numpy as np
import pytest

from sessions.frames import NO_HAND
from sessions.scoring.batch import Batch
from sessions.scoring.marks import Peak, Rep
from tests.sessions.scoring.made import (
    MOTIONS,
    cut,
    message,
    plan,
    played,
    score,
    spoilt,
    still,
)


def test_a_pause_of_ten_seconds_starts_anew() -> None:
    one = played(reps=2, seed=2)
    half = len(one) // 4
    closing = int(np.argmax(one["dt"] > one["dt"][half])) + 25
    split = one.copy()
    split["dt"][closing:] += 10_000_000
    marks, result = score(plan(), cut(split, [2] * 400))
    assert result["verdicts"]["accepted_gap"] == 1
    interrupted = [mark for mark in marks if isinstance(mark, Rep) and mark.cls == "interrupted"]
    peaks = [mark.rep_no for mark in marks if isinstance(mark, Peak)]
    assert peaks == list(range(1, len(peaks) + 1))
    assert len(interrupted) == result["metrics"]["interrupted"]
    # What comes after the pause is scored as a set of its own would be.
    rest = score(plan(), cut(split[closing:], [2] * 400))[1]
    after = [rep for rep in result["reps"] if rep["t_us"] > int(split["dt"][closing])]
    assert [rep["t_on"] for rep in after] == [rep["t_on"] for rep in rest["reps"]]
    assert result["quality"]["q_gap"] < 0.5


def test_a_gap_interrupts_the_repetition_that_waits_for_its_end() -> None:
    made = played(reps=2, seed=2, landmark_noise_mm=0.0)
    batch = Batch(1)
    slot = batch.open(plan())
    for i in range(len(made)):
        if any(isinstance(mark, Peak) for mark in batch.step([(slot, message(made[i : i + 1]))])):
            break
    later = made[i + 1 : i + 2].copy()
    later["dt"] += 700_000
    (mark,) = batch.step([(slot, message(later))])
    assert isinstance(mark, Rep)
    assert (mark.cls, mark.rep_no, mark.values["reason"]) == ("interrupted", 1, "gap")
    assert mark.values["amplitude"] is None
    assert batch.close(slot)["metrics"]["interrupted"] == 1


def test_a_long_rest_rejects_no_repetition() -> None:
    made = played(reps=2, seed=3, landmark_noise_mm=0.2)
    marks, wanted = score(plan(), cut(made, [1] * 900))
    first = next(mark.values for mark in marks if isinstance(mark, Rep))
    at = int(np.searchsorted(made["dt"], first["t_us"])) + 50
    pause = still(1800, jitter=2e-4)
    pause["lm"] += made["lm"][at] - pause["lm"][0]
    pause["dt"] += made["dt"][at] + 33_333
    end = made[at + 1 :].copy()
    end["dt"] += pause["dt"][-1] - made["dt"][at]
    whole = np.concatenate((made[: at + 1], pause, end))
    whole["dseq"] = np.arange(len(whole))
    result = score(plan(), cut(whole, [2] * 2000))[1]
    assert [rep["class"] for rep in result["reps"]] == [rep["class"] for rep in wanted["reps"]]
    for rested, plain in zip(result["reps"], wanted["reps"], strict=True):
        assert rested["duration"] == pytest.approx(plain["duration"], abs=0.2)
        assert rested["sparc"] == pytest.approx(plain["sparc"], abs=0.3)
        assert rested["finger_rom"]["index"] == pytest.approx(plain["finger_rom"]["index"], rel=0.1)
    assert result["duration"] > 60.0


def test_too_slow_too_quick_and_too_sparse_repetitions_are_rejected() -> None:
    made = played(reps=1, seed=5)
    reasons = []
    for stretch, kept in ((1.0, 1), (0.05, 1), (8.0, 1), (1.0, 4)):
        changed = made[::kept].copy()
        changed["dt"] = made["dt"][::kept] * stretch
        (rep,) = score(plan(fps=30.0 / stretch), cut(changed, [9] * 300))[1]["reps"]
        reasons.append(rep.get("reason"))
    assert reasons == [None, "too_short", "too_long", "missing_frames"]


def test_live_values_follow_the_latest_frame() -> None:
    batch = Batch(1)
    slot = batch.open(plan())
    assert batch.live(slot) is None
    assert batch.trace(slot) == []
    made = played(reps=5)
    full = 0
    for one in cut(made, [1] * 2000):
        for mark in batch.step([(slot, one)]):
            full += isinstance(mark, Rep) and mark.cls == "full"
        live = batch.live(slot)
        assert live is not None
        assert live.t_us == one.t_us()[-1]
        assert live.full == full
        assert 0.0 <= live.quality <= 1.0
        assert live.sim is not None
        assert 0.0 <= live.sim <= 100.0
    trace = batch.trace(slot)
    assert trace[-1] == (live.t_us, live.z)
    assert 9_900_000 < trace[-1][0] - trace[0][0] < 10_000_000
    assert live.quality > 0.9
    assert [t for t, _ in trace] == [int(t) for t in made["dt"][-len(trace) :]]


def test_advice_sees_a_missing_hand_and_a_wrong_side() -> None:
    batch = Batch(1)
    slot = batch.open(plan())
    gone = still(80)
    gone["flags"][45:] = NO_HAND
    batch.step([(slot, message(gone[:60]))])
    seen = batch.advices((slot,))[0]
    assert not seen.hand_missing
    assert 0.4 < seen.valid < 0.6
    batch.step([(slot, message(gone[60:]))])
    assert batch.advices((slot,))[0].hand_missing
    assert batch.advices((slot,))[0].valid < 0.1
    wrong = batch.open(plan())
    mirrored = played(reps=2)
    mirrored["lm"][:, :, 0] *= -1
    for one in cut(mirrored, []):
        batch.step([(wrong, one)])
    assert batch.advices((wrong,))[0].chirality_inverted
    result = batch.close(wrong)
    assert result["flags"] == ["chirality_inverted"]
    assert result["quality"]["q_chir"] == result["quality"]["q"] == 0.0
    assert batch.close(slot, unfinished=True)["flags"] == ["unfinished"]


def test_a_new_target_counts_from_the_next_frame_on() -> None:
    made = played(reps=2, rom=0.6, landmark_noise_mm=0.2, rep_jitter=0.0)
    classes = []
    for target in (248.0, 120.0):
        batch = Batch(1)
        slot = batch.open(plan())
        for i, one in enumerate(cut(made, [1] * 900)):
            if i == len(made) // 2:
                batch.retarget(slot, 7.0, target)
            batch.step([(slot, one)])
        classes.append([rep["class"] for rep in batch.close(slot)["reps"]])
    assert classes == [["partial", "partial"], ["partial", "full"]]


def test_moving_the_target_makes_no_peak() -> None:
    batch = Batch(1)
    slot = batch.open(plan())
    made = played(reps=1, rep_jitter=0.0, landmark_noise_mm=0.0)
    rising = int(made["lm"][:, 12, 1].argmin())
    batch.step([(slot, message(made[: min(rising, 40)]))])
    batch.retarget(slot, 7.0, 2000.0)
    found = batch.step([(slot, message(made[min(rising, 40) : min(rising, 40) + 5]))])
    assert found == []


def test_a_set_without_frames_has_no_measures() -> None:
    batch = Batch(1)
    result = batch.close(batch.open(plan()))
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["quality"]["q"] == 0.0
    assert result["span"] is None
    assert set(result["rom"].values()) == {None}
    metrics = result["metrics"]
    zero = ("reps_full", "reps_partial", "rejected", "interrupted")
    assert all(metrics.pop(name) == 0 for name in zero)
    assert set(metrics.values()) == {None}


def test_results_are_of_plain_types_and_come_back_from_json() -> None:
    def types(value: Any) -> set[type]:
        if isinstance(value, dict):
            return set[type]().union({type(k) for k in value}, *map(types, value.values()))
        if isinstance(value, list):
            return set[type]().union(*map(types, value))
        return {type(value)}

    for motion in MOTIONS:
        marks, result = score(plan(motion), cut(spoilt(motion), []))
        assert types(result) <= {str, int, float, bool, type(None)}
        assert json.loads(json.dumps(result, allow_nan=False)) == result
        for mark in marks:
            if isinstance(mark, Rep):
                assert mark.values in result["reps"]
            else:
                assert {type(mark.t_us), type(mark.rep_no), type(mark.z)} == {int, float}


@pytest.mark.parametrize(
    "changes",
    [
        {"rest": 5.0, "target": 5.0},
        {"target": float("nan")},
        {"rest": float("inf")},
        {"target": 1e300},
        {"fps": 0.0},
        {"fps": float("nan")},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    batch = Batch(1)
    with pytest.raises(ValueError, match=r"anchors|fps"):
        batch.open(plan(**changes))
    slot = batch.open(plan())
    with pytest.raises(ValueError, match="anchors"):
        batch.retarget(slot, 5.0, 5.0)
    with pytest.raises(ValueError, match="direction"):
        batch.retarget(slot, 5.0, 1.0)


def test_a_hand_takes_little_memory() -> None:
    batch = Batch(64)
    for motion in MOTIONS:
        batch.open(plan(motion))
    assert batch.bytes_per_hand() <= 64_000
