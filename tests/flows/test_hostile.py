"""Hostile clients over real sockets: each is closed, told why, counted; the others play on."""

import asyncio
import contextlib
import io
import json
import logging
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import aiohttp
import msgpack
import pytest
from redis.asyncio import Redis

from config.clock import SystemClock
from config.metrics import REGISTRY
from models.accounts.revocations import revoke
from server.__main__ import main
from tests.flows.raw import QUERY, Raw, raw
from tests.server.test_serve import run
from tests.serving import Served, serving, settings_of

Serve = Callable[..., Any]


def counted(limit: str) -> float:
    """Return how often a limit was met so far."""
    return REGISTRY.get_sample_value("gemgem_limited_total", {"limit": limit}) or 0.0


@pytest.fixture(params=["lean", "stock"])
def transport(request: pytest.FixtureRequest) -> Iterator[str]:
    """Hold both transports to the same limits."""
    yield str(request.param)
    served_by = REGISTRY.get_sample_value("gemgem_transport", {"kind": request.param})
    assert served_by == 1, "the last server of the test had another transport"


@pytest.fixture
def serve(
    mongo_url: str,
    redis_url: str,
    mongo_database: str,
    redis_prefix: str,
    tmp_path: Path,
    transport: str,
) -> Serve:
    """Return what runs a server with other limits."""

    def start(http: dict[str, Any] | None = None, **limits: Any) -> Any:
        settings = settings_of(
            mongo_url,
            redis_url,
            mongo_database,
            redis_prefix,
            tmp_path / "dev-key.pem",
            socket={"transport": transport, **limits},
            http=http or {},
            store={"flush_ms": 1000},
        )
        return serving(settings)

    return start


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Any:
    """Nothing a client sends may leave an error in the log."""
    yield
    loud = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert not loud


@asynccontextmanager
async def joined(served: Served, **more: Any) -> AsyncIterator[Raw]:
    """A client in `/game`."""
    async with raw(served.url) as client:
        await client.join(served.token("guardian", "child-1", **more))
        yield client


def connect(token: str, namespace: str = "/game") -> str:
    """Return the packet that asks for a namespace."""
    return f"40{namespace}," + json.dumps({"token": token})


async def is_well(client: Raw) -> None:
    """Check that a client is served."""
    assert "ok" in await client.ask("clock", {"t_us": 1})


NOT_PACKETS: dict[str, list[str | bytes]] = {
    "an unknown Engine.IO kind": ["9"],
    "no digit": ["hello"],
    "base64": ["bAAAA"],
    "an open from a client": ["0{}"],
    "a ping from a client": ["2"],
    "an upgrade": ["5"],
    "a pong with a nest": ["3" + "[" * 100_000],
    "a message that is empty": ["4"],
    "a message that is no digit": ["4²"],
    "a message with a nest": ["4" + "[" * 100_000],
    "an unknown Socket.IO kind": ["47/game,"],
    "a CONNECT_ERROR": ["44/game,{}"],
    "an event that is no list": ['42/game,{"a":1}'],
    "an event that is a string": ['42/game,"clock"'],
    "an event without a name": ["42/game,[]"],
    "an event whose name is a number": ["42/game,[1]"],
    "an event that is nothing": ["42/game,"],
    "an event that is no JSON": ["42/game,[nope]"],
    "an event with a tail": ['42/game,["clock"] ["clock"]'],
    "an ack number that is huge": ["42/game," + "9" * 50 + '["clock",{"t_us":1}]'],
    "an ack number of a megabyte's tenth": ["42/game," + "9" * 100_000 + '["clock"]'],
    "an ack that is no list": ["43/game,1{}"],
    "an ack without a number": ["43/game,[]"],
    "a disconnect with data": ['41/game,["x"]'],
    "an event of a namespace not joined": ['42/watch,["live:list",{}]'],
    "an event of the root": ['42["clock",{"t_us":1}]'],
    "a connect that is a list": ["40/watch,[1]"],
    "a binary part nobody announced": [b"\x00" * 10],
    "an empty binary part": [b""],
    "a binary event without a count": ['45/game,["frames",0,{"_placeholder":true,"num":0}]'],
    "a binary event of zero parts": ['450-/game,["frames",0]'],
    "a binary event of nine parts": ['459-/game,["frames",0]'],
    "a binary event of a billion parts": ['451000000000-/game,["frames",0]'],
    "a binary event with minus": ['45-1-/game,["frames",0]'],
    "a message before the part": [
        '451-/game,["frames",0,{"_placeholder":true,"num":0}]',
        '42/game,["clock",{"t_us":1}]',
    ],
    "a placeholder that is not there": [
        '451-/game,["frames",0,{"_placeholder":true,"num":1}]',
        b"x",
    ],
    "a placeholder below nothing": ['451-/game,["frames",0,{"_placeholder":true,"num":-1}]', b"x"],
    "a placeholder that is no number": [
        '451-/game,["frames",0,{"_placeholder":true,"num":"0"}]',
        b"x",
    ],
    "a placeholder that is true": ['451-/game,["frames",0,{"_placeholder":true,"num":true}]', b"x"],
    "a binary event too deep": [
        '451-/game,["frames",' + "[" * 40 + "]" * 40 + ',{"_placeholder":true,"num":0}]'
    ],
}


