"""What is live on each worker, with a real Redis: published for whoever is there to read it."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from config.settings import load_settings
from models.play.keys import PlayKeys
from models.therapy.rules import Therapy
from sessions.catalogue import catalogue
from sessions.directory import LIST_LEASE_S, NODE_LEASE_S, UNREAD_S, Directory
from sessions.engine import Engine
from sessions.feed import FeedHub
from sessions.opened import opened_of
from sessions.session import Session
from tests.factories import ManualClock, redis_of


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with redis_of(redis_url) as client:
        yield client


class Workers:
    """Workers of one deployment, at one time."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self.redis, self.keys, self.clock = redis, PlayKeys(prefix, 4), ManualClock()

    def start(self, node: str, session_id: str) -> Directory:
        """Return the directory of a worker that has one session."""
        limits = load_settings().live
        engine = Engine(
            catalogue=catalogue(), hub=FeedHub(), clock=self.clock, limits=limits, keys=self.keys
        )
        document = {
            "_id": session_id, "child_id": "c", "opened_by": "u", "kind": "free",
            "space": "world", "fps": 30.0, "opened_us": 0,
        }  # fmt: skip
        engine.add(Session(opened_of(document, Therapy(), ""), limits, 1))
        return Directory(
            node=node, engine=engine, redis=self.redis, keys=self.keys, clock=self.clock,
            every_ms=limits.directory_ms,
        )  # fmt: skip

    async def publishes(self, directory: Directory, node: str) -> bool:
        """Tell whether the next publication has the list in it."""
        await self.redis.delete(self.keys.live(node))
        await directory.publish()
        return bool(await self.redis.exists(self.keys.live(node)))


@pytest.fixture
def workers(redis: Redis, redis_prefix: str) -> Workers:
    return Workers(redis, redis_prefix)


async def test_a_worker_that_comes_finds_what_is_live_on_the_other(workers: Workers) -> None:
    first = workers.start("one", "s1")
    await first.publish()
    workers.clock.move(UNREAD_S - 0.1)
    await first.publish()
    second = workers.start("two", "s2")
    await second.publish()
    found = {session_id: line["node"] for session_id, line in (await second.read()).items()}
    assert found == {"s1": "one", "s2": "two"}
    assert (await first.find("s2") or {})["node"] == "two"
    assert await first.find("s3") is None


async def test_a_list_that_nobody_reads_is_renewed_before_it_lapses(workers: Workers) -> None:
    alone = workers.start("one", "s1")
    assert await workers.publishes(alone, "one")
    assert not await workers.publishes(alone, "one")
    workers.clock.move(UNREAD_S)
    assert await workers.publishes(alone, "one")
    assert UNREAD_S < LIST_LEASE_S


async def test_a_list_is_published_each_time_while_another_worker_is_there(
    workers: Workers,
) -> None:
    one, two = workers.start("one", "s1"), workers.start("two", "s2")
    await one.publish()
    await two.publish()
    assert await workers.publishes(two, "two")
    await one.publish()
    assert await workers.publishes(one, "one")
    await two.withdraw()
    assert await workers.publishes(one, "one"), "it was there the last time"
    assert not await workers.publishes(one, "one")


async def test_a_worker_that_lapsed_is_nobody(workers: Workers) -> None:
    one, two = workers.start("one", "s1"), workers.start("two", "s2")
    await two.publish()
    await one.publish()
    workers.clock.move(NODE_LEASE_S + 0.1)
    await one.publish()
    assert not await workers.publishes(one, "one")
    assert list(await one.read()) == ["s1"]
