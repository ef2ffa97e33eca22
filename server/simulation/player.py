"""The reference client of `/game`: one connection that plays one session.

Read this first when you write a client. What a client has to do, in the order of the code below:

1. Connect over WebSocket with `auth = {"token", "client"}`; the server's first event is `welcome`.
2. `session:open` names the child. From here on every message that may change a score carries a
   `seq` of the client's choice: 0, 1, 2, … without holes.
3. Keep each message until an `ack` says that it is *stored*. `buffered` means that the server may
   die and the message lives; `stored` means that the power may fail.
4. `gap {expected}`, as an event for `frames` and as an error for the rest, means that the server
   has not seen `expected`: send everything again from there, in order, without a burst.
5. `busy` and `rate_limited` take no seq: wait, then send the same again. Every other error has
   taken its seq; go on with the next.
6. `session:close` answers with the result once all of it is stored. `busy` only asks for patience:
   asking again is safe, as every repetition is.
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import aiohttp

from config.clock import Clock
from server.simulation.latency import Latencies
from server.simulation.ledger import Ledger
from server.simulation.line import ANSWER_S, Line, LineLostError, RefusedError
from server.simulation.ring import Message, Ring

RETRY_MS = 250
"""Delay before sending again when the server names none."""
KEPT = 20_000
"""Messages kept while they wait for `stored`: eleven minutes at 30 messages a second."""

Observer = Callable[[str, dict[str, Any]], None]
"""Gets every event of the server that is meant for the game: its name and its content."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What `welcome` and `session:open` allow a client; the figures of the contract by default."""

    message_bytes: int = 256 * 1024
    messages_s: float = 120.0
    bytes_s: float = 1e6
    unacked: int = 256

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
    slow_downs: int = 0
    events_ack: Latencies = field(default_factory=Latencies)
    """From sending an event to its answer or to the `buffered` that covers it, the earlier one."""
    frames_ack: Latencies = field(default_factory=Latencies)
    """From sending a `frames` message to the `buffered` that covers it."""