async def test_what_is_no_packet_closes_its_connection_and_no_other(serve: Serve) -> None:
    before = counted("invalid_packet")
    async with serve() as served, joined(served, sub="calm") as calm:
        for kind, messages in NOT_PACKETS.items():
            async with joined(served, sub="wild") as wild:
                await wild.say(*messages)
                seconds, code = await wild.closed()
                assert seconds < 1, kind
                assert code == 1008, kind
                assert [why["code"] for why in wild.told("closed")] == ["invalid"], kind
            await is_well(calm)
    assert counted("invalid_packet") == before + len(NOT_PACKETS)


async def test_binary_parts_before_joining_close_the_connection(serve: Serve) -> None:
    async with serve() as served:
        for message in (b"x", '451-/game,["frames",0,{"_placeholder":true,"num":0}]'):
            async with raw(served.url) as client:
                await client.say(message)
                seconds, code = await client.closed()
                assert (seconds < 1, code) == (True, 1008)


def packed(kind: int, data: Any = None, **more: Any) -> bytes:
    """Return a packet of the msgpack parser."""
    return bytes(msgpack.packb({"type": kind, "data": data, "nsp": "/game", **more}))


NOT_PACKED: dict[str, list[str | bytes]] = {
    "text": ['42/game,["clock",{"t_us":1}]'],
    "text that announces frames": ['451-/game,["frames",5,{"_placeholder":true,"num":0}]'],
    "no msgpack": [b"\xc1"],
    "nothing": [b""],
    "a packet cut short": [packed(2, ["clock", {"t_us": 1}])[:-1]],
    "two packets": [packed(2, ["clock", {"t_us": 1}]) * 2],
    "an unknown kind": [packed(7)],
    "a namespace not joined": [packed(2, ["x"], nsp="/watch")],
    "an event that is no list": [packed(2, {"a": 1})],
    "an ack number that is huge": [packed(2, ["x"], id=2**63)],
    "lists that say they are long": [b"\xdd\x00\x03\xff\xff" * 50_000],
}


async def test_what_is_no_packet_of_msgpack_closes_its_connection(serve: Serve) -> None:
    before = counted("invalid_packet")
    async with serve() as served:
        token = served.token("guardian", "child-1")
        for kind, messages in NOT_PACKED.items():
            async with raw(served.url) as client:
                await client.say(packed(0, {"token": token}), *messages)
                seconds, code = await client.closed()
                assert (seconds < 1, code) == (True, 1008), kind
    assert counted("invalid_packet") == before + len(NOT_PACKED)


async def test_content_of_msgpack_over_its_limits_is_answered(serve: Serve) -> None:
    before = counted("json")
    deep: Any = 1
    for _ in range(33):
        deep = [deep]
    rejected = [deep, [1] * 10_001, float("nan"), msgpack.ExtType(5, b"x"), [b"x"] * 9]
    async with serve() as served, raw(served.url) as client:
        await client.say(packed(0, {"token": served.token("guardian", "child-1")}))
        await client.say(*[packed(2, ["clock", what], id=3) for what in rejected])
        await client.say(packed(2, ["clock", [[1] * 9_999] * 3]))  # too long to look at
        await client.say(packed(2, ["clock", {"t_us": 1}], id=4))
        answers = []
        async with asyncio.timeout(5):
            while not answers or answers[-1]["id"] != 4:
                message = await client.ws.receive()
                packet = msgpack.unpackb(message.data) if isinstance(message.data, bytes) else {}
                if packet.get("type") == 3:
                    answers.append(packet)
        assert [a["data"][0]["error"]["code"] for a in answers[:-1]] == ["invalid"] * len(rejected)
        assert "ok" in answers[-1]["data"][0]
    assert counted("json") == before + len(rejected) + 1


