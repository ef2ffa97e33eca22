"""Places against a plain model, and what becomes of those nobody renews."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from models.accounts.presence import CALL, Place, Presence
from tests.factories import redis_of

LEASE_MS = 60_000
LIMIT = 3
OWNERS = ("account:a", "account:b", "address:2001:db8::/64", "address:{curly}")
CONNECTIONS = tuple(f"n-{node}:{n}" for node in range(2) for n in range(4))


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with redis_of(redis_url) as client:
        yield client


class Model:
    """What should be so: a set of connections an owner."""

    def __init__(self) -> None:
        self.places: dict[str, set[str]] = defaultdict(set)

    def take(self, place: Place, limit: int) -> bool:
        held = self.places[place.owner]
        if place.connection not in held and len(held) >= limit:
            return False
        held.add(place.connection)
        return True


async def lapse(redis: Redis, presence: Presence, place: Place) -> None:
    """Let the lease of one place end, as if nobody had renewed it for long."""
    await redis.zadd(presence._key(place.owner), {place.connection: 1}, xx=True)


places = st.builds(Place, st.sampled_from(OWNERS), st.sampled_from(CONNECTIONS))
steps = st.one_of(
    st.tuples(st.just("take"), st.lists(places, max_size=6), st.lists(places, max_size=3)),
    st.tuples(st.just("renew"), st.lists(places, max_size=3), st.just([])),
    st.tuples(st.just("lapse"), st.lists(places, max_size=4), st.just([])),
    st.tuples(st.just("flush"), st.just([]), st.just([])),
)
Step = tuple[str, list[Place], list[Place]]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(walk=st.lists(steps, max_size=25))
async def test_places_are_those_of_a_plain_model(
    redis: Redis, redis_prefix: str, walk: list[Step]
) -> None:
    presence = Presence(redis, f"{redis_prefix}:{uuid.uuid4().hex}", 4, LEASE_MS)
    model = Model()
    for what, some, others in walk:
        if what == "take":
            room = await presence.take([(place, LIMIT) for place in some], others)
            for place in others:
                model.places[place.owner].discard(place.connection)
            assert room == [model.take(place, LIMIT) for place in some]
        elif what == "renew":
            await presence.renew(some)
            for place in some:
                model.places[place.owner].add(place.connection)
        elif what == "lapse":
            for place in some:
                await lapse(redis, presence, place)
                model.places[place.owner].discard(place.connection)
        else:
            await redis.script_flush()
    for owner in OWNERS:
        left = await redis.zrangebyscore(presence._key(owner), 2, "+inf")
        assert {name.decode() for name in left} == model.places[owner]


async def test_a_place_that_is_not_renewed_lapses_and_its_key_with_it(
    redis: Redis, redis_prefix: str
) -> None:
    presence = Presence(redis, redis_prefix, 4, lease_ms=150)
    one, other = Place("account:a", "n-1:x"), Place("account:a", "n-2:y")
    assert await presence.take([(one, 1)], ()) == [True]
    assert await presence.take([(other, 1)], ()) == [False]
    async with asyncio.timeout(5):
        while not (await presence.take([(other, 1)], ()))[0]:
            await asyncio.sleep(0.02)
        while await redis.exists(presence._key("account:a")):
            await asyncio.sleep(0.02)


async def test_many_places_go_in_one_round_trip_in_order(redis: Redis, redis_prefix: str) -> None:
    presence = Presence(redis, redis_prefix, 4, LEASE_MS)
    many = [Place(f"account:{n % 700}", f"n-1:{n}") for n in range(3 * CALL)]
    room = await presence.take([(place, 2) for place in many], ())
    assert room == [n < 1400 for n in range(len(many))]
    await presence.take((), many)
    assert await presence.take([(place, 2) for place in many[1400:]], ()) == [True] * 100
