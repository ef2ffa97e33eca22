"""Stored marks that were missed: read from Redis, but only where a mark stands still."""

from collections.abc import AsyncIterator

import msgpack
import pytest
from redis.asyncio import Redis

from config.settings import load_settings
from models.bus import Bus
from models.play.buffer import PlayBuffer
from models.play.keys import PlayKeys
from models.play.ownership import Ownership
from models.therapy.rules import Therapy
from sessions.appender import Appender
from sessions.catalogue import catalogue
from sessions.engine import Engine
from sessions.feed import FeedHub
from sessions.opened import opened_of
from sessions.session import Session
from tests.factories import ManualClock, redis_of


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with redis_of(redis_url) as client:
        yield client


async def test_a_mark_is_read_when_it_stood_still_between_two_looks(
    redis: Redis, redis_prefix: str
) -> None:
    clock, keys, live = ManualClock(), PlayKeys(redis_prefix, 1), load_settings().live
    engine = Engine(catalogue=catalogue(), hub=FeedHub(), clock=clock, limits=live, keys=keys)
    appender = Appender(
        engine=engine, buffer=PlayBuffer(redis, keys, 60, clock), bus=Bus(redis), keys=keys,
        ownership=Ownership(redis, keys, 60, clock), clock=clock,
    )  # fmt: skip
    heard: list[int] = []
    for name in ("still", "moving", "stored"):
        document = {
            "_id": name, "child_id": "c", "opened_by": "u", "kind": "free", "space": "world",
            "fps": 30.0,
        }  # fmt: skip
        session = Session(opened_of(document, Therapy(), ""), live, 1)
        session.take_up(9, 9 if name == "stored" else 4)
        engine.add(session)
        await redis.hset(keys.session(name), "stored", 7)
    marks = engine.sessions

    def tell(stored: int) -> None:
        appender._heard(msgpack.packb({"moving": stored}))

    await appender.refresh()
    heard += [marks["still"].stored]
    tell(5)
    await appender.refresh()
    assert heard == [4]
    assert {name: session.stored for name, session in marks.items()} == {
        "still": 7, "moving": 5, "stored": 9,
    }  # fmt: skip
