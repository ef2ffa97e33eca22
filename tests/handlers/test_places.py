"""Places of connections while Redis answers, is slow, fails, and comes back."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from config.clock import SystemClock
from config.metrics import REGISTRY
from handlers.places import LEFT, SLICE, Places
from models.accounts.presence import ANY, Place

LEASE_S = 60.0


class Store:
    """Redis's half, with room for some of each owner; fails and stalls when it is told to."""

    def __init__(self) -> None:
        self.places: set[Place] = set()
        self.rounds: list[tuple[list[tuple[Place, int]], set[Place]]] = []
        self.broken = False
        self.free = asyncio.Event()
        self.free.set()

    async def take(self, asked: Sequence[tuple[Place, int]], left: Iterable[Place]) -> list[bool]:
        self.rounds.append((list(asked), set(left)))
        await self.free.wait()
        if self.broken:
            raise RedisConnectionError("away")
        self.places -= set(left)
        room = []
        for place, limit in asked:
            held = sum(p.owner == place.owner for p in self.places - {place})
            room.append(held < limit)
            if held < limit:
                self.places.add(place)
        return room


def alone() -> float:
    """Return how many places were decided without Redis so far."""
    return REGISTRY.get_sample_value("gemgem_places_alone_total") or 0.0


@asynccontextmanager
async def running(places: Places) -> AsyncIterator[None]:
    """Run the places as the runner does: again after each failure."""

    async def again() -> None:
        while True:
            with suppress(RedisConnectionError):
                await places.run()
            await asyncio.sleep(0.01)

    task = asyncio.create_task(again())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def places_of(store: Store, lease_s: float = LEASE_S, wait_s: float = 5.0) -> Places:
    return Places(store, "n-1", SystemClock(), lease_s=lease_s, wait_s=wait_s)  # type: ignore[arg-type]


async def until(true: object, seconds: float = 5.0) -> None:
    """Wait until a function says yes."""
    async with asyncio.timeout(seconds):
        while not true():  # type: ignore[operator]
            await asyncio.sleep(0.005)


async def test_those_who_come_together_are_asked_for_together() -> None:
    store = Store()
    places = places_of(store)
    async with running(places):
        asked = [places.ask(f"account:{n % 100}", str(n), 3) for n in range(400)]
        room = await asyncio.gather(*(places.has_room(answer) for _, answer in asked))
        assert room == [n < 300 for n in range(400)]
        assert len(store.rounds) <= 2
        for place, _ in asked:
            places.leave(place)
        await until(lambda: not store.places)
        assert len(store.rounds) <= 3


async def test_who_goes_before_being_asked_for_is_never_asked_for() -> None:
    store = Store()
    places = places_of(store)
    place, answer = places.ask("account:a", "1", 1)
    places.leave(place)
    async with running(places):
        other, told = places.ask("account:a", "2", 1)
        assert await places.has_room(told)
        assert not await places.has_room(answer)
    assert [place for place, _ in store.rounds[0][0]] == [other]


async def test_who_goes_while_being_asked_for_is_given_back() -> None:
    store = Store()
    store.free.clear()
    places = places_of(store)
    async with running(places):
        place, _ = places.ask("account:a", "1", 1)
        await until(lambda: store.rounds)
        places.leave(place)
        store.free.set()
        await until(lambda: len(store.rounds) == 2)
        assert not store.places
        assert not places._held


async def test_places_are_renewed_within_their_lease() -> None:
    store = Store()
    places = places_of(store, lease_s=0.15)
    async with running(places):
        kept, answer = places.ask("account:a", "1", 1)
        assert await places.has_room(answer)
        store.places.clear()  # Redis has lost it
        await until(lambda: store.places == {kept})
        await until(lambda: len(store.rounds) > 3)
    assert store.rounds[1:][0][0] == [(kept, ANY)]


