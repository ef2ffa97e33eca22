"""The Socket.IO server: the library's protocol, our dispatch, one place that knows its inside.

python-socketio starts a task for every event and another for every emit. Both are replaced here:
events go straight to the namespace's table, in the order of arrival, and what is sent is encoded
once and put into the Engine.IO queue of each recipient.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import socketio
from aiohttp import web
from engineio import packet as eio_packet
from engineio.async_drivers import aiohttp as aiohttp_driver
from socketio import packet as sio_packet
from socketio.exceptions import ConnectionRefusedError as Refused

from config.settings import HttpSettings, SocketSettings
from handlers.errors import as_app_error
from handlers.live.base import CONNECT_SECONDS, LiveNamespace
from models.errors import AppError, ErrorCode

log = logging.getLogger(__name__)

Encoded = list[eio_packet.Packet]


class Realtime(socketio.AsyncServer):  # type: ignore[misc]  # the library has no types
    """A Socket.IO server whose namespaces are `LiveNamespace`s."""

    def __init__(self, http: HttpSettings, limits: SocketSettings) -> None:
        super().__init__(
            async_mode="aiohttp",
            async_handlers=False,
            transports=["websocket"],
            cors_allowed_origins=list(http.origins) or None,
            ping_interval=limits.ping_interval,
            ping_timeout=limits.ping_timeout,
            max_http_buffer_size=limits.message_bytes,
            http_compression=False,
            logger=False,
            engineio_logger=False,
        )
        # Its own copy: the library's table belongs to every server of the process.
        self.eio._async = {**self.eio._async, "websocket": _PlainWebSocket}
        # The library forgets the tasks it starts (each connection's next ping): they are kept, so
        # that none outlives the server.
        self.eio.start_background_task = self._spawn
        self._limits = limits
        self._rooms: dict[str, LiveNamespace[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def add(self, namespace: LiveNamespace[Any]) -> None:
        """Serve a namespace."""
        self._rooms[namespace.name] = namespace
        self.register_namespace(_Door(namespace, self))

    # -- Wire

    def encode(self, namespace: str, event: str, args: tuple[object, ...]) -> Encoded:
        """Return an event as the Engine.IO packets that carry it."""
        return _pack(sio_packet.Packet(sio_packet.EVENT, namespace=namespace, data=[event, *args]))

    def post(self, eio_sid: str, encoded: Encoded) -> None:
        """Queue packets for a client; one that lets too many pile up is closed."""
        socket = self.eio.sockets.get(eio_sid)
        if socket is None or socket.closed or socket.closing:
            return
        queue = socket.queue
        if queue.qsize() > self._limits.queue_packets:
            self.drop(eio_sid)
            return
        for pkt in encoded:
            queue.put_nowait(pkt)

    def backlog(self, eio_sid: str) -> int:
        """Return how many packets wait for a client."""
        socket = self.eio.sockets.get(eio_sid)
        return 0 if socket is None else int(socket.queue.qsize())

    def drop(self, eio_sid: str) -> None:
        """Close a client's connection once what is queued was sent."""
        if eio_sid in self.eio.sockets:
            self._spawn(self._drop, eio_sid)

    async def _drop(self, eio_sid: str) -> None:
        socket = self.eio.sockets.get(eio_sid)
        if socket is not None and not socket.closed:
            # The library's own way waits for a queue that nobody may read any more.
            await socket.close(wait=False)
            socket.queue.put_nowait(None)  # the writer sends what is queued, then hangs up

    async def close_all(self) -> None:
        """Close every connection, and stop the library's own tasks."""
        for eio_sid in list(self.eio.sockets):
            await self._drop(eio_sid)
        await self.shutdown()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(
        self, target: Callable[..., Coroutine[Any, Any, Any]], *args: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.create_task(target(*args))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- hooks into the library

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        await super()._handle_connect(eio_sid, namespace, data)
        room = self._rooms.get(namespace or "/")
        if room is not None:
            room.welcome(eio_sid)

    async def _handle_event(
        self,
        eio_sid: str,
        namespace: str | None,
        id: int | None,  # noqa: A002 - the library's name
        data: Any,
    ) -> None:
        namespace = namespace or "/"
        room = self._rooms.get(namespace)
        if room is None or not isinstance(data, list) or not data:
            return

        def ack(body: dict[str, Any]) -> None:
            answer = sio_packet.Packet(sio_packet.ACK, namespace=namespace, id=id, data=[body])
            self.post(eio_sid, _pack(answer))

        room.dispatch(eio_sid, data[0], data[1:], ack if id is not None else None)


class _PlainWebSocket(aiohttp_driver.WebSocket):  # type: ignore[misc]  # the library has no types
    """Refuses permessage-deflate: small binary frames gain nothing, each connection pays 4x."""

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        """Upgrade the request and serve it."""
        self._sock = web.WebSocketResponse(
            max_msg_size=self.server.max_http_buffer_size, compress=False
        )
        await self._sock.prepare(environ["aiohttp.request"])
        self.environ = environ
        await self.handler(self)
        return self._sock


class _Door(socketio.AsyncNamespace):  # type: ignore[misc]  # the library has no types
    """Takes a namespace's connects and disconnects from the library; events never come here."""

    def __init__(self, room: LiveNamespace[Any], server: Realtime) -> None:
        super().__init__(room.name)
        self._room = room
        self._server = server

    async def trigger_event(self, event: str, *args: Any) -> Any:
        """Handle `connect` and `disconnect`, the only two the library triggers."""
        sid = args[0]
        eio_sid = self._server.manager.eio_sid_from_sid(sid, self.namespace)
        if event == "disconnect":
            if eio_sid is not None:
                await self._room.disconnect(eio_sid)
            return None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._room.connect(eio_sid, args[2] if len(args) > 2 else None)
        except TimeoutError:
            raise _refused(AppError(ErrorCode.BUSY, "Try again.", retry_ms=1000)) from None
        except Exception as error:
            raise _refused(as_app_error(error, f"connect to {self.namespace}")) from error
        return None


def _refused(error: AppError) -> Refused:
    body = error.body()
    return Refused(body.pop("message"), body)


def _pack(packet: sio_packet.Packet) -> Encoded:
    parts: str | Sequence[str | bytes] = packet.encode()
    if isinstance(parts, str):
        parts = [parts]
    return [eio_packet.Packet(eio_packet.MESSAGE, data=part) for part in parts]
