"""The WebSocket under a Socket.IO connection: how bytes come in, wait, and go out."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import WSMsgType, web
from engineio import packet

from config import metrics
from config.clock import Clock
from config.settings import SocketSettings
from server.realtime.guard import Ended, Guard, invalid
from server.realtime.switch import Switch
from server.realtime.wire import Outgoing

_MESSAGE_KINDS = frozenset("0123456")
_TOO_BIG = 1009
_GOODBYE, _PONG = str(packet.CLOSE), str(packet.PONG)
NOOP = str(packet.NOOP)
"""What the library's loop is given while nothing is read, so that it waits on."""


class Outbox(asyncio.Queue[Any]):
    """The library's queue of packets to a client; counts what it holds until it is written.

    The library's writer takes all that waits at once: what it has taken still waits.
    """

    packets = 0
    size = 0
    """Bytes (characters of text) that wait."""
    written = 0
    """Bytes ever handed to the transport."""
    streaming = False
    """Whether a line writes what is taken out; a poll takes it away at once."""

    def _put(self, item: Any) -> None:
        if item is not None:
            self.packets += 1
            self.size += _size(item)
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        if item is not None and not self.streaming:
            self.wrote(_size(item))
        return item

    def wrote(self, size: int) -> None:
        """A packet went to the transport."""
        self.packets -= 1
        self.size -= size
        self.written += size


class Mailbox:
    """The way to a client of this transport: through the library's queue, while there is one.

    Args:
        sockets: the library's, by their sid.
    """

    __slots__ = ("_guards", "_limits", "_sid", "_sockets", "_switch")

    def __init__(
        self,
        switch: Switch,
        sockets: Mapping[str, Any],
        guards: Mapping[str, Guard],
        limits: SocketSettings,
        sid: str,
    ) -> None:
        self._switch = switch
        self._sockets = sockets
        self._guards = guards
        self._limits = limits
        self._sid = sid

    @property
    def backlog(self) -> int:
        """Packets that wait."""
        socket = self._sockets.get(self._sid)
        return 0 if socket is None else int(socket.queue.packets)

    def post(self, encoded: Outgoing, *, lossy: bool = False) -> None:
        """Queue a packet; one too many ends the connection, or is left out if it is `lossy`."""
        socket, guard = self._sockets.get(self._sid), self._guards.get(self._sid)
        if socket is None or guard is None or socket.closed or socket.closing:
            return
        outbox: Outbox = socket.queue
        limits = self._limits
        full = outbox.packets >= limits.queue_packets or outbox.size >= limits.queue_bytes
        if full and not self._switch.overflow(self._sid, lossy):
            return
        for pkt in encoded.packets(guard.packed is True):
            outbox.put_nowait(pkt)


