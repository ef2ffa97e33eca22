"""The play-record stream, writing end: append what sessions hold, whole or not at all."""

import struct
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgpack
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from config import metrics
from config.clock import Clock
from models.play import scripts
from models.play.chunks import ChunkForm
from models.play.keys import PlayKeys
from models.play.records import Item
from models.redis import OwnLine

MAX_ITEMS = 500
"""Items in one call of the append script; Lua's `unpack` takes about 8000 values."""


_packer = msgpack.Packer(use_bin_type=False)
"""As the Lua of Redis reads it: it knows the older msgpack, whose bytes are strings."""
_pack: Callable[[Any], bytes] = _packer.pack
_FALSE, _RAW16, _RAW32 = 0xC2, 0xDA, 0xDB
_GROUP = struct.Struct(">BQBQBqBBH")
_BLOB = struct.Struct(">BI")


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
    packed: bytes = b""
    """What `pack` would return, where it was made together with its one item."""

    def pack(self) -> bytes:
        """Return the group of the append script that it is."""
        group: list[Any] = [
            self.session_id,
            self.token,
            self.first,
            self.last,
            self.stored,
            self.seal,
        ]
        for item in self.items:
            group += item.field(), item.blob()
        return _pack(group)


class Envelope:
    """What the appends of a session that bring frames alone begin with: nearly all are such.

    Args:
        token: of the session's owner, as in `Append`.
    """

    __slots__ = ("_begin", "_form", "_session_id", "_token")

    def __init__(self, session_id: str, token: int) -> None:
        self._session_id, self._token = session_id, token
        self._form = ChunkForm(session_id)
        # A list of eight; the blob is the last.
        self._begin = b"\x98" + _pack(session_id) + _pack(token)

    def chunk(self, first: int, count: int, packed: bytes, time_us: int) -> Item:
        """Return a chunk, to be appended with other items."""
        return self._form.item(first, count, packed, time_us)

    def append(self, first: int, count: int, packed: bytes, time_us: int, stored: int) -> Append:
        """Return the append of one chunk.

        Args:
            first, count, packed, time_us: as `ChunkForm.parts` has them.
            stored: as in `Append`.
        """
        last = first + count - 1
        parts, number = self._form.parts(first, count, packed, time_us), b"%d" % last
        field = self._form.field + number
        size = sum(map(len, parts))
        group = (
            self._begin,
            _GROUP.pack(0xCF, first, 0xCF, last, 0xD3, stored, _FALSE, _RAW16, len(field)),
            field,
            _BLOB.pack(_RAW32, size),
            *parts,
        )
        return Append(
            self._session_id, self._token, first, last, False, (), stored, b"".join(group)
        )


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
        self._line = OwnLine(redis)
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
        time_ms = self._clock.time_us() // 1000
        # One argument for all groups: each would be looked at alone by the driver, by Redis and by
        # its Lua.
        commands = [
            (
                "EVALSHA",
                self._append.sha,
                len(call.keys),
                *call.keys,
                self._ttl,
                time_ms,
                call.pack(),
            )
            for call in calls
        ]
        if len(commands) == 1:  # nearly always: sessions of a turn share their shard
            return [await self._line.call(*commands[0])]
        pipe = self._redis.pipeline(transaction=False)
        for command in commands:
            # Not `evalsha`: a cluster's pipeline forbids the method, though not the command.
            pipe.execute_command(*command)
        replies: list[Any] = await pipe.execute()
        return replies

    def _calls(self, appends: Sequence[Append]) -> "list[_Call]":
        calls: list[_Call] = []
        filling: dict[int, _Call] = {}
        shard_of, session_in = self._keys.shard_of, self._keys.session_in
        for place, append in enumerate(appends):
            shard, items = shard_of(append.session_id), len(append.items) or 1
            call = filling.get(shard)
            if call is None or call.items + items > MAX_ITEMS:
                call = _Call([self._keys.stream(shard), self._keys.open_sessions(shard)])
                filling[shard] = call
                calls.append(call)
            call.places.append(place)
            call.keys.append(session_in(shard, append.session_id))
            call.groups.append(append.packed or append.pack())
            call.items += items
        return calls


class _Call:
    """One call of the append script."""

    __slots__ = ("groups", "items", "keys", "places")

    def __init__(self, keys: list[str]) -> None:
        self.places: list[int] = []
        """Where the groups' appends are in the caller's list."""
        self.keys = keys
        self.groups: list[bytes] = []
        self.items = 0

    def pack(self) -> bytes:
        """Return the groups as the script reads them."""
        head: bytes = _packer.pack_array_header(len(self.groups))
        return head + b"".join(self.groups)
