"""Who is connected, counted over all workers: places of an owner in Redis, each held by a lease.

A place belongs to an owner (an account, an address) and to one connection. Its worker renews it
for as long as the connection lasts; those of a worker that was killed lapse by themselves.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

CALL = 500
"""Places in one call of the script: a call holds Redis up for about a millisecond."""
ANY = 1_000_000_000
"""A limit that is none: what is held already is renewed, however many there are."""

HOLD = """
-- KEYS: the owner of each place. ARGV: lease ms, then for each: connection, limit. Drops what has
-- lapsed, then takes or renews the place if the owner has fewer than its limit. Answers 1 or 0 for
-- each. The time is Redis's own: workers whose clocks differ agree.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local until_ms = now + ARGV[1]
local out = {}
for i, key in ipairs(KEYS) do
  local connection, limit = ARGV[2 * i], tonumber(ARGV[2 * i + 1])
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  if redis.call('ZCARD', key) < limit or redis.call('ZSCORE', key, connection) then
    redis.call('ZADD', key, until_ms, connection)
    redis.call('PEXPIRE', key, ARGV[1])
    out[i] = 1
  else
    out[i] = 0
  end
end
return out
"""


class Place(NamedTuple):
    """One connection of one owner."""

    owner: str
    """Such as `account:u-1`."""
    connection: str
    """Of one connection alone, over all workers and for ever."""


class Presence:
    """The places of all owners.

    Raises:
        redis.exceptions.RedisError, OSError, TimeoutError: from every method; what became of the
            places is not known. What was taken lapses, the same call may be made again.
    """

    def __init__(self, redis: Redis, prefix: str, shards: int, lease_ms: int) -> None:
        """Prepare.

        Args:
            prefix: beginning of every key.
            shards: over how many nodes of a cluster the owners may lie.
            lease_ms: how long a place lasts that nobody renews.
        """
        self._redis = redis
        self._prefix = prefix
        self._shards = shards
        self._lease_ms = lease_ms
        self._hold = redis.register_script(HOLD)

    async def take(self, asked: Sequence[tuple[Place, int]], left: Iterable[Place]) -> list[bool]:
        """Give places back, then take others, all in one round trip.

        Args:
            asked: places, each with the limit of its owner.
            left: places whose connection is gone.

        Returns:
            Whether there was room, in the order of `asked`. A place that is held already has it.
        """
        calls: dict[int, list[int]] = defaultdict(list)
        for n, (place, _) in enumerate(asked):
            calls[self._shard_of(place.owner)].append(n)
        parts = [part[n : n + CALL] for part in calls.values() for n in range(0, len(part), CALL)]
        given: dict[str, list[str]] = defaultdict(list)
        for place in left:
            given[self._key(place.owner)].append(place.connection)
        try:
            replies = await self._run(asked, parts, given)
        except NoScriptError:
            # The scripts were flushed. Giving back and taking twice changes nothing.
            await self._redis.script_load(HOLD)
            replies = await self._run(asked, parts, given)
        room = [False] * len(asked)
        for part, reply in zip(parts, replies[len(given) :], strict=True):
            for n, taken in zip(part, reply, strict=True):
                room[n] = bool(taken)
        return room

    async def renew(self, places: Iterable[Place]) -> None:
        """Hold places for another lease, also those that Redis has lost."""
        await self.take([(place, ANY) for place in places], ())

    async def _run(
        self,
        asked: Sequence[tuple[Place, int]],
        parts: Sequence[Sequence[int]],
        given: dict[str, list[str]],
    ) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        for key, connections in given.items():
            pipe.zrem(key, *connections)
        for part in parts:
            keys = [self._key(asked[n][0].owner) for n in part]
            args: list[str | int] = [self._lease_ms]
            for n in part:
                args += (asked[n][0].connection, asked[n][1])
            # Not `evalsha`: a cluster's pipeline forbids the method, though not the command.
            pipe.execute_command("EVALSHA", self._hold.sha, len(keys), *keys, *args)
        replies: list[Any] = await pipe.execute()
        return replies

    def _shard_of(self, owner: str) -> int:
        return zlib.crc32(owner.encode()) % self._shards

    def _key(self, owner: str) -> str:
        return f"{self._prefix}:{{{self._shard_of(owner)}}}:places:{owner}"
