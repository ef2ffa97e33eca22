"""The protocol's own conformance suites, retold: Socket.IO 5 and Engine.IO 4, both transports."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgpack
import pytest

from tests.apps import echo
from tests.flows.raw import QUERY, Raw, raw

NAMES = {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
"""What an Engine.IO handshake says, and nothing else."""
NORMAL, POLICY_VIOLATION = 1000, 1008
"""Codes of a close (RFC 6455, 7.4.1)."""
TWO = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'


@pytest.fixture(params=["lean", "stock"])
def transport(request: pytest.FixtureRequest) -> str:
    """Hold both transports to the same protocol."""
    return str(request.param)


@asynccontextmanager
async def echoing(transport: str, *, engine: bool = False, **limits: Any) -> AsyncIterator[str]:
    """Run the echo server; yield its address.

    Its deadlines are so far away that nobody is closed by one while a test looks.
    """
    limits = {"ping_interval": 25, "ping_timeout": 20, "join_seconds": 30, **limits}
    settings = echo.settings_of(0, transport=transport, **limits)
    async with echo.serving(settings, engine=engine) as (port, realtime):
        assert realtime.transport == transport
        yield f"http://127.0.0.1:{port}"
        async with asyncio.timeout(5):
            while realtime.eio.sockets:  # whoever is gone is forgotten, however they went
                await asyncio.sleep(0.01)


HASTY = {"ping_interval": 0.3, "ping_timeout": 0.2}
"""As the suites ask for it."""


@pytest.fixture
async def url(transport: str) -> AsyncIterator[str]:
    """Run the echo server."""
    async with echoing(transport) as address:
        yield address


@pytest.fixture
async def hasty_url(transport: str) -> AsyncIterator[str]:
    """Run the echo server with short pings."""
    async with echoing(transport, **HASTY) as address:
        yield address


@pytest.fixture
async def engine_url(transport: str) -> AsyncIterator[str]:
    """Run the echo server of Engine.IO alone."""
    async with echoing(transport, engine=True) as address:
        yield address


@asynccontextmanager
async def connected(url: str, namespace: str = "/") -> AsyncIterator[Raw]:
    """A client that joined a namespace and heard its `auth`."""
    named = "" if namespace == "/" else f"{namespace},"
    async with raw(url) as client:
        await client.say(f"40{named}")
        await client.until(f"40{named}" + '{"sid":"')
        await client.until(f'42{named}["auth",{{}}]')
        yield client


async def message(client: Raw) -> str | bytes:
    """Return the next message that is no ping."""
    async with asyncio.timeout(5):
        while True:
            received = await client.ws.receive()
            assert received.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), received
            if received.data != "2":
                return received.data  # type: ignore[no-any-return]
            await client.say("3")


# -- Socket.IO: connect


@pytest.mark.parametrize("namespace", ["/", "/custom"])
@pytest.mark.parametrize("auth", [None, {"token": "123"}])
async def test_a_client_connects_with_and_without_a_payload(
    url: str, namespace: str, auth: Any
) -> None:
    named = "" if namespace == "/" else f"{namespace},"
    async with raw(url) as client:
        await client.say(f"40{named}" + ("" if auth is None else json.dumps(auth)))
        assert json.loads((await client.until(f"40{named}"))[2 + len(named) :])["sid"]
        heard = await client.until("42")
        assert json.loads(heard[2 + len(named) :]) == ["auth", auth or {}]


async def test_an_unknown_namespace_is_refused(url: str) -> None:
    async with raw(url) as client:
        await client.say("40/random")
        assert await client.until("44") == '44/random,{"message":"Invalid namespace"}'


async def test_a_client_may_be_refused_and_may_try_again(url: str) -> None:
    async with raw(url) as client:
        await client.say('40{"token":"reject"}')
        refused = json.loads((await client.until("44"))[2:])
        assert refused["message"]
        assert refused["data"]["code"] == "unauthenticated"
        await client.say("40")
        await client.until('40{"sid"')


@pytest.mark.parametrize("rubbish", ["4abc", "4", "abc", "40{", '42["message"]', "48"])
async def test_a_handshake_that_is_none_closes(url: str, rubbish: str) -> None:
    async with raw(url) as client:
        await client.say(rubbish)
        assert (await client.closed())[1] == POLICY_VIOLATION


async def test_no_handshake_closes(transport: str) -> None:
    async with echoing(transport, join_seconds=1) as url, raw(url) as client:
        assert (await client.closed())[1] == POLICY_VIOLATION


# -- Socket.IO: disconnect


async def test_leaving_the_namespace_keeps_the_connection(hasty_url: str) -> None:
    async with connected(hasty_url) as client:
        await client.say("41")
        await client.until("2")


async def test_leaving_one_namespace_keeps_the_other(url: str) -> None:
    async with connected(url) as client:
        await client.say("40/custom")
        await client.until("42/custom,")
        await client.say("41/custom", '42["message","to the main one"]')
        assert await client.until("42[") == '42["message-back","to the main one"]'


async def test_who_is_kicked_is_disconnected_for_good(url: str) -> None:
    async with connected(url, "/custom") as client:
        await client.say('42/custom,["kick"]')
        assert await client.until("41") == "41/custom,"


# -- Socket.IO: messages


async def test_messages_come_back(url: str) -> None:
    async with connected(url) as client:
        await client.say('42["message",1,"2",{"3":[true]}]')
        assert await message(client) == '42["message-back",1,"2",{"3":[true]}]'
        await client.say(f'452-["message",{TWO}]', b"\1\2\3", b"\4\5\6")
        assert await message(client) == f'452-["message-back",{TWO}]'
        assert [await message(client), await message(client)] == [b"\1\2\3", b"\4\5\6"]


async def test_acks_carry_what_they_are_given(url: str) -> None:
    async with connected(url, "/custom") as client:
        await client.say('42/custom,456["message-with-ack",1,"2",{"3":[false]}]')
        assert await message(client) == '43/custom,456[1,"2",{"3":[false]}]'
        await client.say(f'452-/custom,789["message-with-ack",{TWO}]', b"\1", b"\2")
        assert await message(client) == f"462-/custom,789[{TWO}]"
        assert [await message(client), await message(client)] == [b"\1", b"\2"]


@pytest.mark.parametrize("wrong", ["4abc", "42{}", '42abc["message-with-ack",1,"2"]'])
async def test_a_packet_that_is_none_closes(url: str, wrong: str) -> None:
    async with connected(url) as client:
        await client.say(wrong)
        assert (await client.closed())[1] == POLICY_VIOLATION


# -- Socket.IO: the msgpack parser


def packed(kind: int, data: Any = None, **more: Any) -> bytes:
    """Return a packet of the msgpack parser."""
    body = {} if data is None else {"data": data}
    return bytes(msgpack.packb({"type": kind, **body, "nsp": "/custom", **more}))


async def unpacked(client: Raw) -> dict[str, Any]:
    """Return the next packet a client of the msgpack parser is sent."""
    packet = await message(client)
    assert isinstance(packet, bytes)
    return dict(msgpack.unpackb(packet))


async def test_the_msgpack_parser_is_answered_in_kind(url: str) -> None:
    async with raw(url) as client:

        async def say(kind: int, data: Any = None, **more: Any) -> None:
            await client.say(packed(kind, data, **more))

        async def hear() -> dict[str, Any]:
            return await unpacked(client)

        await say(0, {"token": "reject"})
        refused = await hear()
        assert (refused["type"], refused["nsp"], "id" in refused) == (4, "/custom", False)
        assert refused["data"]["message"]
        await say(0, {"token": "123"})
        assert (await hear())["data"].keys() == {"sid"}
        assert (await hear())["data"] == ["auth", {"token": "123"}]
        await say(2, ["message", b"\1\2", {"3": [True]}])
        assert await hear() == {
            "type": 2,
            "nsp": "/custom",
            "data": ["message-back", b"\1\2", {"3": [True]}],
        }
        await say(2, ["message-with-ack", b"\1", 2], id=456)
        assert await hear() == {"type": 3, "nsp": "/custom", "id": 456, "data": [b"\1", 2]}
        await say(2, ["kick"])
        assert await hear() == {"type": 1, "nsp": "/custom"}


async def test_a_msgpack_client_that_leaves_one_namespace_keeps_the_other(url: str) -> None:
    async with raw(url) as client:
        for namespace in ("/", "/custom"):
            # `undefined`, as the JavaScript client's encoder writes it.
            await client.say(packed(0, msgpack.ExtType(0, b"\0"), nsp=namespace))
            assert (await unpacked(client))["data"].keys() == {"sid"}
            assert (await unpacked(client))["data"] == ["auth", {}]
        await client.say(packed(1), packed(2, ["message", 1], nsp="/"))
        assert await unpacked(client) == {"type": 2, "nsp": "/", "data": ["message-back", 1]}


async def test_an_unknown_namespace_is_refused_to_a_msgpack_client(url: str) -> None:
    async with raw(url) as client:
        await client.say(packed(0, nsp="/random"))
        why = {"message": "Invalid namespace"}
        assert await unpacked(client) == {"type": 4, "nsp": "/random", "data": why}


@pytest.mark.parametrize("rubbish", [b"\4\x84\x17\2", b"", b"\x80", packed(5, ["message"])])
async def test_a_msgpack_handshake_that_is_none_closes(url: str, rubbish: bytes) -> None:
    async with raw(url) as client:
        await client.say(rubbish)
        assert (await client.closed())[1] == POLICY_VIOLATION


@pytest.mark.parametrize("first", ["text", "packed"])
async def test_the_parsers_are_not_mixed(url: str, first: str) -> None:
    async with raw(url) as client:
        await client.say("40" if first == "text" else packed(0, nsp="/"))
        await client.say(packed(0) if first == "text" else "40/custom")
        assert (await client.closed())[1] == POLICY_VIOLATION


# -- Engine.IO


async def test_the_handshake_says_what_holds(hasty_url: str) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(hasty_url + QUERY) as ws:
        opened = json.loads((await ws.receive_str())[1:])
        assert opened.keys() == NAMES
        assert (opened["pingInterval"], opened["pingTimeout"]) == (300, 200)
        assert (opened["upgrades"], opened["maxPayload"]) == ([], 1_000_000)
        assert opened["sid"]


async def test_who_answers_pings_is_kept(hasty_url: str) -> None:
    async with connected(hasty_url) as client:
        for _ in range(4):
            await client.until("2")
        await client.say('42["message"]')
        assert await client.until("42[") == '42["message-back"]'


async def test_who_does_not_answer_a_ping_is_closed(hasty_url: str) -> None:
    async with connected(hasty_url) as client:
        _, code = await client.closed()  # reads, and answers nothing
        assert code == NORMAL
        assert "2" in client.heard


@pytest.mark.parametrize("how", ["a close packet", "a close frame", "a cut"])
async def test_a_client_may_go_as_it_likes(url: str, how: str) -> None:
    async with connected(url) as client:
        if how == "a close packet":
            await client.say("1")
            assert (await client.closed())[1] == NORMAL
        elif how == "a close frame":
            await client.ws.close(code=1000)
            assert client.ws.close_code == 1000
        else:
            assert client.ws._response.connection is not None
            transport = client.ws._response.connection.transport
            assert transport is not None
            transport.abort()


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("GET", "?transport=websocket"),
        ("GET", "?EIO=abc&transport=websocket"),
        ("GET", "?transport=polling"),
        ("GET", "?EIO=abc&transport=polling"),
        ("GET", "?EIO=4"),
        ("GET", "?EIO=4&transport=abc"),
        ("GET", "?EIO=4&transport=polling&transport=websocket"),
        ("GET", "?EIO=4&transport=websocket"),
        ("POST", "?EIO=4&transport=polling"),
        ("POST", "?EIO=4&transport=websocket"),
    ],
)
async def test_a_request_that_is_none_is_refused(url: str, method: str, query: str) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"{url}/socket.io/{query}") as answer,
    ):
        assert answer.status == 400


async def test_a_connection_is_not_upgraded_twice(url: str) -> None:
    async with raw(url) as client, aiohttp.ClientSession() as http:
        sid = json.loads(client.heard[0][1:])["sid"]
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(f"{url}{QUERY}&sid={sid}")
        await client.say("40")
        await client.until("40")


async def test_engine_messages_come_back_as_they_are(engine_url: str) -> None:
    address = f"{engine_url}{echo.ENGINE_PATH}?EIO=4&transport=websocket"
    async with aiohttp.ClientSession() as http, http.ws_connect(address) as ws:
        assert json.loads((await ws.receive_str())[1:]).keys() == NAMES
        client = Raw(ws)
        for said in ("4hello", b"\1\2\3\4", "4", b"", "4" + "한" * 70_000, b"\0" * 70_000):
            await client.say(said)
            assert await message(client) == said


async def test_an_upgraded_engine_session_says_back_what_it_is_told(engine_url: str) -> None:
    address = f"{engine_url}{echo.ENGINE_PATH}?EIO=4&transport="
    async with aiohttp.ClientSession() as http:
        async with http.get(address + "polling") as answer:
            opened = json.loads((await answer.text())[1:])
        assert (opened["upgrades"], opened.keys()) == (["websocket"], NAMES)
        async with http.post(f"{address}polling&sid={opened['sid']}", data="4one\x1ebAQID") as sent:
            assert sent.status == 200
        async with http.get(f"{address}polling&sid={opened['sid']}") as polled:
            assert await polled.text() == "4one\x1ebAQID"
        async with http.ws_connect(f"{address}websocket&sid={opened['sid']}") as ws:
            client = Raw(ws)
            await client.say("2probe")
            assert await message(client) == "3probe"
            await client.say("5", "4two", b"\3")
            assert await client.until("4") == "4two"
            assert await message(client) == b"\3"
