"""A client that speaks Engine.IO and Socket.IO by hand, and so may say anything."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

QUERY = "/socket.io/?EIO=4&transport=websocket"
WAIT = 5.0


class Raw:
    """One WebSocket; what comes is read only when somebody asks for it."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.heard: list[str] = []

    async def say(self, *messages: str | bytes) -> None:
        """Send messages as they are."""
        for message in messages:
            if isinstance(message, bytes):
                await self.ws.send_bytes(message)
            else:
                await self.ws.send_str(message)

    async def join(self, token: str, namespace: str = "/game") -> None:
        """Join a namespace and be welcomed."""
        await self.say(f"40{namespace}," + json.dumps({"token": token}))
        assert (await self.until(f"40{namespace},")).startswith(f'40{namespace},{{"sid"')
        await self.event("welcome", namespace)

    async def until(self, start: str, seconds: float = WAIT) -> str:
        """Return the first text message that begins so; pings are answered meanwhile."""
        async with asyncio.timeout(seconds):
            while True:
                message = await self.ws.receive()
                assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), (
                    f"closed with {self.ws.close_code} before {start}; heard {self.heard[-5:]}"
                )
                if message.type is aiohttp.WSMsgType.TEXT:
                    self.heard.append(message.data)
                    if message.data == "2":
                        await self.say("3")
                    if message.data.startswith(start):
                        return str(message.data)

    async def event(self, name: str, namespace: str = "/game", seconds: float = WAIT) -> Any:
        """Return the first argument of the next event of a name."""
        text = await self.until(f'42{namespace},["{name}"', seconds)
        return json.loads(text[text.index("[") :])[1]

    async def answer(self, number: int, namespace: str = "/game") -> Any:
        """Return what an acked event was answered."""
        text = await self.until(f"43{namespace},{number}[")
        return json.loads(text[text.index("[") :])[0]

    async def ask(self, event: str, payload: Any = None, number: int = 7) -> Any:
        """Send an event with an ack, and return the answer."""
        await self.say(f"42/game,{number}" + json.dumps([event, payload or {}]))
        return await self.answer(number)

    async def closed(self, seconds: float = WAIT) -> tuple[float, int | None]:
        """Read to the end; return the seconds it took and the code of the close."""
        began = time.monotonic()
        async with asyncio.timeout(seconds):
            async for message in self.ws:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self.heard.append(message.data)
        return time.monotonic() - began, self.ws.close_code

    def told(self, event: str) -> list[Any]:
        """Return the first arguments of all events of a name heard so far."""
        return [
            json.loads(text[text.index("[") :])[1]
            for text in self.heard
            if text.startswith("42") and f'["{event}"' in text
        ]


@asynccontextmanager
async def raw(url: str, *, headers: dict[str, str] | None = None) -> AsyncIterator[Raw]:
    """Upgrade and read the handshake."""
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.ws_connect(url + QUERY, compress=15, max_msg_size=0) as ws,
    ):
        client = Raw(ws)
        await client.until("0{")
        yield client
