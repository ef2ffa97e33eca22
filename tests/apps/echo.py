"""An echo server on the product's own Socket.IO server, for protocol conformance suites.

`python -m tests.apps.echo --port 3000` serves `/` and `/custom`: after the CONNECT reply it emits
`auth` with the auth payload; `message` is answered by `message-back`, `message-with-ack` by its
ack, both with the same arguments; `kick` disconnects the sender. `{"token": "reject"}` is refused.
With `--engine` it speaks Engine.IO alone, at `/engine.io/`: every message is sent back as it is.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from aiohttp import web

from config.clock import SystemClock
from config.settings import Settings, load_settings
from handlers.deps import Deps
from handlers.live.base import Ack, Connection, Event, Hot, LiveNamespace
from models.accounts.records import Principal, Role
from models.errors import AppError, ErrorCode
from server.listener import site_runner
from server.loop import run_loop
from server.middleware import middlewares
from server.realtime.guard import Guard
from server.realtime.intake import Work
from server.realtime.lean import LeanLine
from server.realtime.server import Realtime
from server.realtime.stock import Line
from server.realtime.wire import Encoded

ENGINE_PATH = "/engine.io/"
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


class Bare(Encoded):
    """A message of Engine.IO that is no packet of Socket.IO."""

    def __init__(self, data: str | bytes) -> None:
        super().__init__(0, "/")
        self._bare = data

    def parts(self, packed: bool) -> Sequence[str | bytes]:
        """Return the message."""
        return (self._bare,)


class BareLine(Line):
    """The stock transport without its check that a message is a packet of Socket.IO."""

    def _check(self, data: str | bytes) -> None:
        if self._upgrade or data[:1] != "4":
            super()._check(data)


class Engine(Realtime):
    """The Engine.IO server under the Socket.IO server, saying back what it is told."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.http, settings.socket, SystemClock())
        self.receive = self._say_back

    def attach(self, app: web.Application) -> None:
        """Take the requests where the suite of Engine.IO sends them."""
        app.router.add_route("*", ENGINE_PATH, self._request)

    def _say_back(
        self, sid: str, guard: Guard, data: str | bytes, hot: Hot | None = None
    ) -> Work | None:
        self.post(sid, Bare(data))
        return None

    def _line(self, handler: Callable[..., Any], server: Any) -> Line | LeanLine:
        line = super()._line(handler, server)
        if isinstance(line, LeanLine):
            return line
        return BareLine(self, self._limits, self._clock, handler)


@asynccontextmanager
async def serving(
    settings: Settings, *, engine: bool = False
) -> AsyncIterator[tuple[int, Realtime]]:
    """Run the server; yield its port."""
    if engine:
        realtime: Realtime = Engine(settings)
    else:
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


async def run(settings: Settings, *, engine: bool) -> None:
    """Serve until the process is ended."""
    async with serving(settings, engine=engine) as (port, realtime):
        print(f"echo server of the {realtime.transport} transport on port {port}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.apps.echo", description=__doc__)
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--ping-interval", type=float, default=25.0, metavar="S")
    parser.add_argument("--ping-timeout", type=float, default=20.0, metavar="S")
    parser.add_argument("--transport", choices=("lean", "stock"), default="lean")
    parser.add_argument("--engine", action="store_true", help="speak Engine.IO alone")
    args = parser.parse_args()
    socket = {
        "ping_interval": args.ping_interval,
        "ping_timeout": args.ping_timeout,
        "transport": args.transport,
    }
    run_loop(run(settings_of(args.port, **socket), engine=args.engine))


if __name__ == "__main__":
    main()
