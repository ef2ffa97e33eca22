"""Start and stop: what runs from when, and in which order it ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from redis.asyncio import Redis

from handlers.live.game import GameNamespace
from handlers.live.watch import WatchNamespace
from handlers.places import Places
from jobs.alarms import Alarms
from jobs.flush import Flusher
from jobs.grades import GradeRounds
from jobs.inbox import NewsDesk
from jobs.indexes import Indexes
from jobs.janitor import Janitor
from jobs.runner import Runner
from jobs.withdrawal import Leaving
from models.accounts.revocations import Revocations
from models.bus import Bus
from models.children.changes import AccessChanges
from models.db import Mongo
from models.play.repo import PlayRepo
from server.accounts import AccountParts
from server.realtime.server import Realtime
from server.telemetry import Health
from sessions.appender import Appender
from sessions.catalogue import catalogue
from sessions.directory import Directory
from sessions.engine import Engine
from sessions.rebuild import Rebuilder
from sessions.registry import Registry
from sessions.relay import Relay

log = logging.getLogger(__name__)

SPREAD_MS = 5000
APART_MS = 10
"""Reconnects are told to come this far apart, all of them within `SPREAD_MS`."""
SETTLE_SECONDS = 5.0
DRAIN_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What is started and stopped."""

    redis: Redis
    mongo: Mongo
    repo: PlayRepo
    bus: Bus
    revocations: Revocations
    changes: AccessChanges
    engine: Engine
    appender: Appender
    relay: Relay
    registry: Registry
    rebuilder: Rebuilder
    directory: Directory
    flusher: Flusher | None
    """None where `gemgem worker` flushes alone."""
    indexes: Indexes
    janitor: Janitor
    alarms: Alarms
    people: AccountParts
    leaving: Leaving
    news: NewsDesk
    grades: GradeRounds
    runner: Runner
    health: Health
    places: Places
    realtime: Realtime
    game: GameNamespace
    watch: WatchNamespace


PARTS: web.AppKey[Parts] = web.AppKey("parts")
"""Where the parts of a running application are found."""


def attach(app: web.Application, parts: Parts) -> None:
    """Let the application start and stop its parts."""

    async def run(_: web.Application) -> AsyncIterator[None]:
        await _start(parts)
        yield
        await _stop(parts)

    async def leave(_: web.Application) -> None:
        await _leave(parts)

    app[PARTS] = parts
    app.cleanup_ctx.append(run)
    # Before the server waits for its connections to end: ours would never end by themselves.
    app.on_shutdown.append(leave)


async def _start(p: Parts) -> None:
    catalogue().warm()
    await p.appender.start()
    await p.relay.start()
    await p.revocations.start()
    await p.changes.start()
    await p.registry.start()
    for name, job in (
        ("bus listening", p.bus.run_listening),
        ("bus publishing", p.bus.run_publishing),
        ("engine", p.engine.run),
        ("appender", p.appender.run),
        ("stored marks", p.appender.run_refresh),
        ("snapshots", p.appender.run_snapshots),
        ("janitor", p.janitor.run),
        ("relay", p.relay.run),
        ("child places", p.registry.run),
        ("directory", p.directory.run),
        ("indexes", p.indexes.run),
        ("alarms", p.alarms.run),
        ("mail", p.people.post.run),
        ("withdrawals", p.leaving.run),
        ("news", p.news.run),
        ("grades", p.grades.run),
        ("health", p.health.run),
        ("connections", p.realtime.run),
        ("connection places", p.places.run),
        ("revocations", p.revocations.run),
        ("access", p.changes.run),
        ("game expiry", p.game.run),
        ("game rooms", p.game.run_rooms),
        ("watch expiry", p.watch.run),
        ("live lists", p.watch.run_lists),
        ("watch pulse", p.watch.run_pulse),
    ):
        await p.runner.start(name, job)
    if p.flusher is not None:
        await p.runner.start("flush", p.flusher.run)


async def _leave(p: Parts) -> None:
    """Tell the players, append what they sent, and close their connections."""
    p.health.draining = True
    connections = [*p.game.connections.values(), *p.watch.connections.values()]
    # Each comes back at a time of its own, so that the next worker is not run over.
    step = min(SPREAD_MS / max(len(connections), 1), APART_MS)
    for n, connection in enumerate(connections):
        connection.send("draining", {"retry_after_ms": round(n * step)})
    # The sessions stay open: whoever resumes them does it on another worker, or on the next one.
    await within(SETTLE_SECONDS, p.appender.settle(), "appending what is left")
    await p.realtime.close_all()


async def _stop(p: Parts) -> None:
    """Let what was appended be stored, then let go of the stores."""
    await p.game.close()
    await p.watch.close()
    await p.rebuilder.close()
    await p.runner.close()
    if p.flusher is not None:
        await within(DRAIN_SECONDS, p.flusher.drain(DRAIN_SECONDS), "flushing what is left")
    await within(1.0, p.directory.withdraw(), "leaving the directory")
    await within(1.0, p.places.give_back(), "giving places back")
    await p.alarms.close()
    await p.people.close()
    await p.mongo.close()
    await p.redis.aclose()


async def within(seconds: float, step: Coroutine[Any, Any, None], what: str) -> None:
    """Do a step of the stop; one that fails or takes too long holds up nobody."""
    try:
        async with asyncio.timeout(seconds):
            await step
    except Exception as error:
        # Nothing acknowledged is lost by it: what is in Redis is flushed by the next worker.
        log.warning("%s did not finish: %s: %s", what, type(error).__name__, error)
