"""The lean transport: a WebSocket that costs no task, no future and no await for a message.

After the upgrade a connection leaves aiohttp's request machinery and keeps its frame parser. What
comes is handled inside the parser's callback; what goes is put into a list and written once a turn
of the loop. The stock transport (`server/realtime/stock.py`) is held to the same limits by the same
guard, and takes over where the parser is not as it is known here.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from aiohttp import WSCloseCode, WSMsgType, web

from config import metrics
from config.clock import Clock
from config.settings import SocketSettings
from handlers.live.base import Hot
from models.errors import internal_error
from server.realtime.gate import JOIN, ROOM
from server.realtime.guard import INTERNAL_ERROR, Ended, invalid
from server.realtime.hot import HotGate
from server.realtime.intake import Work
from server.realtime.packets import seq_of
from server.realtime.parser import parser
from server.realtime.sink import Sink
from server.realtime.stock import use_buffer
from server.realtime.switch import Switch
from server.realtime.upgrade import answer
from server.realtime.wire import CLOSE, ENGINE_CLOSE, ENGINE_PING, PONG, TEXT, frame

log = logging.getLogger(__name__)

FAREWELL_SECONDS = 1.0
"""How long a client has to answer the close before the connection is let go."""
NO_HEAD = "\udfff"
"""Half a character: no text that came in UTF-8 begins so."""
_BINARY = WSMsgType.BINARY


class LeanLine(HotGate):
    """One WebSocket, from its upgrade to its end."""

    __slots__ = (
        "_closing_since",
        "_limits",
        "_over",
        "_ping_at",
        "_pinged_at",
        "_sink",
        "_under",
        "_work",
        "hot_head",
        "socket",
    )

    def __init__(
        self, switch: Switch, limits: SocketSettings, clock: Clock, handler: Callable[..., Any]
    ) -> None:
        self.socket: Any = handler.__self__  # type: ignore[attr-defined]  # the library's socket
        super().__init__(switch, clock, self.socket.sid)
        self._limits = limits
        self.hot_head = NO_HEAD
        """How the text of the hot event begins."""
        self._under: asyncio.Protocol | None = None
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._work: asyncio.Task[None] | None = None
        self._sink: Sink
        self._closing_since: float | None = None
        self._ping_at = self._now + limits.ping_interval
        self._pinged_at: float | None = None

    async def __call__(self, environ: dict[str, Any]) -> web.StreamResponse:
        """Upgrade the request and serve it until it ends."""
        request: web.Request = environ["aiohttp.request"]
        response = answer(request)
        try:
            if request.transport is None:
                raise ConnectionResetError("the client left before it was answered")
            soon, overflow = self._switch.soon, self._overflow
            self._sink = Sink(request.transport, soon, overflow, self._limits, self._now)
            self._sink.paused = True  # nothing goes before the answer
            guard = self._switch.plugged(self)
            if guard is not None:
                self.guard = guard
                await response.prepare(request)
                self._take_over(request.transport, request.protocol)
                await self._over
        finally:
            self.finish()
            if self._work is not None:
                await asyncio.wait({self._work})
            self._switch.unplugged(self)
            # Whatever happened: the library must not keep what it made for this connection.
            await self.socket.close(wait=False, abort=True)
            if self._transport is not None and not self._over.done():
                self._transport.abort()
        return response

    def _take_over(self, transport: asyncio.Transport | None, under: web.RequestHandler) -> None:
        if transport is None:
            raise ConnectionResetError("the client left while it was answered")
        use_buffer(transport, self._limits.send_buffer_bytes)
        self.socket.connected = self.socket.upgraded = True
        self._transport, self._under = transport, under
        self._reader = parser(self.message, self._broken, self._limits.message_bytes)
        while not self.socket.queue.empty():  # the library's handshake
            self._sink.put(frame(TEXT, self.socket.queue.get_nowait().encode().encode()))
        self.resume_writing()
        under.keep_alive(False)
        under.set_parser(cast(Any, self))  # hands over what came behind the head
        transport.set_protocol(self)

    # -- what comes

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take what aiohttp had read already."""
        self.data_received(data)
        return False, b""

    def feed_eof(self) -> None:
        """The connection is lost; `connection_lost` knows."""

    def take(self, kind: WSMsgType, data: Any) -> None:
        """Take a message that is no hot event, or not known as one."""
        if kind is _BINARY:
            guard = self.guard
            if guard.seq >= 0:
                seq, guard.seq = guard.seq, -1
                self._call(seq, data)
            else:
                self._receive(data, self.learning(data))
        elif kind is WSMsgType.TEXT:
            self._text(data)
        elif kind is WSMsgType.PING:
            self._sink.offer(frame(PONG, bytes(data)))  # whoever reads nothing is owed none

    def _text(self, data: str) -> None:
        guard = self.guard
        if data.startswith(self.hot_head) and not guard.waits:
            seq = seq_of(data, len(self.hot_head))
            if seq >= 0:
                guard.expect_hot(seq, self._now)
                return
        if data[:1] == "4":
            if guard.waits:
                raise invalid("a message before the binary parts of the last one")
            self._receive(data[1:])
        elif data == "3":
            if self._pinged_at is not None:
                self._pinged_at = None
                self._ping_at = self._now + self._limits.ping_interval
        elif data == "1":
            self._switch.drop(self.sid)
        elif data != "6":
            raise invalid("a packet of a kind that a client does not send")

    def _receive(self, data: str | bytes, hot: Hot | None = None) -> None:
        work = self._switch.receive(self.sid, self.guard, data, hot)
        if work is not None:
            self.hold(JOIN)
            self._work = self._loop.create_task(self._do(work))

    async def _do(self, work: Work) -> None:
        try:
            await work
        except Ended as ended:
            self._switch.end(self.sid, ended)
        except Exception as error:
            self.fault(error)
        finally:
            self._work = None
            self.serve(self._switch.hot_of(self.sid))
            # Who speaks msgpack sends no text; what it sends all the same is looked at in full.
            spelled = None if self.guard.packed else self.hot
            self.hot_head = NO_HEAD if spelled is None else f"4{spelled.head}"
            self.release(JOIN)

    def fault(self, error: Exception) -> None:
        """Close: a message could not be handled."""
        log.error("a message could not be handled", exc_info=error)
        self._switch.end(self.sid, Ended("internal", internal_error(), INTERNAL_ERROR))

    def goodbye(self, code: int) -> None:
        """The client closes: answer, and hang up."""
        if self._closing_since is None:
            self._sink.put(frame(CLOSE, int(code or WSCloseCode.OK).to_bytes(2, "big")))
            self._shut()
        self._hang_up()

    def _broken(self, code: int) -> None:
        if code == WSCloseCode.MESSAGE_TOO_BIG:
            metrics.LIMITED.labels("message_bytes").inc()
        if self._closing_since is None:
            self._sink.put(frame(CLOSE, int(code).to_bytes(2, "big")))
            self._shut()
            self._switch.drop(self.sid)
        # What else it sends is thrown away unread, so that the close is not lost by a reset.
        self._deaf = True

    def released(self) -> None:
        """It is read again: the answer to a ping may have waited at our side."""
        if self._pinged_at is not None:
            self._pinged_at = self._now

    # -- what goes

    @property
    def unsent(self) -> int:
        """Bytes that wait to be sent."""
        return 0 if self._transport is None else self._sink.unsent

    @property
    def way(self) -> Sink:
        """The way to the client, as far as it has shown by now what it understands.

        Who has it sends through it alone: each object more that is touched for a packet costs.
        """
        self._sink.packed = self.guard.packed is True
        return self._sink

    def _overflow(self, lossy: bool) -> bool:
        return self._switch.overflow(self.sid, lossy)

    def pause_writing(self) -> None:
        """The transport is full."""
        self._sink.paused = True

    def resume_writing(self) -> None:
        """The transport takes more."""
        self._sink.paused = False
        self._sink.flush()

    # -- the end

    def close(self, code: int) -> None:
        """Say goodbye behind what is queued; the client hangs up, or is cut off."""
        if self._closing_since is None:
            self._sink.put(ENGINE_CLOSE + frame(CLOSE, code.to_bytes(2, "big")))
            self._shut()

    def _shut(self) -> None:
        self.finish()
        self._closing_since = self._monotonic()
        self.release(ROOM)
        self._sink.open = False
        self._sink.flush()

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def eof_received(self) -> bool | None:
        """The client will send nothing more; the transport closes by itself."""
        return None

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""
        self.done = True
        self._closing_since = self._closing_since or self._now
        self.shut()
        self._sink.open = False
        self._sink.clear()
        if self._under is not None:
            self._under.connection_lost(exc if isinstance(exc, Exception) else None)
        if not self._over.done():
            self._over.set_result(None)

    def sweep(self, joined: bool, now: float) -> None:
        """Look at the deadlines and the pings; abort a connection that takes nothing any more.

        Raises:
            Ended: a deadline has passed.
        """
        transport = self._transport
        if transport is None or self._over.done():
            return
        if self._sink.stuck(now) > self._limits.write_seconds:
            self._abort("write_seconds")
            return
        if self._closing_since is not None:
            late = now - self._closing_since
            if late > self._limits.write_seconds:
                self._abort("close_seconds")
            elif late > FAREWELL_SECONDS:
                self._hang_up()
            return
        if self.done:
            return
        if self._sink.backlog < self._limits.watcher_packets:
            self.guard.clogged_since = None
        self.guard.check(joined, now)
        self._ping(now)

    def _ping(self, now: float) -> None:
        pinged_at = self._pinged_at
        if self._holds:
            # Its answer would wait at our side: it owes none, but has to hear that we are there.
            self._pinged_at = None if pinged_at is None else now
        elif pinged_at is not None:
            if now - pinged_at > self._limits.ping_timeout:
                metrics.LIMITED.labels("ping_timeout").inc()
                self._switch.drop(self.sid)
                self.close(self.guard.code)
                self._hang_up()
            return
        if now >= self._ping_at:
            self._pinged_at = now
            self._ping_at = now + self._limits.ping_interval
            self._sink.put(ENGINE_PING)

    def _abort(self, why: str) -> None:
        metrics.LIMITED.labels(why).inc()
        if self._transport is not None:
            self._transport.abort()
