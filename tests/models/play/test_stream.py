"""Reading the streams: what was delivered and never settled comes first."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from models.play.keys import GROUP, PlayKeys
from models.play.stream import PlayStream
from tests.factories import event_of, redis_of


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with redis_of(redis_url) as client:
        yield client


@pytest.fixture
def keys(redis_prefix: str) -> PlayKeys:
    return PlayKeys(redis_prefix, 2)


@pytest.fixture
async def stream(redis: Redis, keys: PlayKeys) -> PlayStream:
    stream = PlayStream(redis, keys, "one")
    for shard in range(keys.shards):
        await stream.ensure_group(shard)
        await stream.hold(shard, 60_000)
    return stream


async def _add(redis: Redis, keys: PlayKeys, shard: int, seq: int) -> bytes:
    item = event_of("a", seq)
    entry: bytes = await redis.xadd(keys.stream(shard), {item.field(): item.blob()})
    return entry


async def test_new_entries_of_several_shards_come_once(
    redis: Redis, keys: PlayKeys, stream: PlayStream
) -> None:
    first = [await _add(redis, keys, 0, seq) for seq in range(3)]
    other = [await _add(redis, keys, 1, 9)]
    found = await stream.read([0, 1], 10)
    assert {shard: [entry.id for entry in entries] for shard, entries in found.items()} == {
        0: first,
        1: other,
    }
    await stream.settle(0, first, {"a": 2})
    await stream.settle(1, other, {"a": 9})
    assert await stream.read([0, 1], 10) == {}


async def test_an_answer_that_was_lost_leaves_no_hole(
    redis: Redis, keys: PlayKeys, stream: PlayStream
) -> None:
    lost = [await _add(redis, keys, 0, seq) for seq in range(3)]
    # Delivered to this consumer by a call whose answer nobody got: the client sends it again.
    await redis.xreadgroup(GROUP, "one", {keys.stream(0): ">"}, count=2)
    later = await _add(redis, keys, 0, 3)
    read: list[bytes] = []
    for _ in range(4):
        entries = (await stream.read([0], 10)).get(0, [])
        read += [entry.id for entry in entries]
        if entries:
            await stream.settle(0, [entry.id for entry in entries], {"a": len(read) - 1})
    assert read == [*lost, later]
    assert await redis.xlen(keys.stream(0)) == 0


async def test_what_another_consumer_holds_is_left_to_it(
    redis: Redis, keys: PlayKeys, stream: PlayStream
) -> None:
    await _add(redis, keys, 0, 0)
    await redis.xreadgroup(GROUP, "two", {keys.stream(0): ">"})
    assert await stream.read([0], 10) == {}
    assert len(await stream.claim(0, 10)) == 1


async def test_an_entry_that_was_trimmed_while_pending_is_passed_over(
    redis: Redis, keys: PlayKeys, stream: PlayStream
) -> None:
    gone = await _add(redis, keys, 0, 0)
    await stream.read([0], 10)
    await redis.xdel(keys.stream(0), gone)
    [entry] = (await stream.read([0], 10))[0]
    assert (entry.id, entry.fields) == (gone, [])
    await stream.settle(0, [gone], {})
    assert await stream.read([0], 10) == {}


async def test_who_lost_the_shard_reads_nothing_and_settles_nothing(
    redis: Redis, keys: PlayKeys, stream: PlayStream
) -> None:
    first = await _add(redis, keys, 0, 0)
    assert await stream.read([0], 10) != {}
    # Frozen until its lease was over: another consumer has the shard, and claims what was read.
    await redis.delete(keys.lease(0))
    other = PlayStream(redis, keys, "two")
    assert await other.hold(0, 60_000)
    await _add(redis, keys, 0, 1)
    assert await stream.read([0], 10) == {0: None}
    assert not await stream.settle(0, [first], {"a": 0})
    assert await redis.xlen(keys.stream(0)) == 2
    assert [entry.id for entry in await other.claim(0, 10)] == [first]
    assert await other.settle(0, [first], {"a": 0})
    assert await redis.xlen(keys.stream(0)) == 1
