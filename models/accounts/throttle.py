"""Failed sign-ins: each makes the next attempt on an account wait longer. Nobody is locked out.

An attempt is counted before the password is looked at, so that many at once gain nothing; the one
that succeeds clears the count.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.clock import Clock
from models.errors import AppError, ErrorCode

log = logging.getLogger(__name__)

ANSWER_SECONDS = 0.25
KEPT = 10_000
"""Accounts a worker remembers by itself while Redis is away."""
FORGET_SECONDS = 3600
"""An account nobody failed at for that long starts anew."""

ATTEMPT = """
-- KEYS: of the account. ARGV: now, first and longest delay, life of the key; all ms.
-- Answers how long to wait; 0 lets the attempt through and sets the delay after it.
local now, first, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local held = redis.call('HMGET', KEYS[1], 'n', 'next')
local n, next = tonumber(held[1]) or 0, tonumber(held[2]) or 0
if next > now then return math.min(next - now, most) end
local delay = math.min(most, first * 2 ^ math.min(n, 30))
redis.call('HSET', KEYS[1], 'n', n + 1, 'next', string.format('%.0f', now + delay))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 0
"""


def delay_ms(failures: int, first_ms: int, most_ms: int) -> int:
    """Return how long an account rests after so many failures in a row, counted from 1."""
    return min(most_ms, first_ms << min(failures - 1, 30))


@dataclass(slots=True)
class _Count:
    failures: int
    next_ms: int


class Throttle:
    """Delays attempts at accounts, for all workers; each by itself while Redis is away.

    Args:
        first_ms: the delay after one failure; it doubles with each.
        most_ms: the longest.
    """

    def __init__(
        self, redis: Redis, prefix: str, clock: Clock, first_ms: int, most_ms: int
    ) -> None:
        self._attempt = redis.register_script(ATTEMPT)
        self._redis = redis
        self._prefix = prefix
        self._clock = clock
        self._first_ms = first_ms
        self._most_ms = most_ms
        self._own: OrderedDict[str, _Count] = OrderedDict()

    async def attempt(self, account: str) -> None:
        """Let an attempt through, or refuse it.

        Args:
            account: what the caller says it is, known or not: both are delayed alike.

        Raises:
            AppError: `rate_limited`, with the time after which the next one is let through.
        """
        key, now_ms = self._key(account), self._clock.time_us() // 1000
        args = [now_ms, self._first_ms, self._most_ms, FORGET_SECONDS * 1000]
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                wait_ms = int(await self._attempt(keys=[key], args=args))
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("failed sign-ins are counted here alone: %s", type(error).__name__)
            wait_ms = self._here(key, now_ms)
        if wait_ms > 0:
            raise AppError(
                ErrorCode.RATE_LIMITED,
                "The last sign-ins to this account failed; wait as long as `retry_ms` says.",
                retry_ms=wait_ms,
            )

    async def succeeded(self, account: str) -> None:
        """Forget the failures of an account."""
        key = self._key(account)
        self._own.pop(key, None)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._redis.delete(key)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("failures of an account are kept: %s", type(error).__name__)

    def _here(self, key: str, now_ms: int) -> int:
        count = self._own.setdefault(key, _Count(0, 0))
        self._own.move_to_end(key)
        while len(self._own) > KEPT:
            self._own.popitem(last=False)
        if count.next_ms > now_ms:
            return count.next_ms - now_ms
        count.failures += 1
        count.next_ms = now_ms + delay_ms(count.failures, self._first_ms, self._most_ms)
        return 0

    def _key(self, account: str) -> str:
        return f"{self._prefix}:failed:{hashlib.sha256(account.encode()).hexdigest()[:32]}"
