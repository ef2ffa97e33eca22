"""The flush: every document once in MongoDB, marks told, poison buried, nothing dropped."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgpack
import pytest
from redis.asyncio import Redis

from config.settings import load_settings
from jobs.flush import Flusher
from models.db import Driver, Mongo
from models.play.buffer import Append, PlayBuffer
from models.play.keys import PlayKeys
from models.play.ownership import Ownership
from models.play.records import Item, Kind, UnknownSchemaError, read_item, result_item
from models.play.repo import PlayRepo
from models.play.stream import PlayStream
from tests.factories import ManualClock, chunk_of, event_of, redis_of, session_of

TOKEN = ManualClock().time_us() // 1000
"""The token of a session opened at the clock's time."""


@dataclass
class Store:
    """The stores of one test, with a flusher between them."""

    redis: Redis
    keys: PlayKeys
    buffer: PlayBuffer
    owners: Ownership
    repo: PlayRepo
    db: Any
    clock: ManualClock
    alarms: list[str]

    def flusher(self, name: str = "one") -> Flusher:
        """Return a flusher; two of them are two workers."""
        return Flusher(
            stream=PlayStream(self.redis, self.keys, name),
            repo=self.repo,
            clock=self.clock,
            settings=load_settings().store,
            alarm=self.alarms.append,
        )

    async def append(self, session_id: str, first: int, *items: Item) -> None:
        """Append items that cover messages from `first` on."""
        last = max(item.last for item in items)
        answers = await self.buffer.append([Append(session_id, TOKEN, first, last, False, items)])
        assert answers[0].taken == "taken"

    async def count(self, name: str) -> int:
        """Return how many documents a collection has."""
        return int(await self.db[name].count_documents({}))


@pytest.fixture(params=["motor", "pymongo"])
async def store(
    request: pytest.FixtureRequest,
    mongo_url: str,
    redis_url: str,
    mongo_database: str,
    redis_prefix: str,
) -> AsyncIterator[Store]:
    driver: Driver = request.param
    mongo = Mongo(mongo_url, mongo_database, driver)
    keys = PlayKeys(redis_prefix, 2)
    async with redis_of(redis_url) as redis:
        clock = ManualClock()
        buffer = PlayBuffer(redis, keys, 60, clock)
        owners = Ownership(redis, keys, 60, clock)
        yield Store(
            redis, keys, buffer, owners, PlayRepo(mongo.database), mongo.database, clock, []
        )
    await mongo.close()


async def test_what_is_appended_is_stored_once_and_settled(store: Store) -> None:
    shard = store.keys.shard_of("a")
    heard: list[dict[str, int]] = []
    pubsub = store.redis.pubsub()
    await pubsub.subscribe(*map(store.keys.stored, range(store.keys.shards)))
    await store.owners.open("a", "kid", session_of("a"))
    await store.append("a", 0, chunk_of("a", 0, b"x", b"y"), event_of("a", 2))
    flusher = store.flusher()
    await flusher.flush_once()
    async with asyncio.timeout(2):
        while not heard:
            message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=1)
            if message:
                heard.append(msgpack.unpackb(message["data"]))
    await pubsub.aclose()
    assert heard == [{"a": 2}]
    assert [f async for f in store.repo.iter_frames("a")] == [(0, b"x"), (1, b"y")]
    assert [e["seq"] async for e in store.repo.iter_events("a")] == [2]
    assert (await store.repo.find_session("a") or {})["child_id"] == "child-1"
    assert await store.buffer.read_stored(["a"]) == {"a": 2}
    assert await store.redis.xlen(store.keys.stream(shard)) == 0
    await flusher.drain(1)


@pytest.mark.parametrize("slow", [False, True])
async def test_the_owners_hear_of_all_shards_in_one_message_unless_it_takes_long(
    store: Store, slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = ["a", "b", "c", "d", "e"]
    assert {store.keys.shard_of(session_id) for session_id in ids} == {0, 1}
    for session_id in ids:
        await store.owners.open(session_id, f"kid-{session_id}", session_of(session_id))
        await store.append(session_id, 0, event_of(session_id, 0))
    pubsub = store.redis.pubsub()
    await pubsub.subscribe(*map(store.keys.stored, range(store.keys.shards)))
    if slow:  # each look at the clock finds it later
        monkeypatch.setattr(
            store.clock, "monotonic", itertools.count(store.clock.time_us()).__next__
        )
    flusher = store.flusher()
    await flusher.flush_once()
    await flusher.flush_once()  # nothing is left, nothing is told
    await store.redis.publish(store.keys.stored(1), b"end")
    heard: list[bytes] = []
    async with asyncio.timeout(2):
        while not heard or heard[-1] != b"end":
            message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=1)
            heard += [message["data"]] if message else []
    await pubsub.aclose()
    told = [msgpack.unpackb(data) for data in heard[:-1]]
    assert len(told) == 1 + slow
    assert {mark: last for one in told for mark, last in one.items()} == dict.fromkeys(ids, 0)
    await flusher.drain(1)


