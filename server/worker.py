"""The jobs of a process without players: flush, weeks, alarms, and the health of them."""

import secrets
from collections.abc import AsyncIterator

from aiohttp import web
from redis.exceptions import RedisError

from config.clock import Clock
from config.settings import Settings
from jobs.alarms import Alarms
from jobs.flush import Flusher
from jobs.runner import Runner
from models.db import DatabaseError, Mongo
from models.play.keys import PlayKeys
from models.play.pressure import Pressure
from models.play.repo import PlayRepo
from models.play.stream import PlayStream
from models.redis import connect_redis
from server.app import ConfigurationError
from server.grades import build_grades
from server.lifespan import DRAIN_SECONDS, within
from server.telemetry import Health, add_telemetry


def build_worker(settings: Settings, clock: Clock) -> web.Application:
    """Return an application that answers `/live`, `/ready`, `/metrics` and `/version` alone.

    Raises:
        ConfigurationError: a store is not named.
    """
    if settings.mongo_url is None or settings.redis_url is None:
        raise ConfigurationError("Set GEMGEM_MONGO_URL and GEMGEM_REDIS_URL.")
    store = settings.store
    redis = connect_redis(
        settings.redis_url.get_secret_value(),
        store.redis_timeout_ms / 1000,
        cluster=store.redis_cluster,
    )
    mongo = Mongo(settings.mongo_url.get_secret_value(), store.mongo_database, store.mongo_driver)
    node = settings.node or f"w-{secrets.token_hex(4)}"
    runner = Runner(clock, outages=(RedisError, DatabaseError, OSError, TimeoutError))
    alarms = Alarms(settings.discord_webhook)
    flusher = Flusher(
        stream=PlayStream(redis, PlayKeys(store.redis_prefix, store.shards), node),
        repo=PlayRepo(mongo.database),
        clock=clock,
        settings=store,
        alarm=alarms.raise_alarm,
    )
    pressure = Pressure(store.alarm_share, store.refuse_share, alarms.raise_alarm)
    grades = build_grades(settings, mongo, clock)
    health = Health(redis, mongo, runner, clock, pressure)

    async def run(_: web.Application) -> AsyncIterator[None]:
        for name, job in (
            ("flush", flusher.run),
            ("grades", grades.run),
            ("alarms", alarms.run),
            ("health", health.run),
        ):
            await runner.start(name, job)
        yield
        health.draining = True
        await runner.close()
        await within(DRAIN_SECONDS, flusher.drain(DRAIN_SECONDS), "flushing what is left")
        await alarms.close()
        await mongo.close()
        await redis.aclose()

    app = web.Application()
    app.cleanup_ctx.append(run)
    add_telemetry(app, health)
    return app
