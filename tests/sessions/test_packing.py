"""What is told as msgpack: the same values as they are held, whatever the motion."""

from typing import Any

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from sessions.packing import pack, packed_feed, packed_marks, packed_scores
from sessions.scoring.batch import Batch, Rep
from sessions.scoring.marks import Live
from sessions.scoring.plan import SetPlan
from sessions.sets import OpenSet
from tests.sessions.scoring.made import MOTIONS, cut, plan, played


def body(open_set: OpenSet, live: Live) -> dict[str, Any]:
    """The event `score`, put together from what a set is known by."""
    told = {"set_no": open_set.set_no, **live._asdict()}
    if live.held is None:
        del told["held"]
    return told


def test_scores_of_all_kinds_are_told_as_they_stand() -> None:
    batch = Batch(4)
    plans: list[SetPlan] = [plan(motion) for motion in MOTIONS]
    slots = [batch.open(one) for one in plans]
    sets = [OpenSet({"set_no": 9_000 + n}, {}, slot) for n, slot in enumerate(slots)]
    for open_set, motion in zip(sets, MOTIONS, strict=True):
        for one in cut(played(motion, reps=2), [3] * 999):
            for mark in batch.step([(open_set.slot, one)]):
                if isinstance(mark, Rep):
                    open_set.tell(mark.values)
    sets.append(OpenSet({"set_no": 1}, {}, batch.open(plan())))  # one that has not begun
    slots.append(sets[-1].slot)
    for order in (1, -1):
        look = batch.look(slots[::order])
        told = packed_scores(sets[::order], look)[::order]
        assert told[-1] == b""
        lives = batch.lives(slots)
        assert [msgpack.unpackb(score) for score in told[:-1]] == [
            body(open_set, live)
            for open_set, live in zip(sets, lives, strict=True)
            if live is not None
        ]
    seen = [msgpack.unpackb(score) for score in told[:-1]]
    assert {("held" in one, one["sim"] is None) for one in seen} >= {(False, False), (True, False)}
    assert sum(one["full"] + one["partial"] for one in seen) > len(MOTIONS)


def test_a_set_without_a_guide_has_no_similarity() -> None:
    for kind, found in ((0, None), (1, 5.0)):
        batch = Batch(1)
        slot = batch.open(plan())
        (message,) = cut(played()[:1], [1])
        batch.step([(slot, message)])
        look = batch.look([slot])
        look.kind[:] = kind
        look.sim[:] = 5.0
        (told,) = packed_scores([OpenSet({"set_no": 1}, {}, slot)], look)
        assert msgpack.unpackb(told)["sim"] == found


@given(st.lists(st.sampled_from(["full", "partial", "rejected", "interrupted"]), max_size=9))
def test_a_set_goes_on_counting_where_it_was_left(classes: list[str]) -> None:
    fresh = OpenSet({"set_no": 1}, {}, 0)
    for cls in classes:
        fresh.tell({"class": cls})
    resumed = OpenSet({"set_no": 1}, {}, 0, [{"class": cls} for cls in classes])
    assert resumed == fresh
    assert (fresh.full, fresh.partial) == (classes.count("full"), classes.count("partial"))


@given(st.integers(-1, 2**53), st.integers(-1, 2**53))
def test_marks_are_told_whatever_their_size(buffered: int, stored: int) -> None:
    told = msgpack.unpackb(packed_marks(buffered, stored))
    assert told == {"buffered": buffered, "stored": stored}


@given(
    st.integers(0, 2**53),
    st.binary(max_size=400) | st.integers(0, 70_000).map(bytes),
    st.dictionaries(st.sampled_from(["score", "peak", "rep"]), st.integers()),
    st.integers(0, 2**53),
)
def test_a_feed_item_is_told_with_all_that_goes_with_it(
    offset: int, frames: bytes, extra: dict[str, int], sent_us: int
) -> None:
    packed = {name: pack(value % 2**60) for name, value in extra.items()}
    reader = msgpack.Unpacker()
    reader.feed(packed_feed(pack("s_1"), offset, frames, packed, sent_us))
    assert list(reader) == [
        "s_1",
        offset,
        frames,
        {"sent_us": sent_us, **{name: value % 2**60 for name, value in extra.items()}},
    ]
