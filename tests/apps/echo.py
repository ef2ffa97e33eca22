"""An echo server on the product's own Socket.IO server, for protocol conformance suites.

`python -m tests.apps.echo --port 3000` serves `/` and `/custom`: after the CONNECT reply it emits
`auth` with the auth payload; `message` is answered by `message-back`, `message-with-ack` by its
ack, both with the same arguments; `kick` disconnects the sender. `{"token": "reject"}` is refused.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from aiohttp import web

from config.clock import SystemClock
from config.settings import Settings, load_settings
from handlers.deps import Deps
from handlers.live.base import Ack, Connection, Event, LiveNamespace
from models.accounts.records import Principal, Role
from models.errors import AppError, ErrorCode
from server.listener import site_runner
from server.loop import run_loop
from server.middleware import middlewares
from server.realtime.server import Realtime

NAMESPACES = ("/", "/custom")
ANYBODY = Principal("anybody", "sign-in", frozenset({Role.GUARDIAN}), 2**40)


class Echo(LiveNamespace[Connection]):
    """A namespace that says back what it is told."""

    roles = frozenset({Role.GUARDIAN})

    def __init__(self, wire: Realtime, name: str) -> None:
        self.name = name
        self._realtime = wire
        self._auths: dict[str, Any] = {}
        super().__init__(cast("Deps", None), wire)

    def events(self) -> dict[str, Event]:
        """Events are no matter of a table here."""
        return {}

    def joined(self, eio_sid: str, who: Principal) -> Connection:
        """Make the connection."""
        return Connection(self.wire, self.name, eio_sid, who)

    async def left(self, connection: Connection) -> None:
        """Forget what it said of itself."""
        self._auths.pop(connection.eio_sid, None)

    async def connect(self, eio_sid: str, auth: Any) -> None:
        """Let everybody in who does not ask to be refused."""
        if auth == {"token": "reject"}:
            raise AppError(ErrorCode.UNAUTHENTICATED, "As you asked.")
        self._auths[eio_sid] = auth
        self.connections[eio_sid] = self.joined(eio_sid, ANYBODY)

    async def disconnect(self, eio_sid: str) -> None:
        """A client is gone. Safe to call twice."""
        connection = self.connections.pop(eio_sid, None)
        if connection is not None:
            await self.left(connection)

    def welcome(self, eio_sid: str) -> None:
        """Say what was said at the connect."""
        if eio_sid in self.connections:
            self.connections[eio_sid].send("auth", self._auths[eio_sid] or {})

    def dispatch(self, eio_sid: str, event: Any, args: list[Any], ack: Ack | None) -> None:
        """Say back."""
        if event == "message":
            self.connections[eio_sid].send("message-back", *args)
        elif event == "message-with-ack" and ack is not None:
            ack(*args)
        elif event == "kick":
            sid = self._realtime.manager.sid_from_eio_sid(eio_sid, self.name)
            self.later(self._kick(sid), "kick", lambda _: None)

    async def _kick(self, sid: str) -> dict[str, Any]:
        await self._realtime.disconnect(sid, self.name)
        return {}


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[int, Realtime]]:
    """Run the server; yield its port."""
    realtime = Realtime(settings.http, settings.socket, SystemClock())
    realtime.eio.cors_allowed_origins = "*"
    rooms = [Echo(realtime, name) for name in NAMESPACES]
    for room in rooms:
        realtime.add(room)
    app = web.Application(middlewares=middlewares(SystemClock(), settings.http.origins))
    realtime.attach(app)
    runner = site_runner(app, settings.http)
    await runner.setup()
    sweeping = asyncio.create_task(realtime.run())
    try:
        await web.TCPSite(runner, settings.http.host, settings.http.port).start()
        yield runner.addresses[0][1], realtime
    finally:
        await realtime.close_all()
        sweeping.cancel()
        await asyncio.wait({sweeping})
        for room in rooms:
            await room.close()
        await runner.cleanup()


def settings_of(port: int, **socket: Any) -> Settings:
    """Return the settings of the echo server."""
    base = load_settings()
    limits = {"polling": True, "join_seconds": 1, "message_bytes": 1_000_000, **socket}
    return base.model_copy(
        update={
            "http": base.http.model_copy(update={"host": "127.0.0.1", "port": port}),
            "socket": type(base.socket).model_validate({**base.socket.model_dump(), **limits}),
        }
    )


async def run(settings: Settings) -> None:
    """Serve until the process is ended."""
    async with serving(settings) as (port, realtime):
        print(f"echo server of the {realtime.transport} transport on port {port}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.apps.echo", description=__doc__)
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--ping-interval", type=float, default=25.0, metavar="S")
    parser.add_argument("--ping-timeout", type=float, default=20.0, metavar="S")
    parser.add_argument("--transport", choices=("lean", "stock"), default="lean")
    args = parser.parse_args()
    socket = {
        "ping_interval": args.ping_interval,
        "ping_timeout": args.ping_timeout,
        "transport": args.transport,
    }
    run_loop(run(settings_of(args.port, **socket)))


if __name__ == "__main__":
    main()