async def test_places_due_one_after_the_other_are_renewed_together() -> None:
    store = Store()
    places = places_of(store, lease_s=3.0)
    async with running(places):
        for n in range(5):
            _, answer = places.ask("account:a", str(n), 5)
            assert await places.has_room(answer)
        taken = len(store.rounds)
        store.places.clear()
        await until(lambda: len(store.places) == 5)
        assert len(store.rounds) == taken + 1


async def test_nobody_is_refused_for_the_sake_of_a_redis_that_is_away() -> None:
    store = Store()
    store.broken = True
    places, before = places_of(store), alone()
    async with running(places):
        asked = [places.ask("account:a", str(n), 1) for n in range(3)]
        assert [await places.has_room(answer) for _, answer in asked] == [True] * 3
        assert alone() == before + 3
        gone, _ = asked[0]
        places.leave(gone)
        store.broken = False
        late, told = places.ask("account:a", "late", 1)
        # What was let in meanwhile is told of, whatever the limit.
        await until(lambda: store.places == {place for place, _ in asked[1:]} | {late})
        assert await places.has_room(told)
        _, full = places.ask("account:a", "more", 1)
        assert not await places.has_room(full), "Redis counts again"


async def test_nobody_waits_long_for_a_redis_that_is_frozen() -> None:
    store = Store()
    store.free.clear()
    places, before = places_of(store, wait_s=0.05), alone()
    loop = asyncio.get_running_loop()
    async with running(places):
        first, answer = places.ask("account:a", "1", 1)
        assert await places.has_room(answer)
        assert alone() == before + 1
        began = loop.time()
        many = [places.ask("account:a", f"more {n}", 1) for n in range(100)]
        assert all([await places.has_room(answer) for _, answer in many])
        assert loop.time() - began < 1.0, "only the first one waits"
        store.free.set()
        await until(lambda: store.places == {first, *(place for place, _ in many)})


async def test_a_late_refusal_does_not_end_who_was_let_in() -> None:
    store = Store()
    places = places_of(store, wait_s=0.02)
    async with running(places):
        one, answer = places.ask("account:a", "1", 1)
        assert await places.has_room(answer)
        store.free.clear()
        two, told = places.ask("account:a", "2", 1)
        assert await places.has_room(told), "Redis did not say no in time"
        store.free.set()
        await until(lambda: store.places == {one, two})


async def test_what_cannot_be_given_back_is_not_remembered_without_end() -> None:
    store = Store()
    places = places_of(store)
    for n in range(2 * LEFT):
        places.leave(Place("account:a", str(n)))
    assert len(places._left) == LEFT
    store.broken = True
    with pytest.raises(RedisConnectionError):
        await places.run()
    assert len(places._left) == LEFT


async def test_who_is_stopped_in_a_round_gives_back_what_it_may_have_taken() -> None:
    store = Store()
    store.free.clear()
    places = places_of(store)
    async with running(places):
        place, answer = places.ask("account:a", "1", 1)
        await until(lambda: store.rounds)
    store.places.add(place)  # it came to be all the same
    store.free.set()
    assert answer.result(), "nobody waits for a round that was given up"
    await places.give_back()
    assert not store.places


async def test_a_round_is_of_bounded_size() -> None:
    store = Store()
    places = places_of(store)
    many = [places.ask(f"account:{n}", "1", 1) for n in range(3 * SLICE)]
    async with running(places):
        assert all([await places.has_room(answer) for _, answer in many])
        for place, _ in many:
            places.leave(place)
        await until(lambda: not store.places)
    assert max(len(asked) for asked, _ in store.rounds) == SLICE
    assert max(len(left) for _, left in store.rounds) <= SLICE


async def test_who_stops_gives_everything_back() -> None:
    store = Store()
    places = places_of(store)
    async with running(places):
        for n in range(5):
            _, answer = places.ask("account:a", str(n), 9)
            assert await places.has_room(answer)
    assert len(store.places) == 5
    places.leave(next(iter(store.places)))
    await places.give_back()
    assert not store.places
