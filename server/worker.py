"""The jobs of a process without players, and the health of it."""

from collections.abc import AsyncIterator

from aiohttp import web
from redis.exceptions import RedisError

from config.clock import Clock
from config.settings import Settings
from jobs.runner import Runner
from models.db import DatabaseError
from server.background import build_background
from server.lifespan import DRAIN_SECONDS, within
from server.stores import open_stores
from server.telemetry import Health, add_telemetry

RUNNER: web.AppKey[Runner] = web.AppKey("runner")
"""Where the jobs of a running worker are found."""


def build_worker(settings: Settings, clock: Clock) -> web.Application:
    """Return an application that answers `/live`, `/ready`, `/metrics` and `/version` alone.

    Raises:
        ConfigurationError: a store or a key is not named.
    """
    stores = open_stores(settings, clock, "w")
    background = build_background(stores, flush=True)
    runner = Runner(clock, outages=(RedisError, DatabaseError, OSError, TimeoutError))
    awaited = {"indexes are being made": background.indexes.made}
    health = Health(stores.redis, stores.mongo, runner, clock, background.pressure, awaited)

    async def run(_: web.Application) -> AsyncIterator[None]:
        for name, job in (*background.jobs(), ("health", health.run)):
            await runner.start(name, job)
        yield
        health.draining = True
        await runner.close()
        await within(DRAIN_SECONDS, background.drain(DRAIN_SECONDS), "flushing what is left")
        await background.close()

    app = web.Application()
    app[RUNNER] = runner
    app.cleanup_ctx.append(run)
    add_telemetry(app, health)
    return app