class Line:
    """One WebSocket, as the library's loop sees it: it waits for messages, sends, and closes.

    permessage-deflate is never agreed to: small binary messages gain nothing by it, and each
    connection pays four times the memory.
    """

    def __init__(
        self,
        switch: Switch,
        limits: SocketSettings,
        clock: Clock,
        handler: Callable[["Line"], Awaitable[None]],
    ) -> None:
        self._switch = switch
        self._limits = limits
        self._clock = clock
        self._handler = handler
        self.socket: Any = handler.__self__  # type: ignore[attr-defined]  # a method of the library's socket
        self.sid: str = self.socket.sid
        self.outbox: Outbox = self.socket.queue
        self.outbox.streaming = True
        self.guard: Guard
        self._upgrade = ["5", "2probe"] if self.socket.connected else []
        self._ws = web.WebSocketResponse(
            max_msg_size=limits.message_bytes,
            compress=False,
            autoping=False,
            timeout=limits.write_seconds,
        )
        self._transport: asyncio.Transport | None = None
        self._best = 0
        self._moved_at = clock.monotonic()
        self._closing_since: float | None = None
        self._holds = 0
        self._free = asyncio.Event()
        self._free.set()
        self._pinged_at = clock.monotonic()

    async def __call__(self, environ: dict[str, Any]) -> web.StreamResponse:
        """Upgrade the request and serve it until it ends."""
        request: web.Request = environ["aiohttp.request"]
        guard = self._switch.plugged(self)
        try:
            if guard is not None:
                self.guard = guard
                await self._ws.prepare(request)
                self._transport = request.transport
                if self._transport is not None:
                    use_buffer(self._transport, self._limits.send_buffer_bytes)
                await self._handler(self)
        finally:
            self._switch.unplugged(self)
            # Whatever happened: the library must not keep what it made for this connection.
            await self.socket.close(wait=False, abort=True)
            if self._transport is not None and self._transport.get_write_buffer_size():
                self._transport.abort()
        return self._ws

    def hold(self, why: int) -> None:
        """Read nothing more, for a reason, until it is taken back."""
        if not self._holds:
            self._free.clear()
        self._holds |= why

    def release(self, why: int) -> None:
        """Take a reason back; read on if it was the last."""
        self._holds &= ~why
        if not self._holds:
            self._free.set()

    async def wait(self) -> str | bytes:
        """Return the next message.

        Raises:
            OSError: there is none any more; the library takes it as the end.
        """
        guard = self.guard
        try:
            while not guard.ended:
                if self._holds and not self.socket.closed and not await self._held():
                    return NOOP
                message = await self._ws.receive()
                kind, data = message.type, message.data
                if kind is WSMsgType.TEXT or kind is WSMsgType.BINARY:
                    now = self._clock.monotonic()
                    # A binary part belongs to the message that announced it.
                    debt = guard.budget.take(guard.packet is None, len(data), now)
                    if debt > guard.floor:
                        await self._slow(debt, now)
                    self._check(data)
                    return data  # type: ignore[no-any-return]  # str or bytes, as its kind says
                if kind is WSMsgType.PING or kind is WSMsgType.PONG:
                    now = self._clock.monotonic()
                    debt = guard.budget.take(1, len(data), now)
                    if debt > guard.floor:
                        await self._slow(debt, now)
                    if kind is WSMsgType.PING:
                        await self._ws.pong(data)
                else:
                    if kind is WSMsgType.ERROR and getattr(data, "code", None) == _TOO_BIG:
                        metrics.LIMITED.labels("message_bytes").inc()
                    break
        except Ended as ended:
            self._switch.end(self.sid, ended)
        raise OSError

    async def send(self, message: str | bytes) -> None:
        """Hand a packet to the transport; waits while that is full."""
        if isinstance(message, bytes):
            await self._ws.send_bytes(message)
        else:
            await self._ws.send_str(message)
        self.outbox.wrote(len(message))

    async def close(self) -> None:
        """Say goodbye and hang up."""
        await self._ws.close(code=self.guard.code)

    async def _held(self) -> bool:
        """Wait until there is no reason left not to read; False when that takes a while."""
        if self.socket.last_ping:
            # Its answer would wait at our side: the library may not count from before.
            self.socket.last_ping = time.time()
        try:
            async with asyncio.timeout(self._limits.ping_timeout / 2):
                await self._free.wait()
        except TimeoutError:
            now = self._clock.monotonic()
            if now - self._pinged_at >= self._limits.ping_interval:
                self._pinged_at = now  # it has to hear that we are there
                self.outbox.put_nowait(packet.Packet(packet.PING))
            return False
        return True

    @property
    def unsent(self) -> int:
        """Bytes (characters of text) that wait to be sent."""
        transport = self._transport
        return 0 if transport is None else self.outbox.size + transport.get_write_buffer_size()

    def sweep(self, joined: bool, now: float) -> None:
        """Look at the deadlines; abort a connection that takes nothing any more.

        Raises:
            Ended: a deadline has passed.
        """
        transport = self._transport
        if transport is None:
            return
        waiting = transport.get_write_buffer_size()
        flushed = self.outbox.written - waiting
        if (not waiting and not self.outbox.packets) or flushed > self._best:
            self._best = flushed
            self._moved_at = now
        elif now - self._moved_at > self._limits.write_seconds:
            self._abort("write_seconds")
            return
        if self.socket.closing or self.socket.closed or self.guard.ended:
            if self._closing_since is None:
                self._closing_since = now
            elif now - self._closing_since > self._limits.write_seconds:
                self._abort("close_seconds")
            return
        if self.outbox.packets < self._limits.watcher_packets:
            self.guard.clogged_since = None
        self.guard.check(joined, now)

    def _abort(self, why: str) -> None:
        # The library's ping timeout would wait for a goodbye that nobody reads.
        metrics.LIMITED.labels(why).inc()
        if self._transport is not None:
            self._transport.abort()

    def _check(self, data: str | bytes) -> None:
        """Let nothing through that would upset the library.

        Raises:
            Ended: this is no packet.
            OSError: the client takes its leave; the library would wait on for it.
        """
        if isinstance(data, bytes):
            return
        if self._upgrade:
            if data != self._upgrade.pop():
                raise invalid("an upgrade that is none")
            return
        kind = data[:1]
        if kind == "4":
            if self.guard.packet is not None:
                raise invalid("a message before the binary parts of the last one")
            if data[1:2] not in _MESSAGE_KINDS:
                raise invalid("a message that is no Socket.IO packet")
        elif data == _GOODBYE:
            raise OSError
        elif data not in (_PONG, NOOP):
            raise invalid("a packet of a kind that a client does not send")

    async def _slow(self, debt: float, now: float) -> None:
        self._switch.slow_down(self.sid, self.guard, debt, now)
        if debt > 0:
            # Read on when it is paid: whoever floods is not served faster than the rate.
            await asyncio.sleep(debt)


def use_buffer(transport: asyncio.Transport, size: int) -> None:
    """Set what the kernel may hold of what is sent.

    Left to itself it takes megabytes for somebody who does not read, and says nothing of those it
    got rid of until half of them are gone.
    """
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


def _size(item: packet.Packet) -> int:
    # A packet keeps how it was encoded first: bytes may not be, before a poll asks for base64.
    return len(item.data) if item.binary else len(item.encode())
