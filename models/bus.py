"""Messages between workers over Redis pub/sub: at most once, nothing is kept."""

import asyncio
import logging
from collections.abc import Callable

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

log = logging.getLogger(__name__)

Handler = Callable[[bytes], None]

QUEUED = 10_000
"""Messages that may wait to be published; beyond that the oldest news is worth least."""


class Bus:
    """One subscription connection and one publishing loop for a whole worker."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._handlers: dict[str, Handler] = {}
        self._pubsub: PubSub | None = None
        self._out: list[tuple[str, bytes]] = []
        self._wake = asyncio.Event()
        self.on_connect: list[Callable[[], None]] = []
        """Called after every (re)connection: what was said meanwhile is lost."""

    def publish(self, channel: str, message: bytes) -> None:
        """Say `message` on `channel` soon; never waits."""
        if len(self._out) >= QUEUED:
            del self._out[: QUEUED // 2]
            log.warning("the bus does not keep up: %d messages dropped", QUEUED // 2)
        self._out.append((channel, message))
        self._wake.set()

    async def subscribe(self, channel: str, handler: Handler) -> None:
        """Call `handler` with every message on `channel` from now on."""
        self._handlers[channel] = handler
        if self._pubsub is not None:
            await self._pubsub.subscribe(channel)

    async def unsubscribe(self, channel: str) -> None:
        """Stop listening to `channel`."""
        if self._handlers.pop(channel, None) is not None and self._pubsub is not None:
            await self._pubsub.unsubscribe(channel)

    async def run_listening(self) -> None:
        """Hand every message to its handler; raises when the connection is lost."""
        pubsub = self._redis.pubsub()
        try:
            if self._handlers:
                await pubsub.subscribe(*self._handlers)
            self._pubsub = pubsub
            for told in self.on_connect:
                told()
            while True:
                if not pubsub.subscribed:
                    await asyncio.sleep(0.05)
                    continue
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=None)
                if message is None:
                    continue
                handler = self._handlers.get(message["channel"].decode())
                if handler is not None:
                    handler(message["data"])
        finally:
            self._pubsub = None
            await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped

    async def run_publishing(self) -> None:
        """Send what was published, many in one round trip; raises when the connection is lost."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._out = self._out, []
            pipe = self._redis.pipeline(transaction=False)
            for channel, message in batch:
                pipe.execute_command("PUBLISH", channel, message)
            await pipe.execute()
