"""How a client sends its numbered messages: in order, within its window, paced when repeated."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from config.clock import Clock
from server.simulation.latency import Latencies
from server.simulation.ring import Message, Ring

KEPT = 20_000
"""Messages kept while they wait for `stored`: eleven minutes at 30 messages a second."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What `welcome` and `session:open` allow a client; the figures of the contract by default."""

    message_bytes: int = 256 * 1024
    messages_s: float = 120.0
    bytes_s: float = 1e6
    unacked: int = 256
    """Messages of the session that may go out ahead of `buffered`."""
    unacked_bytes: int = 1_000_000
    """Their bytes, counted as `Message.size` does."""
    grace_s: float = 300.0
    """The session is kept this long without a connection."""

    def updated(self, content: dict[str, Any]) -> "Limits":
        """Take the limits we know from the server's object and keep the others."""
        known = {field.name for field in fields(self)}
        return replace(self, **{name: content[name] for name in known & content.keys()})


@dataclass(slots=True)
class Tally:
    """What one or many players have counted; a crowd's players share one."""

    sent: int = 0
    buffered: int = 0
    stored: int = 0
    frames: int = 0
    gaps: int = 0
    refused: int = 0
    resent: int = 0
    resumes: int = 0
    slow_downs: int = 0
    events_ack: Latencies = field(default_factory=Latencies)
    """From sending an event to its answer or to the `buffered` that covers it, the earlier one."""
    frames_ack: Latencies = field(default_factory=Latencies)
    """From sending a `frames` message to the `buffered` that covers it."""
    stored_ack: Latencies = field(default_factory=Latencies)
    """From sending any message to the `stored` that covers it."""

    def begin_anew(self) -> tuple[Latencies, Latencies, Latencies]:
        """Return the latencies counted so far, of events, frames and `stored`; count anew."""
        counted = self.events_ack, self.frames_ack, self.stored_ack
        self.events_ack, self.frames_ack, self.stored_ack = (Latencies() for _ in range(3))
        return counted


class Outbox:
    """The ring of a session and what moves its cursor. `open` while there is a line to send on."""

    def __init__(
        self,
        *,
        clock: Clock,
        tally: Tally,
        ack_latency: Latencies,
        emit: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Prepare; `emit` hands one message to the socket of the moment."""
        self.ring = Ring()
        self.limits = Limits()
        self.open = False
        self._clock = clock
        self._tally = tally
        self._ack_latency = ack_latency
        self._emit = emit
        self._room = asyncio.Event()
        self._room.set()
        self._over: Exception | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._again: deque[Message] = deque()
        self._hold_until = 0.0

    async def until_room(self) -> None:
        """Wait until the ring takes another message; raises the reason when all is over."""
        await self._room.wait()
        if self._over is not None:
            raise self._over

    async def send_due(self) -> None:
        """Send what was just appended, unless older ones go first or nothing may go now."""
        self._look_for_room()
        while self.open and self._catching_up is None and self._may_send():
            due = self.ring.next_unsent()
            if due is None:
                return
            await self._transmit(due)

    def send_again(self, expected: int, delay_s: float) -> bool:
        """Go back to `expected` and send on from there after a delay; False if it is not kept."""
        if not self.ring.rewind(expected):
            return False
        self.hold(delay_s)
        return True

    def forfeit(self, expected: int) -> bool:
        """The same at once, and take back what was called buffered from there on."""
        before = self.ring.buffered, self.ring.stored
        if not self.ring.forfeit(expected):
            return False
        self._count([], before)
        self.hold(0.0)
        return True

    def resume(self, expected: int, stored: int) -> bool:
        """Take the marks of a resumed session; False if the server wants what is not kept."""
        before = self.ring.buffered, self.ring.stored
        fresh = self.ring.resume(expected, stored)
        if fresh is None:
            return False
        self._count(fresh, before)
        self._again = deque(self.ring.unanswered())
        return True

    def begin(self) -> None:
        """There is a line: send what is due, and ask again what was not answered."""
        self.open = True
        self.hold(0.0)

    def rest(self) -> None:
        """There is no line: send nothing for now."""
        self.open = False
        if self._catching_up is not None:
            self._catching_up.cancel()
            self._catching_up = None

    def end(self, why: Exception) -> None:
        """Let nobody wait for ever: what is unanswered ends with the reason."""
        self.rest()
        self._over = why
        self._room.set()
        for message in self.ring:
            if message.answer is not None and not message.answer.done():
                message.answer.set_exception(why)
                message.answer.exception()  # nobody may be waiting any more

    def hold(self, delay_s: float) -> None:
        """Send nothing for a while, then what is due, paced."""
        self._hold_until = max(self._hold_until, self._clock.monotonic() + delay_s)
        if self._catching_up is None and self.open:
            self._catching_up = asyncio.create_task(self._catch_up())

    def mark(self, buffered: int, stored: int) -> None:
        """Move the marks; count what they newly cover; send what waited for it."""
        before = self.ring.buffered, self.ring.stored
        now = self._clock.monotonic()
        for message in self.ring.kept(before[1] + 1, stored):
            if message.sent_at is not None:
                self._tally.stored_ack.add(now - message.sent_at)
        self._count(self.ring.acknowledge(buffered, stored), before)
        if self.ring.cursor < self.ring.end:
            self.hold(0.0)

    def answered(self, message: Message) -> None:
        """An answer of its own tells as much as the `ack` that is to come."""
        self._time(message, self._clock.monotonic())

    async def _transmit(self, message: Message) -> None:
        if message.sent_at is None:
            message.sent_at = self._clock.monotonic()
        else:
            self._tally.resent += 1
        await self._emit(message)

    def _may_send(self) -> bool:
        """Whether another message may go out ahead of `buffered`.

        One alone may be of any size: what the server does not take it answers.
        """
        under_way = self.ring.in_flight
        return not under_way or (
            under_way < self.limits.unacked
            and self.ring.bytes_with_next <= self.limits.unacked_bytes
        )

    async def _catch_up(self) -> None:
        """Send what lies between the cursor and the end at half the allowed rate.

        What was asked before the line was lost and is not answered goes first, once; messages
        appended meanwhile go last.
        """
        pace_s = 2.0 / self.limits.messages_s
        while True:
            if (wait := self._hold_until - self._clock.monotonic()) > 0:
                await asyncio.sleep(wait)
                continue
            message = self._again.popleft() if self._again else None
            if message is None or message.settled:
                if not self._may_send():
                    break  # the next `ack` goes on
                message = self.ring.next_unsent()
            if message is None:
                break
            await self._transmit(message)
            await asyncio.sleep(pace_s)
        self._catching_up = None

    def _look_for_room(self) -> None:
        if self._over is not None or len(self.ring) < KEPT:
            self._room.set()
        else:
            self._room.clear()

    def _count(self, fresh: list[Message], before: tuple[int, int]) -> None:
        now = self._clock.monotonic()
        for message in fresh:
            self._time(message, now)
        self._tally.buffered += self.ring.buffered - before[0]
        self._tally.stored += self.ring.stored - before[1]
        self._look_for_room()

    def _time(self, message: Message, now: float) -> None:
        if message.sent_at is None or message.buffered_at is not None:
            return
        message.buffered_at = now
        frames = message.event == "frames"
        (self._tally.frames_ack if frames else self._tally.events_ack).add(now - message.sent_at)
        self._ack_latency.add(now - message.sent_at)
