"""What is live on every worker: each publishes its own list, with a short life."""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgpack
from redis.asyncio import Redis

from config.clock import Clock
from models.play.keys import PlayKeys
from sessions.engine import Engine

NODE_LEASE_S = 5
LIST_LEASE_S = 15
"""Lists live longer: nobody reads that of a worker whose own entry has lapsed."""
UNREAD_S = 2 * LIST_LEASE_S / 3
"""How old a list may grow that no other worker is there to read. One that comes finds that, until
it was seen: then lists are published for it."""


class Directory:
    """What is live on every worker: each publishes its own list with a short life."""

    def __init__(
        self,
        *,
        node: str,
        engine: Engine,
        redis: Redis,
        keys: PlayKeys,
        clock: Clock,
        every_ms: int,
    ) -> None:
        self._node = node
        self._engine = engine
        self._redis = redis
        self._keys = keys
        self._clock = clock
        self._every = every_ms / 1000
        self._alone = False
        """Whether no other worker was there the last time."""
        self._listed_at = float("-inf")
        """When the list was published, monotonic seconds."""

    async def run(self) -> None:
        """Publish this worker's list for ever, less often while no other worker is there."""
        while True:
            await self.publish()
            await asyncio.sleep(self._every)

    async def withdraw(self) -> None:
        """Take this worker's list away: it stops."""
        await self._redis.zrem(self._keys.nodes(), self._node)
        await self._redis.delete(self._keys.live(self._node))

    async def publish(self) -> None:
        """Tell that this worker is there, and what is live on it if that may be read."""
        now, at = self._clock.time_us() / 1e6, self._clock.monotonic()
        pipe = self._redis.pipeline(transaction=False)
        pipe.zadd(self._keys.nodes(), {self._node: now + NODE_LEASE_S})
        pipe.zrangebyscore(self._keys.nodes(), now, "+inf")
        alone, self._alone = self._alone, False
        if not alone or at - self._listed_at >= UNREAD_S:
            mine = msgpack.packb(self._engine.summaries())
            pipe.set(self._keys.live(self._node), mine, ex=LIST_LEASE_S)
            self._listed_at = at
        _, nodes, *_ = await pipe.execute()
        self._alone = nodes == [self._node.encode()]

    async def read(self, of: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
        """Return the summaries of all live sessions by id, each with its `node`.

        This worker's own are read from memory, so a session is found as soon as it is open.

        Args:
            of: those of this worker that matter; all when None.
        """
        live = await self._read_others()
        for summary in self._engine.summaries(of):
            live[summary["session_id"]] = {**summary, "node": self._node}
        return live

    async def find(self, session_id: str) -> dict[str, Any] | None:
        """Return the summary of one live session; the others of this worker are not gone through.

        None when no worker has it.
        """
        for summary in self._engine.summaries([session_id]):
            return {**summary, "node": self._node}
        return (await self._read_others()).get(session_id)

    async def _read_others(self) -> dict[str, dict[str, Any]]:
        now = self._clock.time_us() / 1e6
        names = await self._redis.zrangebyscore(self._keys.nodes(), now, "+inf")
        nodes = [name.decode() for name in names if isinstance(name, bytes)]
        others = [n for n in nodes if n != self._node]
        live: dict[str, dict[str, Any]] = {}
        if others:
            pipe = self._redis.pipeline(transaction=False)
            for other in others:
                pipe.get(self._keys.live(other))
            lists = await pipe.execute()
            for node, packed in zip(others, lists, strict=True):
                for summary in msgpack.unpackb(packed) if packed else []:
                    live.setdefault(summary["session_id"], {**summary, "node": node})
        return live
