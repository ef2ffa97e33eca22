"""The server's side of a connection: queues, slow readers, connects that go wrong, polling."""

import asyncio
import json
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from config.clock import SystemClock
from config.metrics import REGISTRY
from config.settings import load_settings
from handlers.deps import Deps
from handlers.live.base import Connection, Event, LiveNamespace
from models.accounts.records import Principal, Role
from models.errors import AppError, ErrorCode
from server.listener import site_runner
from server.realtime.server import Realtime
from tests.flows.raw import raw
from tests.flows.test_hostile import HEAD, frame

WHO = Principal("somebody", "sign-in", frozenset({Role.ADMIN}), 2**40)


def counted(limit: str) -> float:
    """Return how often a limit was met so far."""
    return REGISTRY.get_sample_value("gemgem_limited_total", {"limit": limit}) or 0.0


class Told(Connection):
    """A connection to which a test sends what may not be left out."""


class Watching(Connection):
    """A connection to which a test sends what may be left out."""

    def send(self, event: str, *args: object) -> None:
        self.post(self.wire.encode(self.namespace, event, args), lossy=True)


class Room(LiveNamespace[Connection]):
    """A namespace that lets in whoever does not ask for trouble."""

    roles = frozenset({Role.ADMIN})

    def __init__(self, wire: Realtime, name: str, kind: type[Connection]) -> None:
        self.name = name
        self._kind = kind
        super().__init__(cast("Deps", None), wire)

    def events(self) -> dict[str, Event]:
        return {}

    def joined(self, eio_sid: str, who: Principal) -> Connection:
        return self._kind(self.wire, self.name, eio_sid, who)

    async def left(self, connection: Connection) -> None:
        """Nothing to clean up."""

    async def connect(self, eio_sid: str, auth: Any) -> None:
        match (auth or {}).get("trouble"):
            case "hangs":
                await asyncio.sleep(60)
            case "raises":
                raise KeyError("a fault of ours")
            case "refuses":
                raise AppError(ErrorCode.BUSY, "A store is away.", retry_ms=500)
        self.connections[eio_sid] = self.joined(eio_sid, WHO)

    def welcome(self, eio_sid: str) -> None:
        """Say nothing."""

    @property
    def one(self) -> Connection:
        """The one connection there is."""
        [connection] = self.connections.values()
        return connection


@pytest.fixture(params=["lean", "stock"], autouse=True)
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Hold both transports to the same limits."""
    monkeypatch.setenv("GEMGEM_SOCKET__TRANSPORT", request.param)
    return str(request.param)


@asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[tuple[str, Room, Room]]:
    """Run the Socket.IO server alone, with a namespace for players and one for watchers."""
    settings = load_settings()
    socket_settings = type(settings.socket).model_validate(
        {**settings.socket.model_dump(), **limits}
    )
    realtime = Realtime(settings.http, socket_settings, SystemClock())
    players, watchers = Room(realtime, "/p", Told), Room(realtime, "/w", Watching)
    realtime.add(players)
    realtime.add(watchers)
    app = web.Application()
    realtime.attach(app)
    runner = site_runner(app, settings.http)
    await runner.setup()
    sweeping = asyncio.create_task(realtime.run())
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", players, watchers
    finally:
        await realtime.close_all()
        sweeping.cancel()
        await asyncio.wait({sweeping})
        await runner.cleanup()
        assert not realtime._lines, "a line outlived its connection"
        assert not realtime.eio.sockets
        assert not realtime.environ
        assert realtime._admission._addresses.total == 0
        assert realtime._admission._accounts.total == 0


async def until(true: Any, seconds: float = 5.0) -> float:
    """Wait until something holds; return the seconds it took."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)
    return time.monotonic() - began


@asynccontextmanager
async def deaf(kind: str, **limits: Any) -> AsyncIterator[tuple[Connection, socket.socket]]:
    """Serve one client who joined and does not read; its socket takes as little as it can."""
    loop = asyncio.get_running_loop()
    async with serving(**limits) as (url, players, watchers):
        room = players if kind == "player" else watchers
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", int(url.rpartition(":")[2])))
            await loop.sock_sendall(sock, HEAD.encode() + frame(f"40{room.name},"))
            await until(lambda: room.connections)
            yield next(iter(room.connections.values())), sock