class Player:
    """One connection to `/game` and the session it plays. One task at a time may use it."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        clock: Clock,
        tally: Tally | None = None,
        ledger: Ledger | None = None,
        observer: Observer | None = None,
        ack_latency: Latencies | None = None,
        http: aiohttp.ClientSession | None = None,
    ) -> None:
        """Prepare a player; nothing is sent before `connect`.

        Args:
            url: the server, such as `http://127.0.0.1:8080`.
            token: an access token with the role guardian or child.
            tally: where to count; a new one by default.
            ledger: where to note what is sent and acknowledged.
            observer: called with `score`, `peak`, `rep`, `advice`, `steer` and the like.
            ack_latency: where to count the ack latency of this player's messages of any kind.
            http: an open session to share between many players.
        """
        self._clock = clock
        self._ledger = ledger
        self._observer = observer
        self.tally = Tally() if tally is None else tally
        self.ack_latency = Latencies() if ack_latency is None else ack_latency
        self.ring = Ring()
        self.limits = Limits()
        self.session_id = ""
        self.resume_token = ""
        self.sealed = False

        self._room = asyncio.Event()
        self._room.set()
        self._catching_up: asyncio.Task[None] | None = None
        self._hold_until = 0.0

        self.line = Line(url, token, "/game", http)
        self.line.when_ended(self._on_ended)
        self.line.on("ack", self._on_ack)
        self.line.on("gap", self._on_gap)
        self.line.on("refused", self._on_refused)
        self.line.on("slow_down", self._on_slow_down)
        for event in ("score", "peak", "rep", "advice", "steer"):
            self.line.on(event, functools.partial(self._on_play, event))

    # -- connection ----------------------------------------------------------------------------

    async def connect(self) -> dict[str, Any]:
        """Connect and return the content of `welcome`; errors as `Line.connect`."""
        welcome = await self.line.connect()
        self.limits = self.limits.updated(welcome["limits"])
        return welcome

    async def disconnect(self) -> None:
        """Leave; safe at any time and twice."""
        if self._catching_up is not None:
            self._catching_up.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._catching_up
        await self.line.disconnect()

    # -- what a game does ----------------------------------------------------------------------

    async def open_session(self, **request: Any) -> dict[str, Any]:
        """Open the session (`session:open` of the contract, fields by keyword)."""
        answer = await self.line.call("session:open", request)
        self.session_id = answer["session_id"]
        self.resume_token = answer.get("resume_token", "")
        self.limits = self.limits.updated(answer.get("limits", {}))
        if self._ledger is not None:
            self._ledger.opened(self.session_id, request["child_id"])
        return answer

    async def start_set(self, **request: Any) -> dict[str, Any]:
        """Start a set; return its anchors, goal, guide period and model."""
        return await self._ask("set:start", request)

    async def send_frames(self, payload: bytes) -> Message:
        """Send one binary frame message; waits only when too much is unacknowledged."""
        return await self._append("frames", payload)

    async def end_set(self, set_no: int) -> dict[str, Any]:
        """End the set; return its PlayRecord."""
        answer = await self._ask("set:end", {"set_no": set_no})
        record: dict[str, Any] = answer["record"]
        return record

    async def pause(self, paused: bool, reason: str | None = None) -> None:
        """Pause or go on; frames sent meanwhile are kept, not scored."""
        body: dict[str, Any] = {"paused": paused}
        if reason is not None:
            body["reason"] = reason
        await self._ask("session:pause", body)

    async def close_session(self, **request: Any) -> dict[str, Any]:
        """Close the session; return the TherapyResult, once everything is stored."""
        result = await self._ask("session:close", request)
        seq = self.ring.end - 1
        self._mark(seq, seq)  # the answer itself says so, the last `ack` may come later
        self.sealed = True
        if self._ledger is not None:
            self._ledger.acknowledged(self.session_id, seq, seq)
            self._ledger.sealed(self.session_id, seq, result)
        return result

    # -- numbered messages ---------------------------------------------------------------------

    async def _ask(self, event: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a numbered event and wait for its final answer."""
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        await self._append(event, body, answer)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError:
            raise LineLostError(f"no answer to {event} within {ANSWER_S:.0f} s") from None

    async def _append(
        self,
        event: str,
        body: bytes | dict[str, Any],
        answer: asyncio.Future[dict[str, Any]] | None = None,
    ) -> Message:
        """Number a message, note it, keep it, and send it unless older ones go first."""
        await self._room.wait()
        if self.line.ended is not None:
            raise LineLostError(self.line.ended)
        message = self.ring.append(event, body, answer)
        if self._ledger is not None:
            self._ledger.message(self.session_id, message.seq, event, body)
        self.tally.sent += 1
        if isinstance(body, bytes):
            self.tally.frames += int.from_bytes(body[4:6], "little")
        if self._catching_up is None:
            await self._send_due()
        self._look_for_room()
        return message

    async def _send_due(self) -> None:
        """Hand everything from the cursor on to the socket, in order."""
        while (message := self.ring.next_unsent()) is not None:
            await self._transmit(message)

    async def _transmit(self, message: Message) -> None:
        if message.sent_at is None:
            message.sent_at = self._clock.monotonic()
        else:
            self.tally.resent += 1
        answered = None if message.answer is None else functools.partial(self._on_answer, message)
        await self.line.emit(message.event, (message.seq, message.body), answered)

    def _send_again(self, expected: int, delay_s: float) -> None:
        """Go back to `expected` and send on from there after a delay, at half the allowed rate."""
        if not self.ring.rewind(expected):
            # Only a server that lost what it called stored asks for this.
            self.line.notices.append(("lost", {"message": f"seq {expected} is not kept any more"}))
            return
        self._hold(delay_s)

    def _hold(self, delay_s: float) -> None:
        self._hold_until = max(self._hold_until, self._clock.monotonic() + delay_s)
        if self._catching_up is None and self.line.ended is None:
            self._catching_up = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        """Send what lies between the cursor and the end, paced, newly appended messages too."""
        pace_s = 2.0 / self.limits.messages_s
        try:
            while True:
                if (wait := self._hold_until - self._clock.monotonic()) > 0:
                    await asyncio.sleep(wait)
                    continue
                message = self.ring.next_unsent()
                if message is None:
                    return
                await self._transmit(message)
                await asyncio.sleep(pace_s)
        finally:
            self._catching_up = None

    def _look_for_room(self) -> None:
        if self.line.ended is not None or (
            self.ring.unbuffered < self.limits.unacked and len(self.ring) < KEPT
        ):
            self._room.set()
        else:
            self._room.clear()

    def _mark(self, buffered: int, stored: int) -> None:
        """Move the marks; count what they newly cover."""
        now = self._clock.monotonic()
        before = self.ring.buffered, self.ring.stored
        for message in self.ring.acknowledge(buffered, stored):
            self._time(message, now)
        self.tally.buffered += self.ring.buffered - before[0]
        self.tally.stored += self.ring.stored - before[1]
        self._look_for_room()

    def _time(self, message: Message, now: float) -> None:
        if message.sent_at is None or message.buffered_at is not None:
            return
        message.buffered_at = now
        frames = message.event == "frames"
        (self.tally.frames_ack if frames else self.tally.events_ack).add(now - message.sent_at)
        self.ack_latency.add(now - message.sent_at)

    # -- what the server says ------------------------------------------------------------------

    def _on_answer(self, message: Message, answer: dict[str, Any]) -> None:
        """Handle the callback of a numbered event; a repetition may be answered twice."""
        if message.answer is None or message.answer.done():
            return
        if "ok" in answer:
            self._time(message, self._clock.monotonic())
            message.answer.set_result(answer["ok"])
            return
        error = answer["error"]
        code: str = error["code"]
        if code == "gap":
            self.tally.gaps += 1
            self._send_again(error["details"]["expected"], 0.0)
        elif code in ("busy", "rate_limited"):
            if message.event != "session:close":  # there it only means: not all stored yet
                self.tally.refused += 1
            self._send_again(message.seq, error.get("retry_ms", RETRY_MS) / 1000)
        else:
            self._time(message, self._clock.monotonic())
            self._took_its_seq(message.seq, code)
            message.answer.set_exception(RefusedError(code, error["message"], error.get("details")))

    def _on_ack(self, marks: dict[str, int]) -> None:
        self._mark(marks["buffered"], marks["stored"])
        if self._ledger is not None:
            self._ledger.acknowledged(self.session_id, marks["buffered"], marks["stored"])

    def _on_gap(self, hole: dict[str, int]) -> None:
        self.tally.gaps += 1
        self._send_again(hole["expected"], 0.0)

    def _on_refused(self, refusal: dict[str, Any]) -> None:
        if refusal["code"] in ("busy", "rate_limited"):
            self.tally.refused += 1
            self._send_again(refusal["seq"], refusal.get("retry_ms", RETRY_MS) / 1000)
        else:
            self._took_its_seq(refusal["seq"], refusal["code"])

    def _took_its_seq(self, seq: int, code: str) -> None:
        self.tally.refused += 1
        if self._ledger is not None:
            self._ledger.refused(self.session_id, seq, code)

    def _on_slow_down(self, content: dict[str, Any]) -> None:
        self.tally.slow_downs += 1
        self._hold(content["delay_ms"] / 1000)

    def _on_play(self, event: str, content: dict[str, Any]) -> None:
        if self._observer is not None:
            self._observer(event, content)

    def _on_ended(self) -> None:
        """Let nobody wait for ever: what is unanswered ends with the reason."""
        self._look_for_room()
        for message in self.ring:
            if message.answer is not None and not message.answer.done():
                message.answer.set_exception(LineLostError(self.line.ended or "disconnected"))
