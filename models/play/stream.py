"""The play-record stream, reading end: hold a shard, read, claim, settle."""

import contextlib
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ResponseError

from models.play import scripts
from models.play.keys import GROUP, PlayKeys
from models.play.records import Item, UnknownSchemaError, read_item, session_named

PAGE = 500
"""Entries read at a time when a stream is looked through."""

Fields = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """An entry of a shard's stream: its id and its items' (field, blob) pairs, in order."""

    id: bytes
    fields: Fields


class PlayStream:
    """Reads the streams as one consumer of the group; at most one consumer holds a shard.

    Raises:
        redis.exceptions.RedisError, OSError, TimeoutError: from every method.
    """

    def __init__(self, redis: Redis, keys: PlayKeys, consumer: str) -> None:
        self._redis = redis
        self._keys = keys
        self._consumer = consumer
        self._hold = redis.register_script(scripts.HOLD)
        self._release = redis.register_script(scripts.RELEASE)
        self._read = redis.register_script(scripts.READ)
        self._settle = redis.register_script(scripts.SETTLE)

    @property
    def shards(self) -> int:
        """How many streams there are."""
        return self._keys.shards

    async def hold(self, shard: int, lease_ms: int) -> bool | None:
        """Take or renew the shard: True if it is newly ours, False if still, None if not."""
        taken = await self._hold(keys=[self._keys.lease(shard)], args=[self._consumer, lease_ms])
        return None if taken == 0 else taken == 2

    async def release(self, shard: int) -> None:
        """Let another consumer have the shard."""
        await self._release(keys=[self._keys.lease(shard)], args=[self._consumer])

    async def ensure_group(self, shard: int) -> None:
        """Make the consumer group if it is not there; it starts at the stream's beginning."""
        try:
            await self._redis.xgroup_create(self._keys.stream(shard), GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def claim(self, shard: int, count: int) -> list[StreamEntry]:
        """Take over what others read and never settled. Only for the holder of the shard."""
        stream = self._keys.stream(shard)
        taken: list[StreamEntry] = []
        start: bytes | str = "0-0"
        while True:
            start, entries, _ = await self._redis.xautoclaim(
                stream, GROUP, self._consumer, min_idle_time=0, start_id=start, count=count
            )
            taken += _entries(entries)
            if start in (b"0-0", "0-0"):
                return taken

    async def read(self, shards: Sequence[int], count: int) -> dict[int, list[StreamEntry] | None]:
        """Return entries of several shards, at most `count` each, in one round trip.

        None for a shard that this consumer does not hold any more. What was delivered to it
        before and never settled comes first, and alone: a call whose answer was lost, and that
        the client has sent again, leaves no hole behind.
        """
        try:
            replies = await self._read_all(shards, count)
        except NoScriptError:
            await self._redis.script_load(scripts.READ)
            replies = await self._read_all(shards, count)
        found: dict[int, list[StreamEntry] | None] = {}
        for shard, reply in zip(shards, replies, strict=True):
            if reply is None:
                found[shard] = None
            elif reply:
                found[shard] = [StreamEntry(entry_id, _pairs(flat)) for entry_id, flat in reply]
        return found

    async def _read_all(self, shards: Sequence[int], count: int) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        for shard in shards:
            keys = (self._keys.stream(shard), self._keys.lease(shard))
            args = (GROUP, self._consumer, count)
            pipe.execute_command("EVALSHA", self._read.sha, len(keys), *keys, *args)
        replies: list[Any] = await pipe.execute()
        return replies

    async def waiting(self, session_ids: Collection[str]) -> list[Item]:
        """Return the items of some sessions that are in the streams now, in order.

        Items of unknown versions and damaged ones are left out: they are the flush's to judge.
        """
        shards = {self._keys.shard_of(session_id) for session_id in session_ids}
        found = self.iter_items(sorted(shards), session_ids)
        return [item async for item in found]

    async def iter_items(
        self, shards: Iterable[int] | None = None, session_ids: Collection[str] | None = None
    ) -> AsyncIterator[Item]:
        """Yield the items in the streams that can be read, in order; None is all of them."""
        for shard in range(self.shards) if shards is None else shards:
            start = "-"
            while entries := await self._page(shard, start):
                for entry in entries:
                    for name, blob in entry.fields:
                        if session_ids is None or session_named(name) in session_ids:
                            with contextlib.suppress(ValueError, UnknownSchemaError):
                                yield read_item(name, blob)
                start = f"({entries[-1].id.decode()}"

    async def _page(self, shard: int, start: str) -> list[StreamEntry]:
        found: Any = await self._redis.xrange(self._keys.stream(shard), start, "+", count=PAGE)
        return _entries(found)

    async def settle(self, shard: int, ids: Sequence[bytes], marks: Mapping[str, int]) -> bool:
        """Acknowledge and delete entries, and raise `stored` of their sessions.

        False, and nothing is done, when this consumer does not hold the shard any more: whoever
        does has claimed the entries and settles them.
        """
        sessions = [self._keys.session(session_id) for session_id in marks]
        settled = await self._settle(
            keys=[self._keys.stream(shard), self._keys.lease(shard), *sessions],
            args=[GROUP, self._consumer, len(ids), *ids, *marks.values()],
        )
        return int(settled) >= 0

    async def tell(self, marks: Mapping[str, int]) -> None:
        """Tell the owners of sessions what is stored: every worker hears of all in one message."""
        told = msgpack.packb(dict(marks))
        # Older workers hear of it as well: every worker listens to the channels of all shards.
        await self._redis.publish(self._keys.stored(0), told)


def _pairs(flat: Sequence[bytes] | None) -> Fields:
    """Pair what a script returns of an entry; nothing is left of one that was deleted."""
    return list(zip(flat[::2], flat[1::2], strict=True)) if flat else []


def _entries(raw: Sequence[tuple[bytes, object]]) -> list[StreamEntry]:
    """Read redis-py's entries; the fields of an entry are kept in their order."""
    out = []
    for entry_id, fields in raw:
        pairs = list(fields.items()) if isinstance(fields, dict) else []
        out.append(StreamEntry(entry_id, pairs))
    return out