CHUNK = "x" * 20_000
WATCHING = {"queue_packets": 64, "queue_bytes": 10_000_000}


async def test_a_player_who_does_not_read_is_ended_by_the_queue_then_aborted() -> None:
    full, stuck = counted("send_queue"), counted("write_seconds")
    async with deaf("player", queue_packets=64, write_seconds=1) as (player, _):
        sent = 0
        while player.open:
            player.send("told", CHUNK)
            sent += 1
            await asyncio.sleep(0)
            assert player.backlog <= 65
            assert sent < 2000
        assert counted("send_queue") == full + 1
        await until(lambda: counted("write_seconds") > stuck)


async def test_the_library_looks_after_connections_only_where_the_sweep_does_not(
    transport: str,
) -> None:
    async with deaf("player") as (player, _):
        realtime = cast(Realtime, player.wire)
        assert (realtime.eio.service_task_handle is None) == (transport == "lean")
    async with deaf("player", polling=True) as (player, _):
        assert cast(Realtime, player.wire).eio.service_task_handle is not None


async def test_the_queue_is_bounded_by_bytes_too() -> None:
    async with deaf("player", queue_bytes=100_000, queue_packets=10_000) as (player, _):
        for _ in range(1000):
            player.send("told", CHUNK)
            await asyncio.sleep(0)
        assert not player.open
        assert player.backlog < 10


@pytest.mark.parametrize("transport", ["lean"])
async def test_answers_to_pings_do_not_wait_without_end() -> None:
    loop, pings = asyncio.get_running_loop(), frame("x" * 100, 9) * 20
    async with deaf("watcher", **WATCHING, messages_s=100_000, write_seconds=30) as (watcher, sock):
        for _ in range(1000):
            watcher.send("feed", CHUNK)
            await asyncio.sleep(0)
        assert watcher.backlog == 64
        for _ in range(50):
            await loop.sock_sendall(sock, pings)
        await asyncio.sleep(0.2)  # nothing comes of it that could be waited for
        assert watcher.backlog == 64


async def test_what_waits_to_be_sent_is_told() -> None:
    def waits(of: str) -> float:
        return REGISTRY.get_sample_value("gemgem_send_backlog_bytes", {"of": of}) or 0.0

    async with deaf("watcher", queue_bytes=10_000_000, write_seconds=30) as (watcher, sock):
        for _ in range(200):
            watcher.send("feed", CHUNK)
        await until(lambda: waits("all") > 100 * len(CHUNK))
        assert waits("largest") == waits("all")
        sock.close()
        await until(lambda: not waits("all") and not waits("largest"))


@pytest.mark.parametrize("transport", ["lean"])
async def test_what_reading_and_writing_take_is_told() -> None:
    def spent(stage: str) -> float:
        name = "gemgem_stage_seconds_total"
        return REGISTRY.get_sample_value(name, {"stage": stage}) or 0.0

    async with serving() as (url, *_), raw(url) as client:
        await client.say("40/p,")
        await client.until("40/p,")
        received, sent = spent("receive"), spent("send")
        async with asyncio.timeout(5):
            while spent("receive") == received or spent("send") == sent:
                await client.say('42/p,1["x"]')
                await client.until("43/p,1[")


async def test_a_watcher_who_does_not_read_misses_first_and_is_closed_later() -> None:
    full, clogged = counted("send_queue"), counted("clogged_seconds")
    async with deaf("watcher", **WATCHING, clogged_seconds=1, write_seconds=30) as (watcher, _):
        for _ in range(1000):
            watcher.send("feed", CHUNK)
            await asyncio.sleep(0)
        assert watcher.open
        assert watcher.backlog == 64
        assert counted("send_queue") == full + 1, "counted once, not for every packet"
        assert 0.5 < await until(lambda: not watcher.open) < 3
        assert counted("clogged_seconds") == clogged + 1


