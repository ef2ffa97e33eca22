"""Purity: the same bytes however a hand's records arrive, and no hand that sees another."""

import json
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sessions.frames import MIRRORED, NO_HAND, FrameMessage
from sessions.scoring.batch import Batch
from sessions.scoring.marks import Peak, Rep
from sessions.scoring.plan import SetPlan
from tests.sessions.scoring.made import (
    MOTIONS,
    alone,
    cut,
    facts,
    message,
    plan,
    played,
    score,
    spoilt,
    still,
)


def test_a_set_alone_has_repetitions_to_compare() -> None:
    for motion in MOTIONS:
        marks, result = alone(motion)
        assert len(marks) >= 2
        assert '"class": "full"' in result or '"class": "partial"' in result


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(MOTIONS), st.lists(st.integers(1, 64), max_size=40), st.data())
def test_any_cut_into_messages_and_ticks_gives_the_same_bytes(
    motion: str, sizes: list[int], data: st.DataObject
) -> None:
    messages = cut(spoilt(motion), sizes)
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


@settings(max_examples=4, deadline=None)
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
        queues[slot] = cut(spoilt(motion), [size] * 300)
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


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(MOTIONS))
def test_a_spoilt_stream_is_scored_alike_in_one_tick_and_in_many(seed: int, motion: str) -> None:
    rng = np.random.default_rng(seed)
    made = spoilt(motion).copy()
    n = len(made)

    def some(share: float) -> NDArray[np.bool_]:
        return rng.random(n) < share

    made["dt"][some(0.05)] += 400_000
    made["dt"] += np.cumsum(np.where(some(0.01), 600_000, 0)).astype(np.uint32)
    made["dseq"][some(0.05)] -= 1
    made["flags"][some(0.05)] = NO_HAND
    made["flags"][some(0.05)] |= MIRRORED
    made["side"][some(0.05)] = 0
    made["score"][some(0.05)] = 3
    scaled = some(0.1)
    made["lm"][scaled] = made["lm"][scaled] * rng.uniform(0.2, 1.8)
    made["lm"][some(0.02)] = 0
    made = made[np.sort(rng.integers(0, n, n))]
    outcomes = []
    for sizes in ([1] * n, [64] * n):
        batch = Batch(1)
        slot = batch.open(plan(motion))
        work = [(slot, one) for one in cut(made, sizes)]
        ticks = [work] if sizes[0] > 1 else [[one] for one in work]
        marks = [facts(mark) for tick in ticks for mark in batch.step(tick)]
        result = batch.close(slot)
        verdicts = dict(result["verdicts"])
        verdicts.pop("frozen")
        assert sum(verdicts.values()) == n
        outcomes.append((marks, json.dumps(result, allow_nan=False)))
    assert outcomes[0] == outcomes[1]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_garbage_next_door_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(4)
    rubbish, slot, other = (batch.open(plan(m)) for m in ("turn", "fist", "fist"))
    assert other != slot
    marks = []
    for one in cut(spoilt("fist"), [3] * 300):
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
    made = spoilt("fist")
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
        assert sum(verdicts.values()) == len(spoilt(motion))


def test_sending_twice_changes_only_the_counts() -> None:
    made = spoilt("fist")
    marks, result = score(plan(), cut(np.repeat(made, 2), [5] * 500))
    wanted = json.loads(alone("fist")[1])
    verdicts, before = result.pop("verdicts"), wanted.pop("verdicts")
    assert [facts(mark) for mark in marks] == alone("fist")[0]
    assert result == wanted
    assert verdicts["duplicate"] == before["accepted"] + before["accepted_gap"]


def test_slots_are_freed_and_used_anew_without_memory() -> None:
    batch = Batch(1)
    first = batch.open(plan("tap"))
    second = batch.open(plan("fist"))
    for one in cut(spoilt("tap"), []):
        batch.step([(first, one), (second, one)])
    batch.close(first)
    again = batch.open(plan("fist"))
    assert again == first
    for one in cut(spoilt("fist"), []):
        batch.step([(again, one)])
    assert json.dumps(batch.close(again)) == alone("fist")[1]
    with pytest.raises(ValueError, match="no open set"):
        batch.close(again)
    with pytest.raises(ValueError, match="no open set"):
        batch.step([(again, message(still(1)))])
    with pytest.raises(ValueError, match="no open set"):
        batch.live(-1)
    with pytest.raises(ValueError, match="slot 64 has no open set"):
        batch.lives((second, 64))


def test_a_quicker_camera_gets_a_longer_ring_and_disturbs_no_other() -> None:
    batch = Batch(1)
    slot = batch.open(plan())
    messages = cut(spoilt("fist"), [7] * 100)
    half = len(messages) // 2
    for one in messages[:half]:
        batch.step([(slot, one)])
    quick = batch.open(plan("tap", fps=60.0))
    for one in messages[half:]:
        batch.step([(slot, one), (quick, one)])
    assert json.dumps(batch.close(slot)) == alone("fist")[1]


def test_the_start_of_the_clock_does_not_matter() -> None:
    made = spoilt("fist")
    shifted = json.loads(alone("fist")[1])
    origin = 1_700_000_000_000_000
    moved: SetPlan = plan(guide_t0_us=origin)
    result = score(moved, cut(made, [4] * 300, t0=origin))[1]
    for one in (*result["reps"], *shifted["reps"]):
        one["t_us"] %= origin
    assert result == shifted
