"""The batch: the same bytes however it is fed, and no hand that sees another."""

import json
from functools import cache
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sessions.frames import NO_HAND, FrameMessage
from sessions.scoring.batch import Batch
from sessions.scoring.marks import Mark, Peak, Rep
from sessions.scoring.plan import SetPlan
from tests.sessions.scoring.made import ANCHORS, cut, message, plan, played, score, still

MOTIONS = tuple(ANCHORS)


@cache
def records(motion: str) -> NDArray[np.void]:
    """Two repetitions with noise, dropouts and jumps."""
    return played(motion, reps=2, seed=4, dropout_rate=0.3, jump_rate=0.02, landmark_noise_mm=1.0)


@cache
def alone(motion: str) -> tuple[list[Any], str]:
    marks, result = score(plan(motion), cut(records(motion), [1] * 2000))
    return [facts(mark) for mark in marks], json.dumps(result, allow_nan=False)


def facts(mark: Mark) -> Any:
    if isinstance(mark, Peak):
        return "peak", mark.rep_no, mark.t_us, mark.z
    return "rep", mark.rep_no, mark.cls, json.dumps(mark.values)


def test_a_set_alone_has_repetitions_to_compare() -> None:
    for motion in MOTIONS:
        marks, result = alone(motion)
        assert len(marks) >= 2
        assert '"class": "full"' in result or '"class": "partial"' in result


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(MOTIONS), st.lists(st.integers(1, 64), max_size=40), st.data())
def test_any_cut_into_messages_and_ticks_gives_the_same_bytes(
    motion: str, sizes: list[int], data: st.DataObject
) -> None:
    messages = cut(records(motion), sizes)
    batch = Batch(1)
    slot = batch.open(plan(motion))
    marks: list[Any] = []
    while messages:
        taken = data.draw(st.integers(1, len(messages)))
        work = [(slot, one) for one in messages[:taken]]
        found = batch.step(work)
        for mark in found:
            if isinstance(mark, Rep):
                assert mark.work_index < taken
        marks += [facts(mark) for mark in found]
        messages = messages[taken:]
    assert marks == alone(motion)[0]
    assert json.dumps(batch.close(slot), allow_nan=False) == alone(motion)[1]


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 70), st.integers(1, 9), st.integers(0, 2**32))
def test_any_number_of_neighbours_gives_the_same_bytes(hands: int, size: int, seed: int) -> None:
    random = Random(seed)
    batch = Batch(2)
    queues: dict[int, list[FrameMessage]] = {}
    motions: dict[int, str] = {}
    for _ in range(hands):
        motion = random.choice(MOTIONS)
        slot = batch.open(plan(motion))
        motions[slot] = motion
        queues[slot] = cut(records(motion), [size] * 300)
    marks: dict[int, list[Any]] = {slot: [] for slot in queues}
    while any(queues.values()):
        # Some hands are late, some send several messages at once, in any order among the slots.
        work = []
        for slot in random.sample(sorted(queues), hands):
            taken = random.choice((0, 1, 1, 2, 5, 20))
            work += [(slot, one) for one in queues[slot][:taken]]
            queues[slot] = queues[slot][taken:]
        for mark in batch.step(work):
            assert work[mark.work_index][0] == mark.slot
            marks[mark.slot].append(facts(mark))
    for slot, motion in motions.items():
        assert marks[slot] == alone(motion)[0]
        assert json.dumps(batch.close(slot), allow_nan=False) == alone(motion)[1]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_garbage_next_door_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(4)
    rubbish, slot, other = (batch.open(plan(m)) for m in ("turn", "fist", "fist"))
    assert other != slot
    marks = []
    for one in cut(records("fist"), [3] * 300):
        noise = np.frombuffer(rng.bytes(140 * 3), one.records.dtype).copy()
        noise["side"] %= 2
        noise["flags"] &= 2
        work = [(rubbish, message(noise, t0=int(rng.integers(2**63)))), (slot, one)]
        marks += [facts(mark) for mark in batch.step(work) if mark.slot == slot]
    assert marks == alone("fist")[0]
    assert json.dumps(batch.close(slot), allow_nan=False) == alone("fist")[1]
    json.dumps(batch.close(rubbish), allow_nan=False)


def test_marks_name_the_message_that_made_them() -> None:
    messages = cut(played(reps=4), [2] * 500)
    one_by_one: list[tuple[int, Any]] = []
    batch = Batch(1)
    slot = batch.open(plan())
    for i, one in enumerate(messages):
        one_by_one += [(i, facts(mark)) for mark in batch.step([(slot, one)])]
    at_once = Batch(1)
    slot = at_once.open(plan())
    marks = at_once.step([(slot, one) for one in messages])
    assert [(mark.work_index, facts(mark)) for mark in marks] == one_by_one
    assert [mark.rep_no for mark in marks if isinstance(mark, Peak)] == [1, 2, 3, 4]
    for mark in marks:
        # The peak lies in the past of the frame that shows it.
        times = messages[mark.work_index].t_us()
        assert (mark.t_us if isinstance(mark, Peak) else mark.values["t_us"]) < times[-1]