async def test_a_watcher_who_reads_again_stays() -> None:
    loop = asyncio.get_running_loop()
    async with deaf("watcher", **WATCHING, clogged_seconds=2) as (watcher, sock):
        for _ in range(1000):
            watcher.send("feed", CHUNK)
            await asyncio.sleep(0)
        assert watcher.backlog == 64
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        while watcher.backlog:
            await loop.sock_recv(sock, 1 << 20)
        await asyncio.sleep(2.5)
        assert watcher.open
        watcher.send("feed", "again")
        assert watcher.backlog == 1


async def test_who_trickles_is_not_aborted() -> None:
    loop = asyncio.get_running_loop()
    stuck = counted("write_seconds")
    async with deaf("watcher", write_seconds=1, queue_bytes=10_000_000) as (watcher, sock):
        for _ in range(250):
            watcher.send("feed", CHUNK)
        until_at = time.monotonic() + 3
        while time.monotonic() < until_at:
            await loop.sock_recv(sock, 100_000)
            await asyncio.sleep(0.1)
        assert watcher.backlog
        assert watcher.open
    assert counted("write_seconds") == stuck


@pytest.mark.parametrize(
    ("trouble", "code", "retry_ms"),
    [("hangs", "busy", 1000), ("raises", "internal", None), ("refuses", "busy", 500)],
)
async def test_every_connect_is_answered(
    trouble: str, code: str, retry_ms: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(connect_seconds=1) as (url, *_), raw(url) as client:
        await client.say("40/p," + json.dumps({"trouble": trouble}))
        text = await client.until("44/p,")
        body = json.loads(text[5:])
        assert body["message"]
        assert body["data"]["code"] == code
        assert body["data"].get("retry_ms") == retry_ms
        await client.say("40/p,")
        await client.until("40/p,")
    loud = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(loud) == (trouble == "raises"), "a fault of ours alone leaves a trace"


async def test_what_is_said_in_one_breath_is_taken_in_order() -> None:
    """Nothing overtakes a CONNECT that is under way, nor a DISCONNECT."""
    async with serving() as (url, players, _), raw(url) as client:
        await client.say("40/p,", '42/p,1["x"]', "41/p,", "40/w,", '42/w,2["x"]')
        await client.until("43/w,2[")
        heard = [text for text in client.heard if text[:1] == "4"]
        assert [text[: text.index(",") + 2] for text in heard] == [
            "40/p,{",
            "43/p,1",
            "40/w,{",
            "43/w,2",
        ]
        assert not players.connections


async def test_the_end_of_the_server_is_said_by_its_code() -> None:
    ready = asyncio.Event()

    async def stay(url: str) -> int | None:
        async with raw(url) as client:
            await client.say("40/p,")
            await client.until("40/p,")
            ready.set()
            return (await client.closed())[1]

    async with serving() as (url, *_):
        staying = asyncio.create_task(stay(url))
        await ready.wait()
    assert await staying == 1012


async def test_polling_and_its_upgrade_work_where_they_are_switched_on() -> None:
    async with serving(polling=True) as (url, players, _), aiohttp.ClientSession() as http:
        base = f"{url}/socket.io/?EIO=4"
        async with http.get(f"{base}&transport=polling") as answer:
            sid = json.loads((await answer.text())[1:])["sid"]
        at = f"{base}&transport=polling&sid={sid}"
        async with http.post(at, data="40/p,") as answer:
            assert answer.status == 200
        async with http.get(at) as answer:
            assert (await answer.text()).startswith("40/p,")
        for n in range(5):
            players.one.send("told", n)
        assert players.one.backlog == 5
        async with http.get(at) as answer:
            assert (await answer.text()).count("told") == 5
        assert players.one.backlog == 0
        async with http.ws_connect(f"{base}&transport=websocket&sid={sid}") as ws:
            await ws.send_str("2probe")
            assert await ws.receive_str() == "3probe"
            await ws.send_str("5")
            players.one.send("told", "over there")
            while "over there" not in (await ws.receive_str()):
                pass
