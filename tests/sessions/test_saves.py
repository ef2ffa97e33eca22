"""Which sets are kept when: in time, a shard at a time, never many at once."""

from types import SimpleNamespace
from typing import cast

import pytest

from sessions.saves import AT_ONCE, SOON, Saves
from sessions.session import Session

EVERY_S = 10.0
SHARDS = 4


def shard_of(session_id: str) -> int:
    return int(session_id) % SHARDS


def session(n: int, *, playing: bool = True) -> Session:
    return cast("Session", SimpleNamespace(id=str(n), open_set=object() if playing else None))


@pytest.mark.parametrize("together", [False, True], ids=["one after another", "all at once"])
def test_each_set_is_kept_in_time_with_others_of_its_shard(together: bool) -> None:
    saves = Saves(EVERY_S, SHARDS, shard_of)
    held = {str(n): session(n) for n in range(100)}
    for n, one in enumerate(held.values()):
        saves.enter(one, 0.0 if together else n * 0.1)
    kept: dict[str, list[float]] = {session_id: [] for session_id in held}
    for step in range(1000):
        now = step * 0.05
        taken = saves.take(now, held)
        assert len(taken) <= AT_ONCE
        assert len({shard_of(one.id) for one in taken}) <= 1
        for one in taken:
            kept[one.id].append(now)
    for n, times in enumerate(kept.values()):
        begun = 0.0 if together else n * 0.1
        for before, now in zip([begun, *times], times, strict=False):
            assert EVERY_S * (1 - SOON) - 0.05 <= now - before <= EVERY_S + 1.5
        assert len(times) >= 3


def test_who_has_left_or_plays_no_set_is_passed_over() -> None:
    saves = Saves(EVERY_S, SHARDS, shard_of)
    gone, idle, back, plays = session(0), session(4, playing=False), session(8), session(12)
    for one in (gone, idle, back, plays):
        saves.enter(one, 0.0)
    held = {"4": idle, "8": session(8), "12": plays}
    assert saves.take(EVERY_S - 1, held) == []
    assert saves.take(EVERY_S, held) == [plays]
    assert saves.take(EVERY_S, held) == []
    assert saves.take(2 * EVERY_S, held) == [plays]