async def test_a_second_delivery_changes_nothing(store: Store) -> None:
    await store.owners.open("a", "kid", session_of("a"))
    await store.append("a", 0, chunk_of("a", 0, b"x"), event_of("a", 1))
    # A worker that wrote and died before it settled leaves its entries pending.
    dead = PlayStream(store.redis, store.keys, "dead")
    shard = store.keys.shard_of("a")
    await dead.ensure_group(shard)
    await dead.hold(shard, 60_000)
    found = await dead.read([shard], 10)
    items = [read_item(f, b) for entry in found[shard] or [] for f, b in entry.fields]
    await dead.release(shard)
    assert await store.repo.store(items) == []
    flusher = store.flusher()
    await flusher.flush_once()
    assert await store.count("frame_chunks") == 1
    assert await store.count("play_events") == 1
    assert await store.buffer.read_stored(["a"]) == {"a": 1}
    await flusher.drain(1)


async def test_two_flushers_never_hold_the_same_shard(store: Store) -> None:
    one, two = store.flusher("one"), store.flusher("two")
    await one.flush_once()
    await two.flush_once()
    await store.owners.open("a", "kid", session_of("a"))
    assert not await two.flush_once()
    assert await store.count("sessions") == 0, "the second flusher works a held shard"
    await one.drain(1)
    assert await store.count("sessions") == 1
    await store.append("a", 0, event_of("a", 0))
    store.clock.move(60)
    await two.flush_once()
    assert await store.count("play_events") == 1, "the second flusher takes over"
    await two.drain(1)


async def test_poison_is_buried_with_its_reason_and_blocks_nobody(store: Store) -> None:
    await store.owners.open("a", "kid", session_of("a"))
    # BSON takes no integer beyond 64 bits: MongoDB's driver refuses the document.
    poison = Item(Kind.EVENT, "a", 1, {"_id": "a:1", "session_id": "a", "seq": 1, "big": 2**64 - 1})
    await store.append("a", 0, chunk_of("a", 0, b"x"), poison, event_of("a", 2))
    shard = store.keys.shard_of("a")
    await store.redis.xadd(store.keys.stream(shard), {b"1|e|a|3": b"\xc1 not msgpack"})
    flusher = store.flusher()
    for _ in range(8):
        await flusher.flush_once()
    assert await store.count("frame_chunks") == 1
    assert [e["seq"] async for e in store.repo.iter_events("a")] == [2]
    assert await store.count("dead_letters") == 2
    assert await store.repo.count_dead("a") == 2
    assert await store.buffer.read_stored(["a"]) == {"a": 2}, "the mark passes the dead"
    assert len(store.alarms) == 2
    assert await store.redis.xlen(store.keys.stream(shard)) == 0
    await flusher.drain(1)


async def test_an_entry_of_a_newer_version_is_left_alone(store: Store) -> None:
    shard = store.keys.shard_of("a")
    await store.redis.xadd(store.keys.stream(shard), {b"99|e|a|3": b"whatever it is by then"})
    flusher = store.flusher()
    await flusher.flush_once()
    assert await store.redis.xlen(store.keys.stream(shard)) == 1
    assert await store.count("dead_letters") == 0
    for newer in (b"99|e|a|3", b"1|z|a|3"):
        with pytest.raises(UnknownSchemaError):
            read_item(newer, b"")
    await flusher.drain(1)


async def test_it_waits_for_a_database_that_is_away(store: Store, mongo_url: str) -> None:
    await store.owners.open("a", "kid", session_of("a"))
    away = Mongo("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200", "nowhere")
    away._client.options  # noqa: B018 - the client connects lazily
    flusher = store.flusher()
    flusher._repo = PlayRepo(away.database)
    assert not await flusher.flush_once()
    assert await store.redis.xlen(store.keys.stream(store.keys.shard_of("a"))) == 1
    flusher._repo = store.repo
    await flusher.flush_once()
    assert await store.count("sessions") == 1
    await away.close()
    await flusher.drain(1)


async def test_every_query_has_its_index(store: Store) -> None:
    await store.repo.ensure_indexes()
    await store.repo.ensure_indexes()
    plan = await store.db.command(
        "explain",
        {"find": "frame_chunks", "filter": {"session_id": "a"}, "sort": {"seq0": 1}},
        verbosity="queryPlanner",
    )
    assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"])
    assert "SORT" not in str(plan["queryPlanner"]["winningPlan"])


async def test_a_result_says_that_something_of_it_is_missing(store: Store) -> None:
    await store.owners.open("a", "kid", session_of("a"))
    poison = Item(Kind.EVENT, "a", 0, {"_id": "a:0", "session_id": "a", "seq": 0, "big": 2**64 - 1})
    await store.append("a", 0, poison, result_item("a", 0, {"incomplete": False}))
    flusher = store.flusher()
    for _ in range(8):
        await flusher.flush_once()
    assert (await store.repo.find_result("a") or {})["incomplete"] is True
    await store.repo.exhume(poison.field().encode())
    assert (await store.repo.find_result("a") or {})["incomplete"] is False
    await flusher.drain(1)
