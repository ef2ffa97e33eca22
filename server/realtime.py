"""The Socket.IO server: the library's protocol, our dispatch, one place that knows its inside.

python-socketio starts a task for every event and another for every emit. Both are replaced here:
events go straight to the namespace's table, in the order of arrival, and what is sent is encoded
once and put into the Engine.IO queue of each recipient. What a client sends is read by our own
reader, within limits; the library sees only what is well formed.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import socketio
from aiohttp import web
from engineio import packet as eio_packet
from socketio import packet as sio_packet

from config import metrics
from config.clock import Clock
from config.settings import HttpSettings, SocketSettings
from handlers.errors import ack_body
from handlers.live.base import LiveNamespace
from handlers.places import Places
from handlers.ratelimit import full_error
from models.errors import AppError, ErrorCode
from server.admission import Admission
from server.door import Door
from server.guard import SERVICE_RESTART, Ended, Guard, clogged_error, invalid
from server.packets import (
    BINARY_EVENT,
    CONNECT,
    DISCONNECT,
    EVENT,
    ContentError,
    Packet,
    PacketError,
    Reader,
    complete,
)
from server.transport import Line, Outbox

log = logging.getLogger(__name__)

Encoded = list[eio_packet.Packet]

PATH = "/socket.io/"
SWEEP_SECONDS = 0.5
"""How often the deadlines of all connections are looked at."""


class Realtime(socketio.AsyncServer):  # type: ignore[misc]  # the library has no types
    """A Socket.IO server whose namespaces are `LiveNamespace`s."""

    def __init__(
        self,
        http: HttpSettings,
        limits: SocketSettings,
        clock: Clock,
        places: Places | None = None,
    ) -> None:
        super().__init__(
            async_mode="aiohttp",
            async_handlers=False,
            transports=["polling", "websocket"] if limits.polling else ["websocket"],
            cors_allowed_origins=list(http.origins) or None,
            ping_interval=limits.ping_interval,
            ping_timeout=limits.ping_timeout,
            max_http_buffer_size=limits.message_bytes,
            http_compression=False,
            logger=False,
            engineio_logger=False,
        )
        # Its own copy: the library's table belongs to every server of the process.
        line = partial(Line, self, limits, clock)
        self.eio._async = {**self.eio._async, "websocket": line}
        self.eio.create_queue = Outbox
        # The library forgets the tasks it starts (each connection's next ping): they are kept, so
        # that none outlives the server.
        self.eio.start_background_task = self._spawn
        self._limits = limits
        self._clock = clock
        self._reader = Reader(limits.json_depth, limits.json_length, limits.attachments)
        self._admission = Admission(http, limits, places)
        self._guards: dict[str, Guard] = {}
        self._lines: dict[str, Line] = {}
        self._rooms: dict[str, LiveNamespace[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pings: dict[str, asyncio.Task[Any]] = {}

    def add(self, namespace: LiveNamespace[Any]) -> None:
        """Serve a namespace."""
        self._rooms[namespace.name] = namespace
        self.register_namespace(Door(namespace, self, self._limits.connect_seconds))

    def attach(self, app: web.Application) -> None:
        """Take the requests of the protocol's path."""
        for method in ("GET", "POST", "OPTIONS"):
            app.router.add_route(method, PATH, self._request)

    async def run(self) -> None:
        """Look at the deadlines of every connection, for ever."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = self._clock.monotonic()
            for sid, line in list(self._lines.items()):
                try:
                    line.sweep(self._joined(sid), now)
                except Ended as ended:
                    self.end(sid, ended)

    # -- what namespaces send through

    def encode(self, namespace: str, event: str, args: tuple[object, ...]) -> Encoded:
        """Return an event as the Engine.IO packets that carry it."""
        return _pack(sio_packet.Packet(sio_packet.EVENT, namespace=namespace, data=[event, *args]))

    def post(self, eio_sid: str, encoded: Encoded, *, lossy: bool = False) -> None:
        """Queue packets for a client.

        Args:
            lossy: whether they may be left out when too much waits; otherwise that ends the
                connection.
        """
        socket = self.eio.sockets.get(eio_sid)
        if socket is None or socket.closed or socket.closing:
            return
        outbox: Outbox = socket.queue
        limits = self._limits
        if outbox.packets >= limits.queue_packets or outbox.size >= limits.queue_bytes:
            guard = self._guards.get(eio_sid)
            if guard is None:
                return
            if lossy:
                if guard.clogged_since is None:
                    guard.clogged_since = self._clock.monotonic()
                    metrics.LIMITED.labels("send_queue").inc()
                return
            if not guard.ended:
                self.end(eio_sid, Ended("send_queue", clogged_error()))
                return
        for pkt in encoded:
            outbox.put_nowait(pkt)

    def backlog(self, eio_sid: str) -> int:
        """Return how many packets wait for a client."""
        socket = self.eio.sockets.get(eio_sid)
        return 0 if socket is None else int(socket.queue.packets)

    async def seat(self, eio_sid: str, account: str) -> None:
        """Give a connection of an account its place.

        Raises:
            AppError: the account has too many already.
        """
        await self._admission.seat(eio_sid, self._guards[eio_sid], account)

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
            if (guard := self._guards.get(eio_sid)) is not None:
                guard.code = SERVICE_RESTART
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
        sid = getattr(getattr(target, "__self__", None), "sid", None)
        if sid is not None:  # a connection's next ping, asleep for a whole interval
            self._pings[sid] = task
        return task

    # -- lines

    def plugged(self, line: Line) -> Guard | None:
        """Take note of a line."""
        guard = self._guards.get(line.sid)
        if guard is not None:
            self._lines[line.sid] = line
        return guard

    def unplugged(self, line: Line) -> None:
        """Forget a line."""
        self._lines.pop(line.sid, None)
        self.eio.sockets.pop(line.sid, None)
        for room in self._rooms.values():
            if line.sid in room.connections:  # however the library's own leave-taking went
                self._spawn(room.disconnect, line.sid)

    def tell(self, sid: str, event: str, body: dict[str, Any]) -> None:
        """Say something to a client, in every namespace it is in."""
        for room in self._rooms.values():
            connection = room.connections.get(sid)
            if connection is not None:
                connection.send(event, body)

    def end(self, sid: str, ended: Ended) -> None:
        """Tell a client why, then close."""
        guard = self._guards.get(sid)
        if guard is None or guard.ended:
            return
        guard.ended = True
        guard.code = ended.code
        metrics.LIMITED.labels(ended.limit).inc()
        for room in self._rooms.values():
            connection = room.connections.get(sid)
            if connection is not None:
                connection.end("closed", ended.error)
        self.drop(sid)

    def _joined(self, sid: str) -> bool:
        return any(sid in room.connections for room in self._rooms.values())

    async def _request(self, request: web.Request) -> web.StreamResponse:
        """Let a request of the protocol's path in, if it is one and there is room."""
        if not self._limits.polling:
            query = request.query
            if (
                request.method != "GET"
                or query.getall("transport", []) != ["websocket"]
                or query.getall("EIO", []) != ["4"]
                or "sid" in query
                or not web.WebSocketResponse().can_prepare(request).ok
            ):
                raise AppError(
                    ErrorCode.INVALID, "Upgrade to a WebSocket of Engine.IO 4; nothing else here."
                )
        address = self._admission.enter(request)
        try:
            response: web.StreamResponse = await self.eio.handle_request(request)
            return response
        finally:
            self._admission.leave(address)

    # -- hooks into the library

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        await super()._handle_eio_connect(eio_sid, environ)
        guard = Guard(self._limits, self._clock.monotonic())
        self._guards[eio_sid] = guard
        self._admission.begin(eio_sid, environ["aiohttp.request"], guard)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: Any) -> None:
        await super()._handle_eio_disconnect(eio_sid, reason)
        ping = self._pings.pop(eio_sid, None)
        if ping is not None and ping is not asyncio.current_task():
            ping.cancel()  # else it holds what is left of the connection until it would be due
        guard = self._guards.pop(eio_sid, None)
        if guard is not None:
            self._admission.end(guard)

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        guard = self._guards.get(eio_sid)
        if guard is None or guard.ended:
            return
        try:
            if isinstance(data, bytes):
                packet = guard.part(data)
                if packet is None:
                    return
                complete(packet)
            else:
                packet, text = self._reader.head(data)
                try:
                    self._reader.fill(packet, text)
                except ContentError as error:
                    self._reject(eio_sid, packet, str(error))
                    return
                if packet.due:
                    if not self._is_in(eio_sid, packet.namespace):
                        raise PacketError("binary parts before a namespace was joined")
                    guard.expect(packet, self._clock.monotonic())
                    return
            await self._take(eio_sid, guard, packet)
        except PacketError as error:
            self.end(eio_sid, invalid(str(error)))
        except Ended as ended:
            self.end(eio_sid, ended)

    async def _take(self, eio_sid: str, guard: Guard, packet: Packet) -> None:
        kind, namespace = packet.kind, packet.namespace
        if kind == CONNECT:
            await self._join(eio_sid, guard, namespace, packet.data)
            return
        room = self._rooms.get(namespace)
        if room is None or eio_sid not in room.connections:
            raise PacketError("a packet for a namespace that was not joined")
        if kind in (EVENT, BINARY_EVENT):
            ack = None if packet.id is None else partial(self._ack, eio_sid, namespace, packet.id)
            room.dispatch(eio_sid, packet.data[0], packet.data[1:], ack)
        elif kind == DISCONNECT:
            await self._handle_disconnect(eio_sid, namespace, self.reason.CLIENT_DISCONNECT)
        # An ack of a client answers nothing: the server asks for none.

    def _ack(self, eio_sid: str, namespace: str, number: int, body: dict[str, Any]) -> None:
        answer = sio_packet.Packet(sio_packet.ACK, namespace=namespace, id=number, data=[body])
        self.post(eio_sid, _pack(answer))

    def _is_in(self, eio_sid: str, namespace: str) -> bool:
        room = self._rooms.get(namespace)
        return room is not None and eio_sid in room.connections

    def _reject(self, eio_sid: str, packet: Packet, why: str) -> None:
        """Answer a message whose content nobody will look at."""
        if packet.kind not in (EVENT, BINARY_EVENT) or not self._is_in(eio_sid, packet.namespace):
            raise PacketError(why)
        if packet.kind == BINARY_EVENT:
            # Its parts come all the same, and must not be taken for those of another.
            raise PacketError(why)
        error = AppError(ErrorCode.INVALID, f"The message was not read: {why}.")
        metrics.LIMITED.labels("json").inc()
        metrics.EVENTS_REFUSED.labels(packet.namespace, error.code).inc()
        if packet.id is not None:
            self._ack(eio_sid, packet.namespace, packet.id, ack_body(error))
        else:
            self.tell(eio_sid, "refused", {"seq": None, **error.body()})

    async def _join(self, eio_sid: str, guard: Guard, namespace: str, auth: Any) -> None:
        guard.asked += 1
        refusal: AppError | None = None
        if await self._admission.is_crowded(guard):
            refusal = full_error("this address or server", self._limits.retry_ms)
        elif guard.asked > self._limits.namespaces:
            refusal = AppError(ErrorCode.INVALID, "This connection asked for too many namespaces.")
        elif self._is_in(eio_sid, namespace):
            refusal = AppError(ErrorCode.CONFLICT, "This connection is in the namespace already.")
        elif namespace not in self._rooms:
            self._say_refused(eio_sid, namespace, {"message": "Invalid namespace"})
            raise Ended("namespaces", AppError(ErrorCode.INVALID, "There is no such namespace."))
        if refusal is not None:
            body = refusal.body()
            self._say_refused(eio_sid, namespace, {"message": body.pop("message"), "data": body})
            raise Ended("namespaces", refusal)
        if eio_sid not in self._guards:
            return  # it went while Redis was asked
        await self._handle_connect(eio_sid, namespace, auth)
        if eio_sid not in self._guards:
            await self._handle_disconnect(eio_sid, namespace)
        elif eio_sid in self._rooms[namespace].connections:
            self._rooms[namespace].welcome(eio_sid)

    def _say_refused(self, eio_sid: str, namespace: str, why: dict[str, Any]) -> None:
        answer = sio_packet.Packet(sio_packet.CONNECT_ERROR, namespace=namespace, data=why)
        self.post(eio_sid, _pack(answer))


def _pack(packet: sio_packet.Packet) -> Encoded:
    parts: str | Sequence[str | bytes] = packet.encode()
    if isinstance(parts, str):
        parts = [parts]
    return [eio_packet.Packet(eio_packet.MESSAGE, data=part) for part in parts]
