"""The play-record stream, writing end: append what sessions hold, whole or not at all."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgpack
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from config import metrics
from config.clock import Clock
from models.play import scripts
from models.play.keys import PlayKeys
from models.play.records import Item

MAX_ITEMS = 500
"""Items in one call of the append script; Lua's `unpack` takes about 8000 values."""


_pack: Callable[[Any], bytes] = msgpack.Packer(use_bin_type=False).pack
"""As the Lua of Redis reads it: it knows the older msgpack, whose bytes are strings."""


class Taken(StrEnum):
    """What became of an append."""

    TAKEN = "taken"
    FENCED = "fenced"
    MOVED = "moved"
    SEALED = "sealed"
    UNKNOWN = "unknown"


class Append(NamedTuple):
    """Items of one session, in the order of its messages, taken whole or not at all.

    `first` and `last` are the numbers of the messages covered; a seal without a message of the
    client has `last == first - 1`.
    """

    session_id: str
    token: int
    first: int
    last: int
    seal: bool
    items: Sequence[Item]
    stored: int = -1
    """What the owner knows to be in MongoDB: `last` never lies below it."""


class Answer(NamedTuple):
    """Redis's answer to one append: what became of it, and the session's `last` now."""

    taken: Taken
    last: int


class PlayBuffer:
    """Appends play to the streams. Every method either has Redis's answer or raises its error.

    Raises:
        redis.exceptions.RedisError, OSError, TimeoutError: nothing is known of the write; the
            same call may be made again.
    """

    def __init__(self, redis: Redis, keys: PlayKeys, ttl_seconds: int, clock: Clock) -> None:
        self._redis = redis
        self._keys = keys
        self._ttl = ttl_seconds
        self._clock = clock
        self._append = redis.register_script(scripts.APPEND)

    async def append(self, appends: Sequence[Append]) -> list[Answer]:
        """Append for many sessions in one round trip, one atomic script a shard.

        At most one `Append` a session. Answers are in the order of `appends`.
        """
        watch = metrics.Stopwatch()
        calls = self._calls(appends)
        watch.lap("append")
        try:
            replies = await self._run(calls)
        except NoScriptError:
            # The scripts were flushed. A shard before the failing one may have been done: its
            # groups then answer `moved` with `last` at their end, which the caller knows to read.
            await self._redis.script_load(scripts.APPEND)
            replies = await self._run(calls)
        answers = [Answer(Taken.TAKEN, append.last) for append in appends]
        for call, refused in zip(calls, replies, strict=True):
            for group, status, last in refused:
                answers[call.places[group - 1]] = Answer(Taken(status.decode()), int(last))
        return answers

    async def read_stored(self, session_ids: Sequence[str]) -> dict[str, int]:
        """Return the `stored` mark of the sessions Redis knows."""
        pipe = self._redis.pipeline(transaction=False)
        for session_id in session_ids:
            pipe.hget(self._keys.session(session_id), "stored")
        marks = await pipe.execute()
        return {
            session_id: int(mark)
            for session_id, mark in zip(session_ids, marks, strict=True)
            if mark is not None
        }

    async def _run(self, calls: "list[_Call]") -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        time_ms = self._clock.time_us() // 1000
        for call in calls:
            # Not `evalsha`: a cluster's pipeline forbids the method, though not the command.
            # One argument for all groups: each would be looked at alone by the driver, by Redis
            # and by its Lua.
            args = (self._ttl, time_ms, call.packed)
            pipe.execute_command("EVALSHA", self._append.sha, len(call.keys), *call.keys, *args)
        replies: list[Any] = await pipe.execute()
        return replies

    def _calls(self, appends: Sequence[Append]) -> "list[_Call]":
        calls: list[_Call] = []
        filling: dict[int, _Call] = {}
        shard_of, session_in = self._keys.shard_of, self._keys.session_in
        for place, (session_id, token, first, last, seal, items, stored) in enumerate(appends):
            shard = shard_of(session_id)
            call = filling.get(shard)
            if call is None or call.items + len(items) > MAX_ITEMS:
                call = _Call([self._keys.stream(shard), self._keys.open_sessions(shard)])
                filling[shard] = call
                calls.append(call)
            group: list[Any] = [session_id, token, first, last, stored, seal]
            for item in items:
                group += (item.field(), item.blob())
            call.places.append(place)
            call.keys.append(session_in(shard, session_id))
            call.groups.append(group)
            call.items += len(items)
        for call in calls:
            call.packed = _pack(call.groups)
        return calls


class _Call:
    """One call of the append script."""

    __slots__ = ("groups", "items", "keys", "packed", "places")

    def __init__(self, keys: list[str]) -> None:
        self.places: list[int] = []
        """Where the groups' appends are in the caller's list."""
        self.keys = keys
        self.groups: list[list[Any]] = []
        self.items = 0
        self.packed = b""
