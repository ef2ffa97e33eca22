"""The protocol's own conformance suites, retold: Socket.IO 5 and Engine.IO 4, both transports."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgpack
import pytest

from tests.apps import echo
from tests.flows.raw import QUERY, Raw, raw

TWO = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}'


@pytest.fixture(params=["lean", "stock"])
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Run the echo server through each transport."""
    settings = echo.settings_of(
        0, transport=request.param, ping_interval=0.3, ping_timeout=0.2, join_seconds=1
    )
    async with echo.serving(settings) as (port, realtime):
        assert realtime.transport == request.param
        yield f"http://127.0.0.1:{port}"


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
        seconds, _ = await client.closed()
        assert seconds < 1


async def test_no_handshake_closes(url: str) -> None:
    async with raw(url) as client:
        assert await client.until("2")
        seconds, _ = await client.closed()
        assert seconds < 2


# -- Socket.IO: disconnect


async def test_leaving_the_namespace_keeps_the_connection(url: str) -> None:
    async with connected(url) as client:
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
        assert (await client.closed())[0] < 1


# -- Socket.IO: the msgpack parser


async def test_the_msgpack_parser_is_answered_in_kind(url: str) -> None:
    async with raw(url) as client:

        async def say(kind: int, data: Any = None, **more: Any) -> None:
            body = {} if data is None else {"data": data}
            await client.say(msgpack.packb({"type": kind, **body, "nsp": "/custom", **more}))

        async def hear() -> dict[str, Any]:
            packet = await message(client)
            assert isinstance(packet, bytes)
            return dict(msgpack.unpackb(packet))

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


@pytest.mark.parametrize("first", ["text", "packed"])
async def test_the_parsers_are_not_mixed(url: str, first: str) -> None:
    async with raw(url) as client:
        packed = msgpack.packb({"type": 0, "nsp": "/"})
        await client.say("40" if first == "text" else packed)
        await client.say(packed if first == "text" else "40/custom")
        assert (await client.closed())[0] < 1


# -- Engine.IO


async def test_the_handshake_says_what_holds(url: str) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(url + QUERY) as ws:
        opened = json.loads((await ws.receive_str())[1:])
        assert (opened["pingInterval"], opened["pingTimeout"]) == (300, 200)
        assert (opened["upgrades"], opened["maxPayload"]) == ([], 1_000_000)
        assert opened["sid"]


async def test_who_answers_pings_is_kept(url: str) -> None:
    async with connected(url) as client:
        for _ in range(4):
            began = time.monotonic()
            await client.until("2")
            assert time.monotonic() - began < 1
        await client.say('42["message"]')
        assert await client.until("42[") == '42["message-back"]'


async def test_who_does_not_answer_a_ping_is_closed(url: str) -> None:
    async with connected(url) as client:
        seconds, _ = await client.closed()  # reads, and answers nothing
        assert seconds < 3


@pytest.mark.parametrize("how", ["a close packet", "a close frame", "a cut"])
async def test_a_client_may_go_as_it_likes(url: str, how: str) -> None:
    async with connected(url) as client:
        if how == "a close packet":
            await client.say("1")
            assert (await client.closed())[0] < 1
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
        ("GET", "?EIO=4"),
        ("GET", "?EIO=4&transport=abc"),
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
        # Without a transport it is polling, which is on here.
        assert answer.status == (200 if query == "?EIO=4" else 400)


async def test_a_connection_is_not_upgraded_twice(url: str) -> None:
    async with raw(url) as client, aiohttp.ClientSession() as http:
        sid = json.loads(client.heard[0][1:])["sid"]
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(f"{url}{QUERY}&sid={sid}")
        await client.say("40")
        await client.until("40")