@pytest.mark.parametrize("size", [1, 2, 4, 6])
def test_the_other_hand_in_the_picture_is_ignored(size: int) -> None:
    made = records("fist")
    both = np.repeat(made, 2)
    both["side"][1::2] = 0
    both["lm"][1::2] = both["lm"][::-2]
    strangers = made.copy()
    strangers["side"] = 0
    batch = Batch(2)
    slot, idle = batch.open(plan()), batch.open(plan())
    marks = []
    for one, other in zip(cut(both, [size] * 500), cut(strangers, [size] * 500), strict=False):
        marks += [facts(mark) for mark in batch.step([(idle, other), (slot, one)])]
    for one in cut(both, [size] * 500)[len(cut(strangers, [size] * 500)) :]:
        marks += [facts(mark) for mark in batch.step([(slot, one)])]
    result = batch.close(slot)
    assert result["verdicts"].pop("other_hand") == len(made)
    wanted = json.loads(alone("fist")[1])
    del wanted["verdicts"]["other_hand"]
    assert result == wanted
    assert marks == alone("fist")[0]
    assert batch.close(idle)["verdicts"]["other_hand"] == len(made)


def test_every_record_is_counted() -> None:
    for motion in MOTIONS:
        verdicts = json.loads(alone(motion)[1])["verdicts"]
        verdicts.pop("frozen")
        assert sum(verdicts.values()) == len(records(motion))


def test_sending_twice_changes_only_the_counts() -> None:
    made = records("fist")
    marks, result = score(plan(), cut(np.repeat(made, 2), [5] * 500))
    wanted = json.loads(alone("fist")[1])
    verdicts, before = result.pop("verdicts"), wanted.pop("verdicts")
    assert [facts(mark) for mark in marks] == alone("fist")[0]
    assert result == wanted
    assert verdicts["duplicate"] == before["accepted"] + before["accepted_gap"]


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
    seen = batch.advice(slot)
    assert not seen.hand_missing
    assert 0.4 < seen.valid < 0.6
    batch.step([(slot, message(gone[60:]))])
    assert batch.advice(slot).hand_missing
    assert batch.advice(slot).valid < 0.1
    wrong = batch.open(plan())
    mirrored = played(reps=2)
    mirrored["lm"][:, :, 0] *= -1
    for one in cut(mirrored, []):
        batch.step([(wrong, one)])
    assert batch.advice(wrong).chirality_inverted
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
        marks, result = score(plan(motion), cut(records(motion), []))
        assert types(result) <= {str, int, float, type(None)}
        assert json.loads(json.dumps(result, allow_nan=False)) == result
        for mark in marks:
            if isinstance(mark, Rep):
                assert mark.values in result["reps"]
            else:
                assert {type(mark.t_us), type(mark.rep_no), type(mark.z)} == {int, float}


def test_slots_are_freed_and_used_anew_without_memory() -> None:
    batch = Batch(1)
    first = batch.open(plan("tap"))
    second = batch.open(plan("fist"))
    for one in cut(records("tap"), []):
        batch.step([(first, one), (second, one)])
    batch.close(first)
    again = batch.open(plan("fist"))
    assert again == first
    for one in cut(records("fist"), []):
        batch.step([(again, one)])
    assert json.dumps(batch.close(again)) == alone("fist")[1]
    with pytest.raises(ValueError, match="no open set"):
        batch.close(again)
    with pytest.raises(ValueError, match="no open set"):
        batch.step([(again, message(still(1)))])
    with pytest.raises(ValueError, match="no open set"):
        batch.live(-1)


def test_a_quicker_camera_gets_a_longer_ring_and_disturbs_no_other() -> None:
    batch = Batch(1)
    slot = batch.open(plan())
    messages = cut(records("fist"), [7] * 100)
    half = len(messages) // 2
    for one in messages[:half]:
        batch.step([(slot, one)])
    quick = batch.open(plan("tap", fps=60.0))
    for one in messages[half:]:
        batch.step([(slot, one), (quick, one)])
    assert json.dumps(batch.close(slot)) == alone("fist")[1]


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


def test_the_start_of_the_clock_does_not_matter() -> None:
    made = records("fist")
    shifted = json.loads(alone("fist")[1])
    origin = 1_700_000_000_000_000
    moved: SetPlan = plan(guide_t0_us=origin)
    result = score(moved, cut(made, [4] * 300, t0=origin))[1]
    for one in (*result["reps"], *shifted["reps"]):
        one["t_us"] %= origin
    assert result == shifted
