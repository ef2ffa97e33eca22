"""Snapshots: a set that moves to another batch in the middle goes on to the last bit."""

import json
from dataclasses import replace
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions.scoring.batch import Batch
from sessions.scoring.snapshot import SnapshotError
from tests.sessions.scoring.made import (
    FRAME_US,
    HOLDS,
    MOTIONS,
    alone,
    cut,
    facts,
    message,
    plan,
    played,
    spoilt,
)


@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from(MOTIONS),
    st.lists(st.integers(1, 24), min_size=1, max_size=8),
    st.lists(st.sampled_from(MOTIONS), max_size=3),
)
def test_a_set_that_moves_between_batches_ends_in_the_same_bytes(
    motion: str, cuts: list[int], neighbours: list[str]
) -> None:
    batch = Batch(1)
    slot = batch.open(plan(motion))
    marks: list[Any] = []
    for one in cut(spoilt(motion), cuts):
        marks += [facts(mark) for mark in batch.step([(slot, one)])]
        data = batch.save(slot)
        assert batch.save(slot) == data
        trace = batch.trace(slot)
        batch = Batch(2)
        for other in neighbours:
            at = batch.open(plan(other))
            batch.step([(at, message(spoilt(other)[:5]))])
        slot = batch.load(plan(motion), data)
        assert batch.save(slot) == data
        assert batch.trace(slot) == trace
        told = [mark for mark in marks if mark[0] == "rep"]
        assert [json.dumps(rep) for rep in batch.reps(slot)] == [rep[-1] for rep in told]
    assert marks == alone(motion)[0]
    assert json.dumps(batch.close(slot), allow_nan=False) == alone(motion)[1]


@pytest.mark.parametrize("motion", ["fist", "turn", "pinch", "count"])
def test_frames_of_who_had_the_slot_before_are_not_seen(motion: str) -> None:
    hold_s = 4.0 if motion in HOLDS else None
    messages = cut(played(motion, reps=5, seed=2, hold_s=hold_s), [])
    others = cut(played("fist", reps=9, seed=3), [64] * 6)[:6]
    alone, moved, other = Batch(1), Batch(1), Batch(1)
    slot = alone.open(plan(motion))
    at = moved.open(plan(motion))
    for one in messages:
        alone.step([(slot, one)])
        moved.step([(at, one)])
        before = other.open(plan("fist", fps=60.0))
        for frames in others:
            other.step([(before, frames)])
        other.close(before)
        data = moved.save(at)
        moved.close(at)
        moved, other = other, moved
        at = moved.load(plan(motion), data)
        assert at == before
    assert moved.close(at) == alone.close(slot)


def test_a_repetition_settled_before_the_move_is_closed_after_it() -> None:
    made = played(reps=3)
    rest = made[-1:].repeat(1200)
    rest["dt"] += (np.arange(1, 1201) * FRAME_US).astype(np.uint32)
    rest["dseq"] += np.arange(1, 1201).astype(np.uint16)
    again = made.copy()
    again["dt"] += rest["dt"][-1] + FRAME_US
    again["dseq"] += rest["dseq"][-1] + 1
    messages = cut(np.concatenate([made, rest, again]), [])
    half = (len(made) + len(rest)) // 32
    results = []
    for moves in (False, True):
        batch = Batch(1)
        slot = batch.open(plan())
        for k, one in enumerate(messages):
            batch.step([(slot, one)])
            if moves and k == half:
                data = batch.save(slot)
                assert _opened(data)["book"]["settled"] is not None
                batch = Batch(1)
                slot = batch.load(plan(), data)
        results.append(json.dumps(batch.close(slot)))
    assert results[0] == results[1]


def test_moved_anchors_travel_with_the_set() -> None:
    first, second = Batch(1), Batch(1)
    slot = first.open(plan())
    messages = cut(played(reps=3), [10] * 40)
    for one in messages[:10]:
        first.step([(slot, one)])
    first.retarget(slot, 7.0, 180.0)
    moved = second.load(plan(), first.save(slot))
    for one in messages[10:]:
        first.step([(slot, one)])
        second.step([(moved, one)])
    assert first.close(slot) == second.close(moved)


def test_a_snapshot_of_something_else_is_refused_and_holds_no_slot() -> None:
    batch = Batch(1)
    slot = batch.open(plan())
    batch.step([(slot, message(played(reps=1)[:20]))])
    data = batch.save(slot)
    batch.close(slot)
    held = _opened(data)
    state = held["state"]
    short = held | {"state": state | {"row": state["row"][:-1]}}
    double = held | {"state": state | {"row": 2 * state["row"]}}
    reps = held | {"reps": 1}
    missing = held | {"state": state | {"past": state["past"][:-16]}}
    uneven = held | {"state": state | {"counts": state["counts"] + bytes(4)}}
    beyond = held | {"state": state | {"bins": b"\xff" * len(state["bins"])}}
    empty = held | {"state": {}}
    for spoilt_data in (
        b"",
        b"\xc1",
        data[:-3],
        msgpack.packb(3),
        msgpack.packb({}),
        msgpack.packb(held | {"layout": "0"}),
        *map(msgpack.packb, (short, double, reps, missing, uneven, beyond)),
        msgpack.packb(empty),
        msgpack.packb(held | {"book": {}}),
    ):
        with pytest.raises(SnapshotError):
            batch.load(plan(), spoilt_data)
    for other in (plan("spread"), plan(side="left"), replace(plan(), guide_t0_us=1)):
        with pytest.raises(SnapshotError, match="another set"):
            batch.load(other, data)
    assert batch.load(plan(), data) == slot
    assert batch.save(slot) == data


def test_a_snapshot_is_small_and_quickly_made() -> None:
    batch = Batch(1)
    slot = batch.open(plan())
    for one in cut(played(reps=8), [32] * 40):
        batch.step([(slot, one)])
    assert len(batch.save(slot)) < 40_000


def test_sets_saved_together_are_saved_as_each_alone() -> None:
    batch = Batch(1)
    slots = [batch.open(plan(motion)) for motion in MOTIONS]
    for slot, motion in zip(slots, MOTIONS, strict=True):
        for one in cut(spoilt(motion), [24] * 4):
            batch.step([(slot, one)])
    assert batch.saves(slots) == [batch.save(slot) for slot in slots]
    assert batch.saves([]) == []


def _opened(data: bytes) -> dict[str, Any]:
    """The map at the beginning of a snapshot."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    held: dict[str, Any] = unpacker.unpack()
    return held
