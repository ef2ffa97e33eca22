"""Fencing and erasing sessions: what comes late is refused, what is another's stays."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from redis.asyncio import Redis

from models.db import Mongo
from models.play.buffer import Append, PlayBuffer, Taken
from models.play.erasure import PlayErasure
from models.play.keys import PlayKeys
from models.play.ownership import Ownership
from models.play.records import Item, Kind, session_item
from models.play.repo import PlayRepo
from models.play.stream import PlayStream
from tests.factories import ManualClock, chunk_of, redis_of

TOKEN = ManualClock().time_us() // 1000


@dataclass
class Play:
    """Two children who play, and what erases the play of one."""

    redis: Redis
    keys: PlayKeys
    database: Any
    owners: Ownership
    buffer: PlayBuffer
    stream: PlayStream
    erasure: PlayErasure

    async def append(self, session_id: str, first: int) -> Taken:
        """Append a message as the worker does that holds the session."""
        item = chunk_of(session_id, first, b"%d" % first)
        (answer,) = await self.buffer.append(
            [Append(session_id, TOKEN, first, first, False, (item,))]
        )
        return answer.taken

    async def flush(self) -> list[Item]:
        """Write to MongoDB what is in the streams, and empty them."""
        items = [item async for item in self.stream.iter_items()]
        assert not await PlayRepo(self.database).store(items)
        for shard in range(self.keys.shards):
            await self.redis.xtrim(self.keys.stream(shard), maxlen=0, approximate=False)
        return items


@pytest.fixture
async def play(
    redis_url: str, redis_prefix: str, mongo_url: str, mongo_database: str
) -> AsyncIterator[Play]:
    keys, clock = PlayKeys(redis_prefix, 2), ManualClock()
    mongo = Mongo(mongo_url, mongo_database)
    async with redis_of(redis_url) as redis:
        stream = PlayStream(redis, keys, "w")
        made = Play(
            redis,
            keys,
            mongo.database,
            Ownership(redis, keys, 60, clock),
            PlayBuffer(redis, keys, 60, clock),
            stream,
            PlayErasure(mongo.database, redis, keys, stream, 60, clock),
        )
        for session_id, child_id in (("a", "kid"), ("b", "other")):
            item = session_item(session_id, {"child_id": child_id, "opened_by": "u"})
            assert await made.owners.open(session_id, child_id, item) == TOKEN
            assert await made.append(session_id, 0) is Taken.TAKEN
        yield made
    await mongo.close()


async def test_a_fenced_session_takes_nothing_any_more(play: Play) -> None:
    sessions = await play.erasure.sessions_of(["kid"])
    assert sessions == {"a": "kid"}, "found in Redis alone"
    assert await play.erasure.fence(sessions) == 1
    assert await play.append("a", 1) is Taken.FENCED
    assert await play.append("b", 1) is Taken.TAKEN
    mark = await play.redis.hgetall(play.keys.session("a"))
    assert mark.keys() == {b"token", b"last", b"stored", b"state"}, "nothing of the child"
    assert not await play.redis.sismember(play.keys.open_sessions(play.keys.shard_of("a")), "a")
    assert await play.erasure.fence(sessions) == 1, "again is no harm"
    assert await play.erasure.fence({"never": "kid"}) == 0


async def test_what_waits_is_told_until_it_is_stored(play: Play) -> None:
    assert await play.erasure.count_waiting({"a"}) == 2
    assert await play.erasure.count_waiting(set()) == 0
    await play.flush()
    assert await play.erasure.count_waiting({"a"}) == 0


async def test_the_sessions_of_one_child_are_erased_whole(play: Play) -> None:
    await play.flush()
    database = play.database
    for session_id, child_id in (("a", "kid"), ("b", "other")):
        record = {"session_id": session_id, "child_id": child_id}
        await database["play_records"].insert_one({"_id": f"{session_id}:1", **record})
        await database["rescored_records"].insert_one({"_id": f"{session_id}:r", **record})
        await database["dead_letters"].insert_one({"_id": session_id, "session_id": session_id})
        await database["therapy_results"].insert_one({"_id": session_id, "child_id": child_id})
    counts = await play.erasure.erase(["a"])
    assert {name: n for name, n in counts.items() if n} == {
        "frame_chunks": 1,
        "play_records": 1,
        "rescored_records": 1,
        "dead_letters": 1,
        "therapy_results": 1,
        "sessions": 1,
    }
    assert set((await play.erasure.erase(["a"])).values()) == {0}
    for name in counts:
        for found in await database[name].find({}).to_list(None):
            assert found["_id"][0] == "b"


async def test_a_session_whose_own_document_is_lost_is_known_by_its_records(play: Play) -> None:
    items = await play.flush()
    assert {item.kind for item in items} == {Kind.SESSION, Kind.CHUNK}
    await play.erasure.fence({"a": "kid"})
    await play.database["sessions"].delete_one({"_id": "a"})
    record = {"_id": "a:1", "session_id": "a", "child_id": "kid"}
    await play.database["play_records"].insert_one(record)
    assert await play.erasure.sessions_of(["kid"]) == {"a": "kid"}