REJECTED = {
    "33 levels": "[" * 33 + "]" * 33,
    "a thousand levels": "[" * 1000 + "]" * 1000,
    "a hundred thousand levels": "[" * 100_000,
    "objects in objects": '{"a":' * 40 + "1" + "}" * 40,
    "10 001 items": "[" + ",".join("1" * 10_001) + "]",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "minus Infinity": "[-Infinity]",
    "1e999": '{"t_us":1e999}',
    "a float of 400 digits": "1" * 400 + ".5",
    "an integer of 5000 digits": "1" * 5000,
    "half a character": '"\\ud800"',
}
TAKEN = {
    "30 levels": "[" * 30 + "]" * 30,
    "10 000 items": "[" + ",".join("1" * 10_000) + "]",
    "many brackets side by side": "[" + ",".join(["[]"] * 100) + "]",
}


async def test_content_over_its_limits_is_answered_and_the_connection_stays(serve: Serve) -> None:
    before = counted("json")
    async with serve() as served, joined(served) as client:
        for kind, text in REJECTED.items():
            await client.say(f'42/game,3["clock",{text}]')
            error = (await client.answer(3))["error"]
            assert (error["code"], "not read" in error["message"]) == ("invalid", True), kind
        await client.say('42/game,["frames",NaN]')
        assert (await client.event("refused"))["code"] == "invalid"
        assert counted("json") == before + len(REJECTED) + 1
        for kind, text in TAKEN.items():
            await client.say(f'42/game,4["clock",{text}]')
            error = (await client.answer(4))["error"]
            assert "not read" not in error["message"], f"{kind}: the schema refuses it, no limit"
        await is_well(client)


RESERVED = (
    "connect",
    "disconnect",
    "connect_error",
    "disconnecting",
    "newListener",
    "removeListener",
    "_private",
    "__class__",
    "",
    "x" * 10_000,
)


async def test_reserved_and_unknown_events_are_refused(served: Served) -> None:
    async with joined(served) as client:
        for event in RESERVED:
            error = (await client.ask(event, {"token": "x"}))["error"]
            assert error["code"] == "invalid", event
            await client.say("42/game," + json.dumps([event, {"aiohttp.request": {}}, {}]))
            await is_well(client)


async def test_announced_parts_that_never_come_close_the_connection(serve: Serve) -> None:
    before = counted("attachment_seconds")
    async with serve(attachment_seconds=1) as served, joined(served) as client:
        await client.say('452-/game,["frames",0,{"_placeholder":true,"num":0}]', b"one of two")
        seconds, code = await client.closed()
        assert (0.5 < seconds < 2.5, code) == (True, 1008)
        assert client.told("closed")
    assert counted("attachment_seconds") == before + 1


async def test_parts_too_large_together_close_the_connection(serve: Serve) -> None:
    async with serve() as served, joined(served) as client:
        await client.say('458-/game,["frames",0]', *[b"\0" * 200_000] * 6)
        _, code = await client.closed()
        assert code == 1008
        assert client.told("closed")[0]["code"] == "too_large"


async def test_a_message_over_its_size_is_closed_with_1009(serve: Serve) -> None:
    before = counted("message_bytes")
    async with serve() as served, joined(served) as client:
        await client.say("4" + "x" * 262_144)
        _, code = await client.closed()
        assert code == 1009
    assert counted("message_bytes") == before + 1


async def test_compression_is_not_agreed_to(served: Served) -> None:
    async with raw(served.url) as client:
        assert client.ws.compress == 0
        assert "Sec-WebSocket-Extensions" not in client.ws._response.headers
        # RSV1 set: what claims to be compressed all the same is no frame.
        transport = client.ws._response.connection.transport
        transport.write(b"\xc2\x85\0\0\0\0bomb!")
        _, code = await client.closed()
        assert code == 1002


