"""Valid things for tests: a clock, connections, documents."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from config.clock import SystemClock
from models.play.chunks import chunk_item
from models.play.records import Item, event_item, session_item


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, time_us: int = 1_780_000_000_000_000) -> None:
        self.us = time_us
        self._system = SystemClock()

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.us += round(seconds * 1e6)

    def now(self) -> Any:
        """Return the aware UTC wall time."""
        from models.play.records import utc

        return utc(self.us)

    def time_us(self) -> int:
        """Return microseconds since the Unix epoch."""
        return self.us

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self.us / 1e6


def session_of(session_id: str, **more: Any) -> Item:
    """Return a session's document."""
    document = {
        "child_id": "child-1",
        "kind": "therapy",
        "schedule_id": None,
        "space": "world",
        "fps": 30.0,
        "opened_us": 1,
        "node": "test",
        **more,
    }
    return session_item(session_id, document)


def chunk_of(session_id: str, seq0: int, *messages: bytes) -> Item:
    """Return a frame chunk."""
    return chunk_item(session_id, seq0, list(messages), 1_780_000_000_000_000)


def event_of(session_id: str, seq: int, event: str = "set:end", **payload: Any) -> Item:
    """Return an event."""
    return event_item(session_id, seq, event, payload, time_us=1_780_000_000_000_000)


@asynccontextmanager
async def redis_of(url: str) -> AsyncIterator[Redis]:
    """Connect as the server does."""
    redis = Redis.from_url(url, protocol=2)
    try:
        yield redis
    finally:
        await redis.aclose()
