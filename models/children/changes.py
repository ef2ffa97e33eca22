"""News that somebody's way to a child may have ended, for the workers that hold connections.

The news goes over the bus at once, and because that may lose some, what was changed in the last
minute also lies in Redis, where every worker looks now and then.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.clock import Clock
from models.bus import Bus

log = logging.getLogger(__name__)

READ_SECONDS: Final = 1.0
"""How often the list is read: what the bus lost is known by then."""
KEPT_SECONDS: Final = 60


class AccessChanges:
    """Tells, and hears, which child's access was changed."""

    def __init__(self, redis: Redis, bus: Bus, prefix: str, clock: Clock) -> None:
        self._redis = redis
        self._bus = bus
        self._key = f"{prefix}:access"
        self._clock = clock
        self._seen: dict[str, float] = {}
        self._untold: set[str] = set()
        self.told: list[Callable[[str], None]] = []
        """Called with the id of each child whose access was changed, perhaps more than once."""

    async def tell(self, child_id: str) -> None:
        """Let every worker look again at who reaches the child.

        While Redis is away this worker does, and tells the others once it is back.
        """
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.zadd(self._key, {child_id: self._clock.time_us() / 1e6})
                pipe.expire(self._key, KEPT_SECONDS * 2)
                pipe.publish(self._key, child_id)
                await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("a change of access is told later: Redis: %s", type(error).__name__)
            self._untold.add(child_id)
            self._hear(child_id)

    async def start(self) -> None:
        """Listen from now on."""
        await self._bus.subscribe(self._key, lambda message: self._hear(message.decode()))

    async def run(self) -> None:
        """Look at the list, for ever; raises when Redis is away."""
        while True:
            while self._untold:
                await self.tell(self._untold.pop())
            await self._read()
            await asyncio.sleep(READ_SECONDS)

    async def _read(self) -> None:
        oldest = self._clock.time_us() / 1e6 - KEPT_SECONDS
        await self._redis.zremrangebyscore(self._key, "-inf", oldest)
        listed = cast(
            "list[tuple[bytes, float]]", await self._redis.zrange(self._key, 0, -1, withscores=True)
        )
        now = {child_id.decode(): at for child_id, at in listed}
        news = [child_id for child_id, at in now.items() if self._seen.get(child_id) != at]
        self._seen = now
        for child_id in news:
            self._hear(child_id)

    def _hear(self, child_id: str) -> None:
        for told in self.told:
            told(child_id)
