"""The relay on our own Socket.IO server and transport: the peers' work, nothing scored or kept."""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from aiohttp import web

from config.clock import SystemClock
from config.settings import Settings, load_settings
from config.version import VERSION
from handlers.deps import Deps
from handlers.live.base import Connection, Event, LiveNamespace
from handlers.live.protocol import SessionOpen, WatchJoin
from jobs.runner import Runner
from models.accounts.records import Principal, Role
from models.accounts.tokens import Verifier, load_dev_key
from server.listener import site_runner
from server.loop import run_loop
from server.realtime.harvest import Harvest
from server.realtime.server import Realtime
from tests.load.transport.serve import SCORE_EVERY, score, until_told

COLLECT_S = 0.01
"""How often the sockets are read: twice as often as the engine's tick does."""


class Sender(Connection):
    """A player, or a watcher."""

    session = ""
    frames = 0


class Watched:
    """The watcher of each watched session."""

    def __init__(self) -> None:
        self.by_session: dict[str, Sender] = {}


class _Room(LiveNamespace[Sender]):
    def __init__(self, deps: Deps, wire: Any, watched: Watched) -> None:
        self._watched = watched
        super().__init__(deps, wire)

    def joined(self, eio_sid: str, who: Principal) -> Sender:
        """Make the connection."""
        return Sender(self.wire, self.name, eio_sid, who)

    async def left(self, connection: Sender) -> None:
        """Forget a watcher."""
        if self._watched.by_session.get(connection.session) is connection:
            del self._watched.by_session[connection.session]


class RelayGame(_Room):
    """Takes frames."""

    name = "/game"
    roles = frozenset({Role.GUARDIAN})

    def events(self) -> dict[str, Event]:
        """The two events a relay needs."""
        return {
            "session:open": Event(SessionOpen, self._open),
            "frames": Event(None, self._frames, numbered=True, hot=self._stream),
        }

    def _open(self, player: Sender, asked: SessionOpen, reply: Callable[..., None]) -> None:
        player.session = str(asked.client_key)
        reply({"session_id": player.session})

    def _frames(self, player: Sender, args: list[Any], _: Callable[..., None] | None) -> None:
        self._stream(player, *args)

    def _stream(self, player: Sender, seq: int, payload: bytes) -> None:
        watcher = self._watched.by_session.get(player.session)
        if watcher is not None:
            watcher.send("feed", player.session, seq, payload, {})
        player.frames += 1
        if player.frames % SCORE_EVERY == 0:
            player.send("score", score(payload))


class RelayWatch(_Room):
    """Watches."""

    name = "/watch"
    roles = frozenset({Role.GUARDIAN})

    def events(self) -> dict[str, Event]:
        """The one event a watcher needs."""
        return {"watch:join": Event(WatchJoin, self._join)}

    def _join(self, watcher: Sender, asked: WatchJoin, reply: Callable[..., None]) -> None:
        watcher.session = asked.session_id
        self._watched.by_session[asked.session_id] = watcher
        reply({})


def build(settings: Settings, key: Path) -> web.Application:
    """Return the application: the product's server with two small namespaces."""
    clock = SystemClock()
    rules = settings.token
    verifier = Verifier((load_dev_key(key),), rules.issuer, rules.audience, rules.leeway_seconds)
    known = {
        "settings": settings,
        "version": VERSION,
        "node": "relay",
        "clock": clock,
        "verifier": verifier,
    }
    # What a relay does not do needs no part of it.
    deps = Deps(**{part.name: known.get(part.name) for part in fields(Deps)})  # type: ignore[arg-type]
    harvest = Harvest(monotonic=clock.monotonic)
    realtime = Realtime(settings.http, settings.socket, clock, harvest=harvest)
    watched = Watched()
    realtime.add(RelayGame(deps, realtime, watched))
    realtime.add(RelayWatch(deps, realtime, watched))
    app = web.Application(client_max_size=settings.http.body_bytes)
    realtime.attach(app)
    runner = Runner(clock, outages=())

    async def collecting() -> None:
        while True:
            await asyncio.sleep(COLLECT_S)
            harvest.collect()

    async def run(_: web.Application) -> AsyncIterator[None]:
        await runner.start("connections", realtime.run)
        await runner.start("harvest", collecting)
        yield
        await runner.close()

    async def leave(_: web.Application) -> None:
        await realtime.close_all()

    app.cleanup_ctx.append(run)
    app.on_shutdown.append(leave)
    return app


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--parser", help="any: the client chooses")
    args = parser.parse_args()
    settings = load_settings()
    if settings.dev_key is None:
        raise SystemExit("set GEMGEM_DEV_KEY")
    app = build(settings, settings.dev_key)
    with contextlib.suppress(KeyboardInterrupt):
        run_loop(until_told(site_runner(app, settings.http), args.port))


if __name__ == "__main__":
    main()