async def test_namespaces_are_known_few_and_joined_once(serve: Serve) -> None:
    async with serve(namespaces=2) as served:
        token = served.token("guardian", "child-1")
        async with raw(served.url) as client:
            await client.say('40/admin,{"token":"x"}')
            assert await client.until("44/admin,") == '44/admin,{"message":"Invalid namespace"}'
            assert (await client.closed())[1] == 1008
        async with joined(served) as client:
            await client.say(connect(token))
            text = await client.until("44/game,")
            assert json.loads(text[8:])["data"]["code"] == "conflict"
            assert (await client.closed())[1] == 1008
        async with joined(served) as client:
            await client.join(token, "/watch")
            await client.say("41/watch,")
            await client.say(connect(token, "/watch"))
            await client.until("44/watch,")
            assert (await client.closed())[1] == 1008


async def test_an_unused_connection_is_closed(serve: Serve) -> None:
    before = counted("join_seconds")

    async def never_joins(served: Served) -> None:
        async with raw(served.url) as client:
            await client.say('40/game,{"token":"no"}')
            await client.until("44/game,")
            seconds, code = await client.closed()
            assert (0.3 < seconds < 2.5, code) == (True, 1008)

    async def leaves(served: Served) -> None:
        async with joined(served) as client:
            await client.say("41/game,")
            assert (await client.closed())[1] == 1008

    async with serve(join_seconds=1) as served:
        await asyncio.gather(never_joins(served), leaves(served))
    assert counted("join_seconds") == before + 2


@pytest.mark.alone
async def test_a_flood_is_slowed_told_and_closed(serve: Serve) -> None:
    """100 000 tiny packets: the rate decides how many of them anybody looks at."""
    limits = {"messages_s": 120, "bytes_s": 1_000_000, "over_seconds": 1}
    before = counted("rate_closed")
    async with (
        serve(**limits) as served,
        joined(served, sub="calm") as calm,
        joined(served, sub="wild") as wild,
    ):

        async def flood() -> None:
            with contextlib.suppress(ConnectionError):
                for _ in range(1000):
                    await wild.say(*['42/game,["x"]'] * 100)
            await wild.closed(10)

        flooding = asyncio.create_task(flood())
        worst = 0.0
        while not flooding.done():
            began = time.monotonic()
            await is_well(calm)
            worst = max(worst, time.monotonic() - began)
            await asyncio.sleep(0.05)
        await flooding
        assert wild.told("slow_down")[0]["delay_ms"] > 0
        assert [why["code"] for why in wild.told("closed")] == ["rate_limited"]
        assert worst < 1
    assert counted("rate_closed") == before + 1


async def test_a_flood_of_pings_is_a_flood(serve: Serve) -> None:
    async def flood(served: Served, kind: str) -> None:
        async with joined(served, sub=kind) as client:
            send = {
                "ping": lambda: client.ws.ping(b"x"),
                "pong": lambda: client.ws.pong(b"x"),
                "engine": lambda: client.say("3"),
            }[kind]
            with contextlib.suppress(ConnectionError):
                for _ in range(200):
                    for _ in range(20):
                        await send()
                    await asyncio.sleep(0.01)
            await client.closed()
            assert client.told("slow_down"), kind
            assert client.told("closed")[0]["code"] == "rate_limited", kind

    async with serve(messages_s=50, burst_seconds=1, over_seconds=1) as served:
        await asyncio.gather(*[flood(served, kind) for kind in ("ping", "pong", "engine")])


async def test_who_slows_down_when_told_is_kept(serve: Serve) -> None:
    """After a resume a client sends its whole ring at once, then obeys."""
    async with (
        serve(messages_s=120, burst_seconds=1, over_seconds=2) as served,
        joined(served) as client,
    ):
        part = '451-/game,["frames",%d,{"_placeholder":true,"num":0}]'
        for n in range(200):
            await client.say(part % n, b"x")
        told = await client.event("slow_down")
        await asyncio.sleep(told["delay_ms"] / 1000)
        for n in range(120):
            await client.say(part % n, b"x")
            await asyncio.sleep(1 / 60)
        await is_well(client)
        assert len(client.told("slow_down")) == 1
        assert not client.told("closed")


def unread(url: str) -> socket.socket:
    """Return a plain socket that takes as little as possible before it is read."""
    parts = urlsplit(url)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.connect((parts.hostname, parts.port))
    return sock


