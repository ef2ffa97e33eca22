"""Seals the sessions nobody has: their worker is gone, and nobody came back in time."""

import asyncio
import logging

from config.settings import LiveSettings
from models.play.ownership import Ownership
from sessions.registry import Registry

log = logging.getLogger(__name__)

LOOK_S = 15.0
MARGIN_S = 30
"""A living worker seals its own sessions first."""


class Janitor:
    """Looks through the open sessions now and then. Two that find the same one do no harm."""

    def __init__(
        self,
        *,
        ownership: Ownership,
        registry: Registry,
        limits: LiveSettings,
        look_seconds: float = LOOK_S,
        margin_seconds: float = MARGIN_S,
    ) -> None:
        self._ownership = ownership
        self._registry = registry
        self._older_ms = round((limits.grace_seconds + margin_seconds) * 1000)
        self._look = look_seconds

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(self._look)
            await self.look()

    async def look(self) -> int:
        """Seal what is idle and unheld; return how many that were."""
        sealed = 0
        for shard in range(self._ownership.shards):
            # This worker's own are looked after here already, and are nearly all there are.
            idle = await self._ownership.list_idle(shard, self._older_ms, self._registry.held)
            for session_id, child_id in idle:
                if await self._ownership.child_holder(child_id) == session_id:
                    continue  # its player is connected and rests
                log.info("session %s: nobody came back; it is sealed", session_id)
                await self._registry.seal_lost(session_id)
                sealed += 1
        return sealed
