"""Health and metrics: `/live`, `/ready`, `/metrics`, `/version`. No sign-in, no details."""

import asyncio
import logging
import platform
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.clock import Clock
from config.metrics import REGISTRY
from config.version import VERSION
from jobs.runner import Runner
from models.db import DatabaseError, Mongo
from models.play.pressure import Pressure

log = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
"""Checks are not made more often than this, however often somebody asks."""
TIMEOUT_SECONDS = 2.0
SECTIONS = ("memory", "persistence", "replication")
"""Of what Redis says of itself; all of it is some hundred lines."""


class Health:
    """Whether this process should be given work."""

    def __init__(
        self,
        redis: Redis,
        mongo: Mongo,
        runner: Runner,
        clock: Clock,
        pressure: Pressure,
        awaited: Mapping[str, asyncio.Event] | None = None,
    ) -> None:
        """Take what is looked at.

        Args:
            awaited: what must have happened once, by the words for it that the log gets.
        """
        self.draining = False
        self._awaited = awaited or {}
        self._redis = redis
        self._mongo = mongo
        self._runner = runner
        self._clock = clock
        self._pressure = pressure
        self._faults: list[str] = ["starting"]
        self._checked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def faults(self) -> list[str]:
        """Return what is wrong, in words for the log; nothing when ready."""
        async with self._lock:
            now = self._clock.monotonic()
            if now - self._checked_at >= CHECK_SECONDS:
                found = [*await self._redis_faults(), *await self._mongo_faults()]
                found += [what for what, event in self._awaited.items() if not event.is_set()]
                found += [f"job {name} keeps failing" for name in self._runner.unhealthy()]
                if found != self._faults:
                    log.info("ready" if not found else "not ready: " + "; ".join(found))
                self._faults, self._checked_at = found, now
        return ["draining", *self._faults] if self.draining else self._faults

    async def run(self) -> None:
        """Check now and then, so that the log tells when the stores come and go."""
        while True:
            await self.faults()
            await asyncio.sleep(CHECK_SECONDS)

    async def _redis_faults(self) -> list[str]:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                info = await self._redis.info(*SECTIONS)
        except (RedisError, OSError, TimeoutError) as error:
            return [f"Redis does not answer ({type(error).__name__})"]
        # A cluster answers for each of its nodes, by name.
        nodes = [info] if "role" in info else list(info.values())
        self._pressure.note(nodes)
        return sorted({fault for node in nodes for fault in _faults_of(node)})

    async def _mongo_faults(self) -> list[str]:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                primary = await self._mongo.ping()
        except (DatabaseError, OSError, TimeoutError) as error:
            return [f"MongoDB does not answer ({type(error).__name__})"]
        return [] if primary else ["MongoDB has no primary"]


def _faults_of(info: dict[str, Any]) -> list[str]:
    faults = []
    if not info.get("aof_enabled"):
        faults.append("Redis keeps no append-only file (set `appendonly yes`)")
    if info.get("maxmemory_policy") != "noeviction":
        faults.append("Redis may evict keys (set `maxmemory-policy noeviction`)")
    if info.get("role") not in (None, "master"):
        faults.append("Redis is a replica and takes no writes")
    return faults


def add_telemetry(app: web.Application, health: Health) -> None:
    """Add the routes."""

    async def live(_: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def ready(_: web.Request) -> web.Response:
        ok = not await health.faults()
        return web.json_response({"ready": ok}, status=200 if ok else 503)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"version": VERSION, "python": platform.python_version()})

    app.router.add_get("/live", live)
    app.router.add_get("/ready", ready)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/version", version)
