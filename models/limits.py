"""How often something may be asked for: a steady rate with a burst, counted in Redis.

The rule is GCRA (ITU-T I.371): of each counted one only the moment is kept at which it will have
its whole burst again. Redis keeps that moment for all workers; while Redis is away each worker
keeps its own.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from redis.asyncio import Redis
from redis.exceptions import RedisError

from config import metrics
from config.clock import Clock
from models.errors import AppError, ErrorCode

log = logging.getLogger(__name__)

ANSWER_SECONDS = 0.25
"""Redis is not waited for longer than that."""
AWAY_SECONDS = 2.0
"""After a failure Redis is left alone for that long."""
KEPT = 20_000
"""Counted ones a worker remembers by itself."""

TAKE = """
-- KEYS: one a counted one. ARGV: now, us; then for each key its interval and its burst, us.
-- Takes one from each, or from none when one of them has nothing left. Answers the wait, us.
local now, wait, marks = tonumber(ARGV[1]), 0, {}
for i, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local full = tonumber(redis.call('GET', key) or 0)
  -- A worker whose clock is ahead locks nobody out for longer than a burst.
  local mark = math.min(math.max(full, now), now + burst) + interval
  wait = math.max(wait, mark - burst - now)
  marks[i] = mark
end
if wait > 0 then return wait end
for i, key in ipairs(KEYS) do
  redis.call('SET', key, string.format('%.0f', marks[i]),
    'PX', math.ceil((marks[i] - now) / 1000) + 1000)
end
return 0
"""


class Limit(StrEnum):
    """The limits of the product, each a setting in the section `rate`."""

    SIGN_IN = "sign_in"
    SIGN_UP = "sign_up"
    REFRESH = "refresh"
    CODE_SEND = "code_send"
    OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` in `seconds`, all of which may come at once."""

    count: int
    seconds: int = 60

    @property
    def interval_us(self) -> int:
        """Time after which one more is free."""
        return max(self.seconds * 1_000_000 // self.count, 1)

    @property
    def burst_us(self) -> int:
        """How far ahead of its time somebody may be."""
        return self.interval_us * self.count


@dataclass(frozen=True, slots=True)
class Rates:
    """What a limit allows one address, and one account."""

    address: Rate
    account: Rate


def next_mark(mark_us: int, rate: Rate, now_us: int) -> tuple[int, int]:
    """Return the mark after taking one, and how long to wait first; 0 means it may be taken."""
    mark = min(max(mark_us, now_us), now_us + rate.burst_us) + rate.interval_us
    return mark, max(mark - rate.burst_us - now_us, 0)


class Gate:
    """Counts requests by address and by account, for all workers together.

    Args:
        rates: of each limit.
        prefix: of the keys in Redis.
    """

    def __init__(
        self, redis: Redis, prefix: str, rates: Mapping[Limit, Rates], clock: Clock
    ) -> None:
        self._take = redis.register_script(TAKE)
        self._prefix = prefix
        self._rates = rates
        self._clock = clock
        self._own: OrderedDict[str, int] = OrderedDict()
        self._away_until = float("-inf")

    async def pass_or_refuse(
        self,
        route: str,
        limit: Limit,
        *,
        address: str | None = None,
        account: str | None = None,
        named: str | None = None,
    ) -> None:
        """Count a request against everybody given; None is not counted.

        Args:
            route: each route is counted by itself.
            named: an account known by another name than its id.

        Raises:
            AppError: `rate_limited`, with the time after which there is room.
        """
        rates = self._rates[limit]
        # One hash tag a route: a cluster takes a script's keys from one node.
        start = f"{self._prefix}:rate:{{{route}}}"
        counted = [
            (f"{start}:{kind}:{who}", rate)
            for kind, who, rate in (
                ("address", address, rates.address),
                ("account", account, rates.account),
                ("named", named, rates.account),
            )
            if who is not None
        ]
        wait_us = await self._wait_us(counted) if counted else 0
        if wait_us > 0:
            metrics.LIMITED.labels(f"rate_{limit}").inc()
            raise AppError(
                ErrorCode.RATE_LIMITED,
                "Too many requests of this kind; wait as long as `retry_ms` says.",
                retry_ms=-(-wait_us // 1000),
            )

    async def _wait_us(self, counted: Sequence[tuple[str, Rate]]) -> int:
        now_us = self._clock.time_us()
        if self._clock.monotonic() < self._away_until:
            return self._wait_here(counted, now_us)
        numbers = [n for _, rate in counted for n in (rate.interval_us, rate.burst_us)]
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return int(
                    await self._take(keys=[key for key, _ in counted], args=[now_us, *numbers])
                )
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("limits are counted here alone: Redis: %s", type(error).__name__)
            self._away_until = self._clock.monotonic() + AWAY_SECONDS
            return self._wait_here(counted, now_us)

    def _wait_here(self, counted: Sequence[tuple[str, Rate]], now_us: int) -> int:
        taken = {key: next_mark(self._own.get(key, 0), rate, now_us) for key, rate in counted}
        wait = max(wait for _, wait in taken.values())
        if wait == 0:
            for key, (mark, _) in taken.items():
                self._own[key] = mark
                self._own.move_to_end(key)
            while len(self._own) > KEPT:
                self._own.popitem(last=False)
        return wait
