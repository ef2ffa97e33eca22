"""The relay, two workers on one bus: who reads what is published, and when that ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from models.bus import Bus
from models.errors import AppError, ErrorCode
from models.play.keys import PlayKeys
from sessions.engine import Engine
from sessions.feed import FeedHub, Joined
from sessions.relay import LEASE_S, Relay
from sessions.session import Session
from tests.sessions.test_engine import FRAMES, House
from tests.sessions.test_feed import Sink

WITHIN = 5.0


async def until(found: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(WITHIN):
        while not found():
            await asyncio.sleep(0.005)


class Worker:
    """What a worker has of watching: an engine, its hub, a relay, and a bus of its own."""

    def __init__(self, node: str, redis: Redis, prefix: str, watchers: int) -> None:
        self.node = node
        self.house = House()
        self.hub = FeedHub()
        self.bus = Bus(redis)
        self.keys = PlayKeys(prefix, 1)
        self.engine = self.house.engine = Engine(
            catalogue=self.house.engine._catalogue,
            hub=self.hub,
            clock=self.house.clock,
            limits=self.house.limits,
            keys=self.keys,
        )
        self.relay = Relay(
            node=node,
            engine=self.engine,
            hub=self.hub,
            bus=self.bus,
            keys=self.keys,
            clock=self.house.clock,
            watchers=watchers,
        )

    def play(self) -> Session:
        """Open the session, or take it over."""
        return self.house.enter()[0]

    def show(self) -> None:
        """Publish a frame message of it."""
        self.hub.publish("s", FRAMES[0])

    async def heard(self) -> None:
        """Return when this worker has heard all that the bus was told so far."""
        self.bus.publish(self.keys.node(self.node + "-echo"), b"")
        self._echo.clear()
        await asyncio.wait_for(self._echo.wait(), WITHIN)

    async def start(self) -> None:
        """Listen."""
        self._echo = asyncio.Event()
        connected = asyncio.Event()
        self.bus.on_connect.append(connected.set)
        await self.bus.subscribe(self.keys.node(self.node + "-echo"), lambda _: self._echo.set())
        await self.relay.start()
        self.tasks = [
            asyncio.create_task(self.bus.run_listening()),
            asyncio.create_task(self.bus.run_publishing()),
        ]
        await asyncio.wait_for(connected.wait(), WITHIN)


Start = Callable[..., Any]


@pytest.fixture
async def workers(redis_url: str, redis_prefix: str) -> AsyncIterator[Start]:
    """Return a function that starts a worker by name."""
    redis = Redis.from_url(redis_url)
    made: list[Worker] = []

    async def start(node: str, watchers: int = 20) -> Worker:
        worker = Worker(node, redis, redis_prefix, watchers)
        await worker.start()
        made.append(worker)
        return worker

    yield start
    for worker in made:
        for task in worker.tasks:
            while not task.done():  # Redis' client may lose the first
                task.cancel()
                await asyncio.wait([task], timeout=0.1)
    await redis.aclose()


async def asked_again(asker: Worker, owner: Worker) -> None:
    """Let the lease be renewed, and whatever that makes anybody say be heard."""
    await asker.relay.keep()
    await asker.heard()
    for _ in range(2):  # the question, then what was said to it
        await owner.heard()
    await asker.heard()


async def test_a_lease_is_kept_and_ends_with_its_readers(workers: Start) -> None:
    one, two = await workers("one"), await workers("two")
    one.play()
    ear = Sink()
    await two.relay.join("s", "one", ear)
    for _ in range(3):
        one.house.clock.at += LEASE_S - 1
        await asked_again(two, one)
        await one.relay.keep()
    one.show()
    await until(lambda: ear.items)
    assert not ear.starts, "keeping a lease makes no snapshots"
    two.relay.leave("s", ear)
    await asked_again(two, one)
    one.house.clock.at += LEASE_S + 1
    await one.relay.keep()
    assert not one.hub.watched("s")
    assert not two.relay._remote


async def test_a_session_between_two_workers_ends_nobodys_feed(workers: Start) -> None:
    one, two, three = await workers("one"), await workers("two"), await workers("three")
    session, ear = one.play(), Sink()
    await three.relay.join("s", "one", ear)
    one.engine.remove(session)
    await asked_again(three, one)
    assert not ear.results, "it is on its way to another worker"
    two.play()
    three.relay.leave("s", ear)
    await three.relay.join("s", "two", ear)
    two.show()
    await until(lambda: ear.items)


async def test_a_session_that_came_back_is_published_anew(workers: Start) -> None:
    one, two = await workers("one"), await workers("two")
    session, ear = one.play(), Sink()
    await two.relay.join("s", "one", ear)
    one.engine.remove(session)
    one.play()
    await asked_again(two, one)
    assert len(ear.starts) == 1, "what was missed is made up for"
    one.show()
    await until(lambda: ear.items)


async def test_a_full_house_ends_no_feed(workers: Start) -> None:
    one, two = await workers("one", 2), await workers("two", 2)
    one.play()
    ears = [Sink() for _ in range(6)]
    for ear in ears[2:4]:
        await two.relay.join("s", "one", ear)
    for ear in ears[:2]:
        await one.relay.join("s", "one", ear)
    for worker in (one, two):
        with pytest.raises(AppError) as refused:
            await worker.relay.join("s", "one", ears[4])
        assert refused.value.code is ErrorCode.BUSY
    await asked_again(two, one)
    one.relay.renew("s", ears[0])
    assert len(ears[0].starts) == 1, "who was thinned gets its snapshot"
    two.relay.renew("s", ears[2])
    await until(lambda: ears[2].starts)
    one.show()
    await until(lambda: all(ear.items for ear in ears[:4]))
    assert [len(ear.starts) for ear in ears[:4]] == [1, 0, 1, 0], "and nobody else"
    assert not any(ear.results for ear in ears)


async def test_many_join_at_once_and_no_more_than_may(workers: Start) -> None:
    one, two = await workers("one"), await workers("two", 3)
    one.play()
    joins = [two.relay.join("s", "one", Sink()) for _ in range(5)]
    answers = await asyncio.gather(*joins, return_exceptions=True)
    assert sum(isinstance(answer, Joined) for answer in answers) == 3
    refused = [answer for answer in answers if isinstance(answer, AppError)]
    assert [error.code for error in refused] == [ErrorCode.BUSY] * 2


async def test_nothing_is_left_of_a_session_that_ended(workers: Start) -> None:
    one, two = await workers("one"), await workers("two")
    one.play()
    ear = Sink()
    await two.relay.join("s", "one", ear)
    channel = two.keys.feed("s")
    assert channel in two.bus._handlers
    one.hub.end("s", {"done": True})
    await until(lambda: ear.results)
    assert not two.relay._remote
    await two.relay.keep()
    assert channel not in two.bus._handlers
    assert ear.results == [{"done": True}], "and that once"


async def test_a_session_nobody_has_is_not_there(workers: Start) -> None:
    one, two = await workers("one"), await workers("two")
    with pytest.raises(AppError) as refused:
        await two.relay.join("s", "one", Sink())
    assert refused.value.code is ErrorCode.NOT_FOUND
    assert not two.relay._remote
    assert not one.relay._published


async def test_a_silent_worker_leaves_nothing_behind(
    workers: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessions.relay.ANSWER_S", 0.05)
    two = await workers("two")
    with pytest.raises(AppError) as refused:
        await two.relay.join("s", "gone", Sink())
    assert refused.value.code is ErrorCode.BUSY
    assert not two.relay._remote


async def test_two_readers_follow_a_session_that_moves(workers: Start) -> None:
    one, two, three = await workers("one"), await workers("two"), await workers("three")
    session = one.play()
    ears = [Sink(), Sink()]
    for ear in ears:
        await three.relay.join("s", "one", ear)
    one.engine.remove(session)
    two.play()
    for ear in ears:
        three.relay.leave("s", ear)
        await three.relay.join("s", "two", ear)
    two.show()
    await until(lambda: all(ear.items for ear in ears))
    await asked_again(three, two)
    assert not any(ear.results for ear in ears)