HEAD = (
    f"GET {QUERY} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def frame(text: str, opcode: int = 1) -> bytes:
    """Return a masked frame, one of text if nothing else is said."""
    data = text.encode()
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
    return bytes((0x80 | opcode,)) + size + b"\0\0\0\0" + data


async def ended(loop: asyncio.AbstractEventLoop, sock: socket.socket, seconds: float) -> float:
    """Write until the peer is gone (nothing is ever read); return the seconds it took."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while True:
            try:
                await loop.sock_sendall(sock, frame("3"))
            except ConnectionError:
                return time.monotonic() - began
            await asyncio.sleep(0.05)


async def test_a_client_that_never_reads_is_aborted(serve: Serve) -> None:
    loop = asyncio.get_running_loop()
    stuck, full = counted("write_seconds"), counted("send_queue")
    async with serve(write_seconds=1, queue_packets=64) as served:
        with unread(served.url) as sock:
            sock.setblocking(False)
            token = served.token("guardian", "child-1")
            await loop.sock_sendall(sock, HEAD.encode())
            await asyncio.sleep(0.2)
            await loop.sock_sendall(sock, frame(connect(token)))
            await asyncio.sleep(0.2)
            # Every answer is as long as the complaint about a field named so.
            name = "x" * 20_000
            asked = frame(f'42/game,1["clock",{{"{name}":1}}]')
            with contextlib.suppress(ConnectionError):
                for _ in range(5000):
                    async with asyncio.timeout(20):
                        await loop.sock_sendall(sock, asked)
                    await asyncio.sleep(0.002)
        async with asyncio.timeout(5):
            while counted("write_seconds") + counted("close_seconds") == stuck:
                await asyncio.sleep(0.1)
    assert counted("send_queue") == full + 1


async def test_half_open_handshakes_end(serve: Serve) -> None:
    loop = asyncio.get_running_loop()

    async def begin(address: SplitResult, text: str) -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(text.encode())
        began = loop.time()
        async with asyncio.timeout(4):
            await reader.read()
        assert loop.time() - began < 3.5, text
        writer.close()
        await writer.wait_closed()

    async with serve(http={"head_seconds": 1}, join_seconds=1) as served:
        address = urlsplit(served.url)
        await asyncio.gather(*[begin(address, t) for t in ("", "GET /li", HEAD[:80], HEAD)])


BAD_UPGRADES = {
    "polling": ("GET", "/socket.io/?EIO=4&transport=polling", {}),
    "polling post": ("POST", "/socket.io/?EIO=4&transport=polling", {}),
    "no upgrade": ("GET", QUERY, {}),
    "half an upgrade": ("GET", QUERY, {"Upgrade": "websocket"}),
    "a bad key": (
        "GET",
        QUERY,
        {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "no",
        },
    ),
    "engine 3": ("GET", "/socket.io/?EIO=3&transport=websocket", {}),
    "a sid": ("GET", QUERY + "&sid=x", {}),
    "an encoding": ("POST", "/socket.io/?EIO=4&transport=polling", {"Content-Encoding": "gzip"}),
}


async def test_an_upgrade_that_is_none_is_refused(served: Served) -> None:
    async with aiohttp.ClientSession() as http:
        for kind, (method, path, headers) in BAD_UPGRADES.items():
            async with http.request(method, served.url + path, headers=headers) as answer:
                assert answer.status == 400, kind
                assert (await answer.json())["error"]["code"] == "invalid", kind


async def test_a_body_that_is_too_large_is_refused_by_its_head(served: Served) -> None:
    async with aiohttp.ClientSession() as http:
        for path in ("/live", "/socket.io/?EIO=4&transport=polling", "/none"):
            async with http.post(served.url + path, data=io.BytesIO(b"x" * 1_100_000)) as answer:
                assert answer.status == 413, path
                assert (await answer.json())["error"]["code"] == "too_large"


async def refused(url: str, token: str, headers: dict[str, str] | None = None) -> Any:
    """Return why a join was refused; the connection ends or stays as it likes."""
    async with raw(url, headers=headers) as client:
        await client.say(connect(token))
        text = await client.until("44/game,")
        return json.loads(text[8:])


async def test_an_account_has_five_places(serve: Serve) -> None:
    async with serve(account_connections=2) as served:
        token = served.token("guardian", "child-1")
        async with joined(served) as one:
            await one.join(token, "/watch")  # the same connection: no further place
            async with joined(served):
                why = await refused(served.url, token)
                assert why["data"]["code"] == "rate_limited"
                assert why["data"]["retry_ms"] == 5000
                async with joined(served, sub="another"):
                    pass
            for _ in range(50):
                if one.ws.closed or not await _full(served, token):
                    break
                await asyncio.sleep(0.05)
            async with joined(served):
                pass


async def _full(served: Served, token: str) -> bool:
    async with raw(served.url) as client:
        await client.say(connect(token))
        return (await client.until("4")).startswith("44")


async def test_an_address_and_a_worker_have_so_many_places(serve: Serve) -> None:
    proxied = {"X-Forwarded-For": "203.0.113.9"}
    async with serve({"proxies": ["127.0.0.0/8"]}, address_connections=2) as served:
        token = served.token("guardian", "child-1")
        async with raw(served.url, headers=proxied), raw(served.url, headers=proxied):
            why = await refused(served.url, token, proxied)
            assert (why["data"]["code"], why["data"]["retry_ms"]) == ("rate_limited", 5000)
            async with joined(served):
                pass  # this machine itself is not counted
            async with raw(served.url, headers={"X-Forwarded-For": "203.0.113.10"}) as other:
                await other.join(token)
            async with (
                raw(served.url, headers=proxied),
                raw(served.url, headers=proxied),
            ):
                with pytest.raises(aiohttp.WSServerHandshakeError) as full:
                    async with raw(served.url, headers=proxied):
                        pass
                assert full.value.status == 429
    async with serve(connections=1) as served:
        token = served.token("guardian", "child-1")
        async with joined(served):
            assert (await refused(served.url, token))["data"]["retry_ms"] == 5000


async def test_a_header_of_a_stranger_is_not_believed(serve: Serve) -> None:
    async with serve(address_connections=1) as served:
        for n in range(3):
            headers = {"X-Forwarded-For": "203.0.113.9"}
            async with raw(served.url, headers=headers) as client:
                await client.join(served.token("guardian", "child-1", sub=str(n)))


async def test_a_withdrawn_sign_in_ends_within_two_seconds(
    serve: Serve, redis_url: str, redis_prefix: str
) -> None:
    async with (
        serve() as served,
        Redis.from_url(redis_url) as redis,
        raw(served.url) as gone,
        joined(served, sub="calm") as calm,
    ):
        token = served.token("guardian", "child-1")
        await gone.join(token)
        began = time.monotonic()
        await revoke(redis, redis_prefix, served.sign_in(token), SystemClock())
        assert (await gone.event("revoked"))["code"] == "unauthenticated"
        await gone.closed()
        assert time.monotonic() - began < 2
        assert (await refused(served.url, token))["data"]["code"] == "unauthenticated"
        await is_well(calm)
        # Another worker that heard nothing reads the list.
    async with serve() as again:
        async with asyncio.timeout(3):
            while "data" not in (why := await refused_or_not(again.url, token)):
                await asyncio.sleep(0.2)
        assert why["data"]["code"] == "unauthenticated"


async def refused_or_not(url: str, token: str) -> Any:
    """Return what a join was answered."""
    async with raw(url) as client:
        await client.say(connect(token))
        text = await client.until("4")
        return json.loads(text[8:])


@pytest.mark.parametrize("transport", ["lean"])  # the command knows of none
async def test_a_sign_in_is_withdrawn_by_command(
    serve: Serve, redis_url: str, redis_prefix: str
) -> None:
    env = {"GEMGEM_REDIS_URL": redis_url, "GEMGEM_STORE__REDIS_PREFIX": redis_prefix}
    async with serve() as served, raw(served.url) as gone:
        token = served.token("guardian", "child-1")
        await gone.join(token)
        status, out, _ = await run("revoke", token, **env)
        assert (status, out.strip()) == (0, served.sign_in(token))
        assert (await gone.event("revoked"))["code"] == "unauthenticated"


def test_what_is_no_sign_in_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GEMGEM_REDIS_URL", "redis://127.0.0.1:1")
    assert main(["revoke", "a.b"]) == 2
    assert "neither a sign-in nor a token" in capsys.readouterr().err
