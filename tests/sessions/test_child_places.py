"""The places of children, with a real Redis: held, renewed, given back and lost."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.settings import load_settings
from models.play.keys import PlayKeys
from models.play.ownership import Ownership
from models.therapy.rules import Therapy
from server.embedded import EmbeddedServers
from sessions.opened import opened_of
from sessions.places import AT_ONCE, CHILD_LEASE_MS, RENEW_S, SOON_S, ChildPlaces
from sessions.session import Session
from tests.factories import ManualClock, redis_of


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with redis_of(redis_url) as client:
        yield client


@pytest.fixture
def own_redis_url(start_embedded: Callable[..., EmbeddedServers]) -> str:
    """Return the URL of a Redis whose memory is no other test's."""
    return start_embedded(mongo_url="none of this one").redis_url


class Here:
    """A worker's places."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self.keys = PlayKeys(prefix, 4)
        self.clock = ManualClock()
        self.ownership = Ownership(redis, self.keys, 60, self.clock)
        self.places = ChildPlaces(self.ownership, self.clock)

    async def play(self, name: str) -> Session:
        """Let a child of its own play a session."""
        document = {
            "_id": name, "child_id": f"kid-{name}", "opened_by": "u", "kind": "free",
            "space": "world", "fps": 30.0,
        }  # fmt: skip
        session = Session(opened_of(document, Therapy(), ""), load_settings().live, 1)
        assert await self.ownership.hold_child(f"kid-{name}", name, CHILD_LEASE_MS)
        self.places.keep(session)
        return session

    async def holder(self, name: str) -> str:
        """Return the session that has the place of a session's child."""
        return await self.ownership.child_holder(f"kid-{name}")


@pytest.fixture
def here(redis: Redis, redis_prefix: str) -> Here:
    return Here(redis, redis_prefix)


async def test_a_place_is_renewed_when_it_is_due_and_not_before(here: Here, redis: Redis) -> None:
    session = await here.play("a")
    key = here.keys.child("kid-a")
    await redis.delete(key)
    await here.places.settle()
    assert await here.holder("a") == ""
    here.clock.move(RENEW_S)
    await here.places.settle()
    assert await here.holder("a") == "a", "also one that Redis had lost"
    assert 0 < await redis.pttl(key) <= CHILD_LEASE_MS
    assert here.places.find("a") is session


async def test_what_is_due_soon_is_renewed_with_what_is_due(here: Here, redis: Redis) -> None:
    for name in ("a", "b", "c"):
        await here.play(name)
        here.clock.move(SOON_S * 0.6)
    names = [here.keys.child(f"kid-{name}") for name in ("a", "b", "c")]
    await redis.delete(*names)
    here.clock.move(RENEW_S - SOON_S * 1.8 - 0.1)
    await here.places.settle()
    assert await redis.exists(*names) == 0, "soon is not now"
    here.clock.move(0.1)
    await here.places.settle()
    assert [await here.holder(name) for name in ("a", "b", "c")] == ["a", "b", ""]
    assert RENEW_S * 3000 <= CHILD_LEASE_MS


async def test_a_full_redis_renews_the_places_that_are_held(
    own_redis_url: str, redis_prefix: str
) -> None:
    async with redis_of(own_redis_url) as redis:
        here = Here(redis, redis_prefix)
        for name in ("a", "b", "c", "d"):
            await here.play(name)
        gone = here.keys.child("kid-b")
        held = [here.keys.child(f"kid-{name}") for name in ("a", "c", "d")]
        await redis.delete(gone)
        for key in held:
            await redis.pexpire(key, 1000)
        here.clock.move(RENEW_S)
        await redis.config_set("maxmemory", 1)
        with pytest.raises(RedisError):
            await here.places.settle()
        await redis.config_set("maxmemory", 0)
        assert all([await redis.pttl(key) > 1000 for key in held])
        await here.places.settle()
        assert await here.holder("b") == "b", "it stayed due"


async def test_many_places_are_renewed_a_part_at_a_time(here: Here, redis: Redis) -> None:
    names = [f"s{n}" for n in range(AT_ONCE + 1)]
    for name in names:
        await here.play(name)
    await redis.delete(*(here.keys.child(f"kid-{name}") for name in names))
    here.clock.move(RENEW_S)
    await here.places.settle()
    assert await here.holder(names[-2]) == names[-2]
    assert await here.holder(names[-1]) == ""
    await here.places.settle()
    assert await here.holder(names[-1]) == names[-1]


async def test_a_place_is_given_back_although_the_scripts_were_flushed(
    here: Here, redis: Redis
) -> None:
    session = await here.play("a")
    await redis.script_flush()
    here.places.leave(session)
    assert here.places.find("a") is session, "until it is given back"
    await here.places.settle()
    assert await here.holder("a") == ""
    assert here.places.find("a") is None
    here.places.leave(session)
    assert here.places.find("a") is None, "it has no place any more"


async def test_a_lost_session_keeps_the_place_for_its_next_owner(here: Here) -> None:
    session = await here.play("a")
    here.places.lose(session)
    here.places.leave(session)
    await here.places.settle()
    assert await here.holder("a") == "a"


async def test_who_comes_back_before_the_place_is_given_back_keeps_it(here: Here) -> None:
    session = await here.play("a")
    here.places.leave(session)
    here.places.keep(session)
    await here.places.settle()
    assert await here.holder("a") == "a"


async def test_who_comes_back_while_the_place_is_given_back_has_it_again(here: Here) -> None:
    session = await here.play("a")
    here.places.leave(session)
    settling = asyncio.create_task(here.places.settle())
    await asyncio.sleep(0)  # as far as the first wait for Redis
    here.places.keep(session)
    await settling
    assert await here.holder("a") == "a"


async def test_who_leaves_again_while_the_place_is_given_back_has_none(here: Here) -> None:
    session = await here.play("a")
    here.places.leave(session)
    settling = asyncio.create_task(here.places.settle())
    await asyncio.sleep(0)
    here.places.keep(session)
    here.places.leave(session)
    await settling
    assert here.places.find("a") is session
    assert await here.ownership.hold_child("kid-a", "a", CHILD_LEASE_MS)
    await here.places.settle()
    assert await here.holder("a") == ""
