"""Sign-ins that hold no longer although their tokens have not ended: withdrawn, known everywhere.

The list lies in Redis, one member a sign-in, as long as a token of it could still live. Every
worker keeps a copy: news come over the bus at once, and because that may lose some, the whole
list is read again now and then.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from redis.asyncio import Redis

from config.clock import Clock
from models.bus import Bus

READ_SECONDS = 1.5
"""How often the list is read again: what the bus lost is known by then."""
TOKEN_SECONDS = 24 * 3600
"""Longest life of an access token; an entry older than that names nobody any more."""


class Revocations:
    """The withdrawn sign-ins, as this worker knows them.

    Args:
        told: called with each sign-in that is newly known to be withdrawn.
    """

    def __init__(self, redis: Redis, bus: Bus, prefix: str, clock: Clock) -> None:
        self._redis = redis
        self._bus = bus
        self._key = f"{prefix}:revoked"
        self._clock = clock
        self._known: frozenset[str] = frozenset()
        self.told: list[Callable[[str], None]] = []

    def covers(self, sign_in: str) -> bool:
        """Tell whether a sign-in is withdrawn; never waits."""
        return sign_in in self._known

    async def start(self) -> None:
        """Listen from now on."""
        await self._bus.subscribe(self._key, lambda message: self._learn([message.decode()]))

    async def run(self) -> None:
        """Keep the copy, for ever; raises when Redis is away."""
        while True:
            now = self._clock.time_us() // 1_000_000
            await self._redis.zremrangebyscore(self._key, "-inf", now)
            members = cast("list[bytes]", await self._redis.zrange(self._key, 0, -1))
            listed = [member.decode() for member in members]
            self._learn(listed)
            self._known = frozenset(listed)
            await asyncio.sleep(READ_SECONDS)

    def _learn(self, sign_ins: list[str]) -> None:
        news = [s for s in sign_ins if s not in self._known]
        if news:
            self._known |= frozenset(news)
            for sign_in in news:
                for told in self.told:
                    told(sign_in)


async def revoke(redis: Redis, prefix: str, sign_in: str, clock: Clock) -> None:
    """Withdraw a sign-in: its connections end within 2 s, none of its tokens is taken any more.

    Raises:
        RedisError: not known whether it was withdrawn; asking again is safe.
    """
    key = f"{prefix}:revoked"
    until = clock.time_us() // 1_000_000 + TOKEN_SECONDS
    async with redis.pipeline(transaction=True) as pipe:
        pipe.zadd(key, {sign_in: until})
        pipe.publish(key, sign_in)
        await pipe.execute()
