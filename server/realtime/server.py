"""The Socket.IO server: the library's protocol, our dispatch, one place that knows its inside.

python-socketio starts a task for every event and another for every emit. Both are replaced here:
events go straight to the namespace's table, in the order of arrival, and what is sent is encoded
once for all recipients. The bytes go through the lean transport, or through the library's own loop.
Connects, namespaces and disconnects remain the library's.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import socketio
from aiohttp import web
from engineio import packet as eio_packet
from socketio import packet as sio_packet

from config import metrics
from config.clock import Clock
from config.settings import HttpSettings, SocketSettings
from handlers.live.base import Hot, LiveNamespace
from handlers.places import Places
from server.realtime import upgrade
from server.realtime.admission import Admission
from server.realtime.door import Door
from server.realtime.gate import ROOM
from server.realtime.guard import SERVICE_RESTART, Ended, Guard, clogged_error
from server.realtime.harvest import Harvest
from server.realtime.intake import Intake
from server.realtime.lean import LeanLine
from server.realtime.parser import fault
from server.realtime.sink import Sink
from server.realtime.stock import Line, Mailbox, Outbox
from server.realtime.turns import Turns
from server.realtime.wire import Enclosed, Encoded, Outgoing

log = logging.getLogger(__name__)

PATH = "/socket.io/"
SWEEP_SECONDS = 1.0
"""How often the deadlines of all connections are looked at; the shortest are of some seconds."""


class Realtime(socketio.AsyncServer):  # type: ignore[misc]  # the library has no types
    """A Socket.IO server whose namespaces are `LiveNamespace`s."""

    def __init__(
        self,
        http: HttpSettings,
        limits: SocketSettings,
        clock: Clock,
        places: Places | None = None,
        hurried: Callable[[], bool] = lambda: False,
        harvest: Harvest | None = None,
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
        self.eio._async = {**self.eio._async, "websocket": self._line}
        self.eio.create_queue = Outbox
        # The library forgets the tasks it starts (each connection's next ping): they are kept, so
        # that none outlives the server.
        self.eio.start_background_task = self._spawn
        self._limits = limits
        self._clock = clock
        self._admission = Admission(http, limits, places)
        self._guards: dict[str, Guard] = {}
        self._lines: dict[str, Line | LeanLine] = {}
        self._lean: dict[str, LeanLine] = {}
        self.harvest = harvest
        self._turns = Turns(limits.pause_ms / 1000, clock.monotonic, hurried)
        self.soon = self._turns.soon
        self.took, self.timed = self._turns.took, self._turns.timed
        self.enclose = Enclosed
        """Does the same as `encode` for arguments that are msgpack already."""
        self._rooms: dict[str, LiveNamespace[Any]] = {}
        self._intake = Intake(self, self._rooms, limits, clock)
        self.receive = self._intake.receive
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pings: dict[str, asyncio.Task[Any]] = {}

        self.transport = self._choose()
        # Lean lines are looked after by the sweep. The library's task looks at one connection after
        # the other, for ever; it knows of pings on the stock transport, and of polling.
        self.eio.start_service_task = self.transport == "stock" or limits.polling

    def _choose(self) -> str:
        """Return the transport of new connections."""
        chosen: str = self._limits.transport
        if chosen == "lean" and (why := fault()) is not None:
            log.warning("the stock transport is used instead of the lean one: %s", why)
            chosen = "stock"
        for kind in ("lean", "stock"):
            metrics.TRANSPORT.labels(kind).set(kind == chosen)
        return chosen

    def _line(self, handler: Callable[..., Any], _: Any) -> Line | LeanLine:
        """Return the WebSocket of a connection, where the library would make its own."""
        # Who comes from long polling is in the middle of the library's dance of an upgrade.
        if self.transport == "lean" and not handler.__self__.connected:  # type: ignore[attr-defined]
            return LeanLine(self, self._limits, self._clock, handler)
        return Line(self, self._limits, self._clock, handler)

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
        limits = self._limits
        period = min(SWEEP_SECONDS, limits.ping_interval / 8, limits.ping_timeout / 8)
        while True:
            await asyncio.sleep(period)
            self._sweep(self._clock.monotonic())

    def _sweep(self, now: float) -> None:
        total = largest = 0
        joined = {sid for room in self._rooms.values() for sid in room.connections}
        for sid, line in list(self._lines.items()):
            unsent = line.unsent
            total += unsent
            if unsent > largest:
                largest = unsent
            try:
                line.sweep(sid in joined, now)
            except Ended as ended:
                self.end(sid, ended)
        metrics.SEND_BACKLOG.labels("all").set(total)
        metrics.SEND_BACKLOG.labels("largest").set(largest)

    # -- what namespaces send through

    def encode(self, namespace: str, event: str, args: tuple[object, ...]) -> Encoded:
        """Return an event ready to be sent to any number of clients, whatever parser they have."""
        return Encoded(sio_packet.EVENT, namespace, [event, *args])

    def line(self, eio_sid: str) -> Sink | Mailbox:
        """Return the way to a client that has sent something."""
        lean = self._lean.get(eio_sid)
        if lean is not None:
            return lean.way
        return Mailbox(self, self.eio.sockets, self._guards, self._limits, eio_sid)

    def answer(self, sid: str, namespace: str, number: int, *answers: Any) -> None:
        """Send an ack."""
        self.line(sid).post(Encoded(sio_packet.ACK, namespace, list(answers), number))

    def post(self, eio_sid: str, encoded: Outgoing) -> None:
        """Queue a packet for a client that may not be let in yet."""
        self.line(eio_sid).post(encoded)

    def overflow(self, sid: str, lossy: bool) -> bool:
        """Too much waits for a client; tell whether what is sent has to be queued all the same."""
        guard = self._guards.get(sid)
        if guard is None:
            return False
        if lossy:
            if guard.clogged_since is None:
                guard.clogged_since = self._clock.monotonic()
                metrics.LIMITED.labels("send_queue").inc()
            return False
        if not guard.ended:
            self.end(sid, Ended("send_queue", clogged_error()))
            return False
        return True  # the goodbye

    def hold(self, eio_sid: str, held: bool) -> None:
        """Read nothing more of a client, or read on; what it is sent goes on meanwhile."""
        line = self._lines.get(eio_sid)
        if line is not None:
            (line.hold if held else line.release)(ROOM)

    def address(self, eio_sid: str) -> str | None:
        """Return who is counted for a connection; None from this machine, or gone."""
        guard = self._guards.get(eio_sid)
        return None if guard is None else guard.address

    async def seat(self, eio_sid: str, account: str) -> None:
        """Give a connection of an account its place.

        Raises:
            AppError: the account has too many already.
        """
        await self._admission.seat(eio_sid, self._guards[eio_sid], account)

    def drop(self, eio_sid: str) -> None:
        """Close a client's connection once what is queued was sent."""
        if (line := self._lean.get(eio_sid)) is not None:
            line.finish()
        if eio_sid in self.eio.sockets:
            self._spawn(self._drop, eio_sid)

    async def _drop(self, eio_sid: str) -> None:
        socket = self.eio.sockets.get(eio_sid)
        line = self._lean.get(eio_sid)
        if line is not None:
            line.finish()
            await line.socket.close(wait=False, abort=True)
            line.close(line.guard.code)
        elif socket is not None and not socket.closed:
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
        if self.harvest is not None:
            self.harvest.close()

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

    def plugged(self, line: Line | LeanLine) -> Guard | None:
        """Take note of a line."""
        guard = self._guards.get(line.sid)
        if guard is not None:
            self._lines[line.sid] = line
            if isinstance(line, LeanLine):
                self._lean[line.sid] = line
                self._pings.pop(line.sid).cancel()  # the sweep pings
        return guard

    def unplugged(self, line: Line | LeanLine) -> None:
        """Forget a line."""
        self._lines.pop(line.sid, None)
        self._lean.pop(line.sid, None)
        self.eio.sockets.pop(line.sid, None)
        for room in self._rooms.values():
            if line.sid in room.connections:  # however the library's own leave-taking went
                self._spawn(room.disconnect, line.sid)

    def hot_of(self, sid: str) -> Hot | None:
        """Return the event of a connection that goes straight to its handler."""
        for room in self._rooms.values():
            if (hot := room.hot(sid)) is not None:
                return hot
        return None

    def slow_down(self, sid: str, guard: Guard, debt: float, now: float) -> None:
        """Judge a rate that is overdrawn.

        Raises:
            Ended: it goes on for too long.
        """
        delay_ms = guard.over(debt, now)
        if delay_ms is not None:
            self.tell(sid, "slow_down", {"delay_ms": delay_ms})

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

    async def _request(self, request: web.Request) -> web.StreamResponse:
        """Let a request of the protocol's path in, if it is one and there is room."""
        upgrade.check(request, polling=self._limits.polling)
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
        # The library cuts the interval it tells to whole seconds.
        queue = self.eio.sockets[eio_sid].queue
        told = {**queue.get_nowait().data, "pingInterval": round(self.eio.ping_interval * 1000)}
        queue.put_nowait(eio_packet.Packet(eio_packet.OPEN, told))
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
        work = None if guard is None else self.receive(eio_sid, guard, data)
        if work is not None:
            try:
                await work
            except Ended as ended:
                self.end(eio_sid, ended)

    async def _send_packet(self, eio_sid: str, pkt: sio_packet.Packet) -> None:
        self.post(eio_sid, Encoded(pkt.packet_type, pkt.namespace or "/", pkt.data, pkt.id))

    async def crowded(self, guard: Guard) -> bool:
        """Tell whether there is no room for a connection that has begun."""
        return await self._admission.is_crowded(guard)

    async def enter(self, eio_sid: str, namespace: str, auth: Any) -> None:
        """Answer a client that may ask for a namespace."""
        if eio_sid not in self._guards:
            return  # it went while Redis was asked
        await self._handle_connect(eio_sid, namespace, auth)
        room = self._rooms[namespace]
        if eio_sid not in self._guards:
            await self._handle_disconnect(eio_sid, namespace)
        elif eio_sid in room.connections:
            room.welcome(eio_sid)

    async def leave(self, eio_sid: str, namespace: str) -> None:
        """Let a client leave a namespace."""
        await self._handle_disconnect(eio_sid, namespace, self.reason.CLIENT_DISCONNECT)
