"""How sets stand: many at a time as each alone, and the share of valid frames as it is defined."""

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from sessions.frames import NO_HAND
from sessions.scoring.batch import Batch
from tests.sessions.scoring.made import MOTIONS, cut, message, plan, played, still


def test_many_are_looked_at_as_each_alone() -> None:
    batch = Batch(4)
    slots = [batch.open(plan(motion)) for motion in MOTIONS]
    slots.append(batch.open(plan()))  # one that has not begun
    for n, (slot, motion) in enumerate(zip(slots, MOTIONS, strict=False)):
        for one in cut(played(motion, reps=1)[: 40 + 30 * n], [3] * 99):
            batch.step([(slot, one)])
    alone = [batch.live(slot) for slot in slots]
    assert batch.lives(slots) == alone
    assert batch.lives(slots[::-1]) == alone[::-1]
    assert [live is None for live in alone] == [False] * len(MOTIONS) + [True]
    assert batch.advices(slots) == [batch.advices((slot,))[0] for slot in slots]
    assert batch.lives([]) == batch.advices([]) == []


@settings(max_examples=20, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=120))
def test_the_share_of_valid_frames_is_of_the_last_second(seen: list[bool]) -> None:
    batch = Batch(1)
    slot = batch.open(plan())
    records = still(len(seen))
    records["flags"][[not one for one in seen]] = NO_HAND
    valid: deque[int] = deque()
    for record, here in zip(records, seen, strict=True):
        batch.step([(slot, message(record[None]))])
        now = int(record["dt"])
        if here:
            valid.append(now)
        while valid and valid[0] <= now - 1_000_000:
            valid.popleft()
        due = max(30.0 * min(now / 1e6, 1.0), 1.0)
        assert batch.advices((slot,))[0].valid == min(len(valid) / due, 1.0)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.booleans())
def test_plain_messages_are_scored_as_decoded_ones(sizes: list[int], together: bool) -> None:
    records = played(reps=1)[:60]
    results = []
    for plain in (False, True):
        batch = Batch(2)
        slots = [batch.open(plan()) for _ in range(2)]
        work = [(slot, one) for one in cut(records, sizes) for slot in slots]
        ticks = [work] if together else [[one] for one in work]
        marks = []
        for tick in ticks:
            if plain:
                marks += batch.step_plain([s for s, _ in tick], [m.plain() for _, m in tick])
            else:
                marks += batch.step(tick)
        results.append((marks, [batch.close(slot) for slot in slots]))
    assert results[0] == results[1]
