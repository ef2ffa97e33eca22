"""News of access: told once Redis is back, and heard although the bus is not."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisAway

from handlers.live.sight import AGAIN_SECONDS, Sight
from models.accounts.records import Principal, Role
from models.bus import Bus
from models.children.access import Access
from models.children.changes import KEPT_SECONDS, AccessChanges
from models.errors import AppError, ErrorCode
from tests.factories import ManualClock, redis_of

WHO = Principal("t_1", "s", frozenset({Role.THERAPIST}), 2**40)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with redis_of(redis_url) as redis:
        yield redis


async def hears(changes: AccessChanges, rounds: int = 1) -> list[str]:
    """Return what a worker hears in some looks at the list."""
    heard: list[str] = []
    changes.told = [heard.append]
    for _ in range(rounds):
        await changes._read()
    return heard


async def test_a_worker_hears_of_a_change_once_and_of_the_next_again(
    redis: Redis, redis_prefix: str
) -> None:
    clock = ManualClock()
    here, there = (AccessChanges(redis, Bus(redis), redis_prefix, clock) for _ in range(2))
    await here.tell("c_1")
    assert await hears(there, rounds=2) == ["c_1"]
    clock.move(1)
    await here.tell("c_1")
    assert await hears(there) == ["c_1"]
    clock.move(KEPT_SECONDS + 1)
    fresh = AccessChanges(redis, Bus(redis), redis_prefix, clock)
    assert await hears(fresh) == [], "too old for anybody"


async def test_what_could_not_be_told_is_told_later(
    redis: Redis, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    here, there = (AccessChanges(redis, Bus(redis), redis_prefix, clock) for _ in range(2))
    heard: list[str] = []
    here.told = [heard.append]

    def away(**_: object) -> None:
        raise RedisAway("away")

    with monkeypatch.context() as patch:
        patch.setattr(redis, "pipeline", away)
        await here.tell("c_1")
    assert heard == ["c_1"], "this worker knows at once"
    assert await hears(there) == []
    running = asyncio.create_task(here.run())
    try:
        async with asyncio.timeout(5):
            while not await hears(there):
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class Door:
    """Answers as it is told to, and counts."""

    def __init__(self, *reachable: str) -> None:
        self.reachable_ones = set(reachable)
        self.asked: list[set[str]] = []
        self.away = False

    async def reachable(self, _: Principal, child_ids: set[str], __: str) -> set[str]:
        self.asked.append(set(child_ids))
        if self.away:
            raise AppError(ErrorCode.BUSY, "away")
        return child_ids & self.reachable_ones


def sight_of(door: Door, clock: ManualClock) -> Sight:
    access: Access = door  # type: ignore[assignment]  # the one question it is asked
    return Sight(access, clock)


async def test_a_watcher_asks_for_each_child_once_and_again_after_a_while() -> None:
    door, clock = Door("c_1"), ManualClock()
    sight = sight_of(door, clock)
    assert await sight.look(WHO, {"c_1", "c_2"}) == {"c_1"}
    assert await sight.look(WHO, {"c_1", "c_2"}) == {"c_1"}
    assert await sight.look(WHO, {"c_1", "c_2", "c_3"}) == {"c_1"}
    assert door.asked == [{"c_1", "c_2"}, {"c_3"}]
    door.reachable_ones = {"c_2"}
    clock.move(AGAIN_SECONDS)
    assert await sight.look(WHO, {"c_1", "c_2"}) == {"c_2"}
    door.reachable_ones = {"c_1", "c_2"}
    sight.forget("c_1")
    assert await sight.look(WHO, {"c_1", "c_2"}) == {"c_1", "c_2"}
    assert door.asked[2:] == [{"c_1", "c_2"}, {"c_1"}]


async def test_what_was_known_stays_known_while_nobody_answers() -> None:
    door, clock = Door("c_1"), ManualClock()
    sight = sight_of(door, clock)
    await sight.look(WHO, {"c_1"})
    door.away = True
    clock.move(AGAIN_SECONDS)
    with pytest.raises(AppError):
        await sight.look(WHO, {"c_1", "c_2"})
    assert sight.known({"c_1", "c_2"}) == {"c_1"}
