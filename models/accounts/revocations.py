"""Sign-ins and token versions that hold no longer although their tokens have not ended.

The list lies in Redis, one member a withdrawal, as long as a token it names could still live. Every
worker keeps a copy: news come over the bus at once, and because that may lose some, the whole
list is read again now and then.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import cast

from redis.asyncio import Redis

from config.clock import Clock
from models.bus import Bus

READ_SECONDS = 1.5
"""How often the list is read again: what the bus lost is known by then."""
TOKEN_SECONDS = 24 * 3600
"""Longest life of an access token; an entry older than that names nobody any more."""
_VERSION = "@"
"""Begins an entry of a token version: `@<version> <user>`. No sign-in begins so."""


class Revocations:
    """What was withdrawn, as this worker knows it.

    `told` are called with each sign-in that is newly known to be withdrawn.
    """

    def __init__(self, redis: Redis, bus: Bus, prefix: str, clock: Clock) -> None:
        self._redis = redis
        self._bus = bus
        self._prefix = prefix
        self._key = f"{prefix}:revoked"
        self._clock = clock
        self._known: frozenset[str] = frozenset()
        self._heard: set[str] = set()
        self._versions: dict[str, int] = {}
        self.told: list[Callable[[str], None]] = []

    def covers(self, sign_in: str) -> bool:
        """Tell whether a sign-in is withdrawn; never waits."""
        return sign_in in self._known

    def outdates(self, user_id: str, version: int) -> bool:
        """Tell whether an account has a newer token version than a token's; never waits."""
        return version < self._versions.get(user_id, 0)

    async def start(self) -> None:
        """Listen from now on."""
        await self._bus.subscribe(self._key, lambda message: self._learn([message.decode()]))

    async def run(self) -> None:
        """Keep the copy, for ever; raises when Redis is away."""
        while True:
            now = self._clock.time_us() // 1_000_000
            await self._redis.zremrangebyscore(self._key, "-inf", now)
            self._heard.clear()
            members = cast("list[bytes]", await self._redis.zrange(self._key, 0, -1))
            listed = [member.decode() for member in members]
            self._learn(listed)
            # What was heard while the list was on its way may be missing in it.
            self._known = frozenset(listed) | self._heard
            self._versions = _newest(self._known)
            await asyncio.sleep(READ_SECONDS)

    async def withdraw(self, sign_ins: Iterable[str]) -> None:
        """Withdraw sign-ins, everywhere; as `revoke`."""
        entries = list(sign_ins)
        if entries:
            await _add(self._redis, self._prefix, entries, self._clock)

    async def raise_version(self, user_id: str, version: int) -> None:
        """Let the tokens of an account's older versions hold no longer, everywhere.

        Raises:
            RedisError: not known whether it was told; asking again is safe.
        """
        await _add(self._redis, self._prefix, [f"{_VERSION}{version} {user_id}"], self._clock)

    def _learn(self, entries: list[str]) -> None:
        news = [entry for entry in entries if entry not in self._known]
        if not news:
            return
        self._known |= frozenset(news)
        self._heard.update(news)
        for user_id, version in _newest(news).items():
            self._versions[user_id] = max(version, self._versions.get(user_id, 0))
        for entry in news:
            if not entry.startswith(_VERSION):
                for told in self.told:
                    told(entry)


def _newest(entries: Iterable[str]) -> dict[str, int]:
    """Return the newest version of each account that the entries name."""
    newest: dict[str, int] = {}
    for entry in entries:
        version, space, user_id = entry.removeprefix(_VERSION).partition(" ")
        if entry.startswith(_VERSION) and space and version.isdigit():
            newest[user_id] = max(int(version), newest.get(user_id, 0))
    return newest


async def revoke(redis: Redis, prefix: str, sign_in: str, clock: Clock) -> None:
    """Withdraw a sign-in: its connections end within 2 s, none of its tokens is taken any more.

    Raises:
        RedisError: not known whether it was withdrawn; asking again is safe.
    """
    await _add(redis, prefix, [sign_in], clock)


async def _add(redis: Redis, prefix: str, entries: list[str], clock: Clock) -> None:
    key = f"{prefix}:revoked"
    until = clock.time_us() // 1_000_000 + TOKEN_SECONDS
    async with redis.pipeline(transaction=True) as pipe:
        pipe.zadd(key, dict.fromkeys(entries, until))
        for entry in entries:
            pipe.publish(key, entry)
        await pipe.execute()
