"""Taking what a child played out of every store: its sessions are fenced first, then erased.

A fenced session takes no message any more, whoever holds it: what comes late is refused by Redis
itself. What was appended before is waited for until it lies in MongoDB, and is erased there.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from typing import Any, Final

import msgpack
from redis.asyncio import Redis

from config.clock import Clock
from models.db import Database
from models.play.keys import PlayKeys
from models.play.records import Kind
from models.play.stream import PlayStream

FENCE = """
-- KEYS: session, open sessions. ARGV: Unix ms, ttl s, session id. Leaves a mark that belongs to
-- nobody, so that no owner appends to the session again. Answers its token, 0 without a session.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SREM', KEYS[2], ARGV[3])
  return 0
end
local known = tonumber(redis.call('HGET', KEYS[1], 'token') or 0)
local token = string.format('%.0f', math.max(known + 1, tonumber(ARGV[1])))
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'token', token, 'last', -1, 'stored', -1, 'state', 'sealed')
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('SREM', KEYS[2], ARGV[3])
return token
"""
MANY: Final = 500
"""Sessions named in one query."""
OF_SESSION: Final = ("frame_chunks", "play_events", "play_records", "rescored_records")
"""Collections whose documents name their session."""


class PlayErasure:
    """Finds, fences and erases the sessions of children.

    Raises:
        models.db.DatabaseError, redis.exceptions.RedisError, OSError, TimeoutError: from every
            method; the same call may be made again.
    """

    def __init__(
        self,
        database: Database,
        redis: Redis,
        keys: PlayKeys,
        stream: PlayStream,
        ttl_seconds: int,
        clock: Clock,
    ) -> None:
        self._db = database
        self._redis = redis
        self._keys = keys
        self._stream = stream
        self._ttl = ttl_seconds
        self._clock = clock
        self._fence = redis.register_script(FENCE)

    async def sessions_of(self, child_ids: Collection[str]) -> dict[str, str]:
        """Return the sessions of some children, wherever they lie, each with its child."""
        found: dict[str, str] = {}
        asked = {"child_id": {"$in": list(child_ids)}}
        async for session in self._db["sessions"].find(asked, {"child_id": 1}):
            found[session["_id"]] = session["child_id"]
        # A session whose own document is a dead letter is known by what it left.
        async for record in self._db["play_records"].find(asked, {"session_id": 1, "child_id": 1}):
            found[record["session_id"]] = record["child_id"]
        found |= {one: child async for one, child in self._open() if child in child_ids}
        async for item in self._stream.iter_items():
            if item.kind is Kind.SESSION and item.document.get("child_id") in child_ids:
                found[item.session_id] = item.document["child_id"]
        return found

    async def _open(self) -> AsyncIterator[tuple[str, str]]:
        for shard in range(self._keys.shards):
            listed = await self._redis.smembers(self._keys.open_sessions(shard))
            for session_id in map(text_of, listed):
                key = self._keys.session_in(shard, session_id)
                child_id = await self._redis.hget(key, "child")
                if child_id is not None:
                    yield session_id, text_of(child_id)

    async def fence(self, sessions: Mapping[str, str]) -> int:
        """Let nobody append to these sessions any more; return how many were known to Redis.

        Workers that hold one are told, and let go of it.
        """
        fenced = 0
        for session_id, child_id in sessions.items():
            shard = self._keys.shard_of(session_id)
            token = int(
                await self._fence(
                    keys=[self._keys.session(session_id), self._keys.open_sessions(shard)],
                    args=[self._clock.time_us() // 1000, self._ttl, session_id],
                )
            )
            if token:
                fenced += 1
                told = msgpack.packb([session_id, token, child_id])
                await self._redis.publish(self._keys.taken(), told)
        return fenced

    async def count_waiting(self, session_ids: Collection[str]) -> int:
        """Return how many items of these sessions are not in MongoDB yet."""
        return len(await self._stream.waiting(session_ids)) if session_ids else 0

    async def erase(self, session_ids: Iterable[str]) -> dict[str, int]:
        """Erase sessions from MongoDB; return how many documents of each collection."""
        counts: dict[str, int] = {}
        for part in _parts(session_ids):
            named = {"session_id": {"$in": part}}
            for name in (*OF_SESSION, "dead_letters"):
                await self._delete(name, named, counts)
            # The session last: a turn that was cut off finds it again.
            for name in ("therapy_results", "sessions"):
                await self._delete(name, {"_id": {"$in": part}}, counts)
        return counts

    async def _delete(self, name: str, query: Mapping[str, Any], counts: dict[str, int]) -> None:
        done = await self._db[name].delete_many(query)
        counts[name] = counts.get(name, 0) + done.deleted_count

    async def pseudonymise(self, session_ids: Iterable[str], pseudonym: str) -> dict[str, int]:
        """Let sessions say nothing of their child but a pseudonym; return how many did."""
        renamed = 0
        for part in _parts(session_ids):
            named = {"session_id": {"$in": part}}
            await self._db["dead_letters"].delete_many(named)
            await self._db["play_events"].update_many(named, {"$unset": {"payload.note": ""}})
            for name, query in (
                ("play_records", named),
                ("rescored_records", named),
                ("therapy_results", {"_id": {"$in": part}}),
                ("sessions", {"_id": {"$in": part}}),
            ):
                done = await self._db[name].update_many(
                    query,
                    {
                        "$set": {"child_id": pseudonym},
                        "$unset": {"note": "", "alias": "", "opened_by": "", "resume_sha256": ""},
                    },
                )
                renamed += done.matched_count if name == "sessions" else 0
        return {"pseudonymised": renamed}


def text_of(value: bytes | str) -> str:
    """Return what Redis answered as text."""
    return value.decode() if isinstance(value, bytes) else value


def _parts(session_ids: Iterable[str]) -> list[list[str]]:
    ids = sorted(session_ids)
    return [ids[n : n + MANY] for n in range(0, len(ids), MANY)]
