"""One Socket.IO connection as a client of ours sees it: connect with a token, ask, be told.

The protocol is spelled out here, on a bare WebSocket, because a reference says what goes over the
wire; any Socket.IO library does the same. Text frames begin with a digit of Engine.IO: `0` open,
`2` ping (answer `3`), `4` a Socket.IO packet. Bytes among the arguments of an event follow it as
binary frames of their own. With the msgpack parser a packet is one binary frame.
"""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable
from typing import Any

import aiohttp
from socketio import msgpack_packet
from socketio import packet as sio

CONNECT_S = 5.0
"""How long a connect may take, welcome included, seconds; the server answers within it."""
ANSWER_S = 30.0
"""How long an event may stay without an answer, seconds."""
SILENCE_S = 20.0
"""Silence after which a server is given up before it has said how often it pings, seconds."""
LEAVE_S = 1.0
"""How long a farewell may take, seconds."""
CLIENT = {"app": "gemgem-simulate", "version": "1", "platform": "python"}
PARSERS = {"default": sio.Packet, "msgpack": msgpack_packet.MsgPackPacket}
"""Parsers a line can speak; the server answers each in its own."""
REASONS = ("draining", "superseded", "revoked", "closed")
"""Events that say why before the server closes."""


class RefusedError(Exception):
    """The server answered with an error."""

    def __init__(
        self, code: str, message: str, details: Any = None, retry_ms: int | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.details = details
        self.retry_ms = retry_ms

    @classmethod
    def of(cls, error: dict[str, Any]) -> "RefusedError":
        """Return the error of an answer."""
        return cls(error["code"], error["message"], error.get("details"), error.get("retry_ms"))


class LineLostError(Exception):
    """The connection ended, or never began, before the answer came."""


class Line:
    """A connection to one namespace, over WebSocket alone, that never reconnects by itself.

    Reconnecting by itself would hide from the player that it has to resume.
    """

    def __init__(
        self,
        url: str,
        token: str,
        namespace: str,
        http: aiohttp.ClientSession | None = None,
        parser: str = "default",
    ) -> None:
        """Prepare a connection; nothing is sent before `connect`.

        Args:
            url: the server, such as `http://127.0.0.1:8080`.
            token: an access token whose role may use the namespace.
            http: an open session to share between many connections.
            parser: one of `PARSERS`.
        """
        self._packet = PARSERS[parser]
        self.url = url
        self.welcome: dict[str, Any] = {}
        """The first thing the server says: its protocol, its limits, its time."""
        self.ended: str | None = None
        """Why the connection is over, once it is."""
        self.notices: deque[tuple[str, dict[str, Any]]] = deque(maxlen=16)
        """Reasons given before a close: `draining`, `superseded`, `revoked`, `closed`."""
        self._token = token
        self._namespace = namespace
        self._http = http
        self._own_http: aiohttp.ClientSession | None = None
        self._ws: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None
        self._silence_s = SILENCE_S
        self._partial: sio.Packet | None = None
        self._welcomed: asyncio.Future[None] | None = None
        self._handlers: dict[str, Callable[..., None]] = {}
        self._answers: dict[int, Callable[[dict[str, Any]], None]] = {}
        self._asking: set[asyncio.Future[dict[str, Any]]] = set()
        self._ids = 0
        self._sending = asyncio.Lock()
        self._when_ended: Callable[[], None] = _nothing
        self.on("welcome", self._on_welcome)
        for event in REASONS:
            self.on(event, lambda content, event=event: self.notices.append((event, content)))

    def on(self, event: str, handler: Callable[..., None]) -> None:
        """Call `handler` with the event's arguments whenever it comes, after those before it."""
        before = self._handlers.get(event)
        if before is None:
            self._handlers[event] = handler
            return

        def both(*arguments: Any) -> None:
            before(*arguments)
            handler(*arguments)

        self._handlers[event] = both

    def when_ended(self, told: Callable[[], None]) -> None:
        """Call `told` once the other side, or the network, has ended the connection."""
        self._when_ended = told

    async def connect(self) -> dict[str, Any]:
        """Connect and return the content of `welcome`.

        Raises:
            RefusedError: the server said no; the code is in it.
            LineLostError: nobody answered.
        """
        self._welcomed = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._open()
                await self._welcomed
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, TypeError) as failure:
            await self.disconnect()
            why = str(failure) or type(failure).__name__
            raise LineLostError(f"no connection to {self.url}: {why}") from failure
        except BaseException:
            await self.disconnect()
            raise
        return self.welcome

    async def _open(self) -> None:
        http = self._http
        if http is None:
            http = self._own_http = aiohttp.ClientSession()
        self._ws = await http.ws_connect(
            f"{self.url}/socket.io/?EIO=4&transport=websocket", max_msg_size=1 << 24
        )
        opening = json.loads((await self._ws.receive_str())[1:])
        self._silence_s = (opening["pingInterval"] + opening["pingTimeout"]) / 1000
        auth = {"token": self._token, "client": CLIENT}
        joining = self._packet(sio.CONNECT, namespace=self._namespace, data=auth)
        await _send(self._ws, joining)
        self._reading = asyncio.create_task(self._read(self._ws))

    async def disconnect(self) -> None:
        """Leave; safe at any time and twice."""
        self._when_ended = _nothing
        reading, self._reading = self._reading, None
        if reading is not None and reading is not asyncio.current_task():
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
        if self._ws is not None and not self._ws.closed:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await self._ws.close()
        self.abort()
        self._end("we left")
        if self._own_http is not None:
            await self._own_http.close()

    def abort(self) -> None:
        """Cut the connection at once, what is queued included: the peer may not read any more."""
        connection = None if self._ws is None else self._ws._response.connection
        transport = None if connection is None else connection.transport
        if transport is not None:
            # The public way waits until everything is written, which may be never.
            transport.abort()

    async def call(
        self, event: str, body: dict[str, Any], seconds: float = ANSWER_S
    ) -> dict[str, Any]:
        """Emit an event and return what its answer has under `ok`.

        Raises:
            RefusedError: the answer has an `error`.
            LineLostError: there was no answer in time.
        """
        asked: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asking.add(asked)

        def answered(answer: dict[str, Any]) -> None:
            if not asked.done():
                asked.set_result(answer)

        try:
            async with asyncio.timeout(seconds):
                await self.emit(event, (body,), answered)
                if self.ended is not None:
                    raise LineLostError(f"no answer to {event}: {self.ended}")
                answer = await asked
        except TimeoutError:
            raise LineLostError(f"no answer to {event} within {seconds:.0f} s") from None
        finally:
            self._asking.discard(asked)
        if "ok" in answer:
            ok: dict[str, Any] = answer["ok"]
            return ok
        raise RefusedError.of(answer["error"])

    async def emit(
        self,
        event: str,
        arguments: tuple[Any, ...],
        answered: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """Emit an event; `answered` gets the answer. Does nothing once the line is gone."""
        number = None
        if answered is not None:
            number = self._ids = self._ids + 1
            self._answers[number] = answered
        packet = self._packet(
            sio.EVENT, namespace=self._namespace, id=number, data=[event, *arguments]
        )
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with self._sending:  # nothing comes between a packet and its attachments
                if self._ws is None or self.ended is not None:
                    return
                await _send(self._ws, packet)

    async def _read(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        reason = "the server closed the connection"
        try:
            while True:
                async with asyncio.timeout(self._silence_s):
                    message = await ws.receive()
                    if message.type is aiohttp.WSMsgType.TEXT:
                        if not await self._on_text(ws, message.data):
                            break
                    elif message.type is aiohttp.WSMsgType.BINARY:
                        if not self._on_binary(message.data):
                            break
                    else:
                        break
        except TimeoutError:
            reason = f"the server was silent for {self._silence_s:.0f} s"
        except (aiohttp.ClientError, OSError) as failure:
            reason = str(failure) or type(failure).__name__
        except (ValueError, TypeError, KeyError) as failure:
            reason = f"the server broke the protocol: {failure!r}"
        self.abort()
        said = [f"{event}: {content.get('message', '')}" for event, content in self.notices]
        self._end("; ".join([*said, reason]))

    async def _on_text(self, ws: aiohttp.ClientWebSocketResponse, text: str) -> bool:
        """Handle a text frame; False when it ends the connection."""
        if text == "2":
            await ws.send_str("3")
            return True
        if not text.startswith("4"):
            return text != "1"
        packet = sio.Packet(encoded_packet=text[1:])
        if packet.attachment_count:
            self._partial = packet
            return True
        return self._on_packet(packet)

    def _on_binary(self, data: bytes) -> bool:
        """Handle a binary frame; False when it ends the connection."""
        if not self._packet.uses_binary_events:
            return self._on_packet(self._packet(encoded_packet=data))
        packet = self._partial
        if packet is None:
            raise ValueError("an attachment that nobody announced")
        if packet.add_attachment(data):
            self._partial = None
            return self._on_packet(packet)
        return True

    def _on_packet(self, packet: sio.Packet) -> bool:
        match packet.packet_type:
            case sio.EVENT | sio.BINARY_EVENT:
                handler = self._handlers.get(packet.data[0])
                if handler is not None:
                    handler(*packet.data[1:])
            case sio.ACK | sio.BINARY_ACK:
                answered = self._answers.pop(packet.id, None)
                if answered is not None:
                    answered(packet.data[0])
            case sio.CONNECT_ERROR:
                self._on_connect_error(packet.data)
                return False
            case sio.DISCONNECT:
                return False
        return True

    def _on_welcome(self, content: dict[str, Any]) -> None:
        self.welcome = content
        if self._welcomed is not None and not self._welcomed.done():
            self._welcomed.set_result(None)

    def _on_connect_error(self, refusal: Any) -> None:
        data = refusal.get("data") if isinstance(refusal, dict) else None
        if self._welcomed is None or self._welcomed.done():
            return
        if isinstance(data, dict) and "code" in data:
            self._welcomed.set_exception(RefusedError.of({"message": refusal["message"], **data}))
        else:
            self._welcomed.set_exception(OSError(f"refused: {refusal}"))

    def _end(self, reason: str) -> None:
        if self.ended is not None:
            return
        self.ended = reason
        self._answers.clear()
        if self._welcomed is not None and not self._welcomed.done():
            self._welcomed.set_exception(OSError(reason))
            self._welcomed.exception()  # nobody may be waiting any more
        for asked in self._asking:
            if not asked.done():
                asked.set_exception(LineLostError(reason))
        told, self._when_ended = self._when_ended, _nothing
        told()


async def _send(ws: aiohttp.ClientWebSocketResponse, packet: sio.Packet) -> None:
    parts = packet.encode()
    for part in parts if isinstance(parts, list) else [parts]:
        if isinstance(part, str):
            await ws.send_str(f"4{part}")
        else:
            await ws.send_bytes(part)


def _nothing() -> None:
    """Say nothing to nobody."""
