"""The reference client of `/game`: one session, played over as many connections as it takes.

Read this first when you write a client. What a client has to do, in the order of the code below:

1. Connect over WebSocket with `auth = {"token", "client"}`; the server's first event is `welcome`.
2. `session:open` names the child. From here on every message that may change a score carries a
   `seq` of the client's choice: 0, 1, 2, … without holes. If the answer is lost, open again with
   the same `client_key`: it is the same session.
3. Keep each message until an `ack` says that it is *stored*. `buffered` means that the server may
   die and the message lives; `stored` means that the power may fail. No more than `unacked`
   messages and `unacked_bytes` go out ahead of `buffered`.
4. `gap {expected}`, as an event for `frames` and as an error for the rest, means that the server
   has not seen `expected`: send everything again from there, in order, without a burst.
5. `busy` and `rate_limited` take no seq: wait, then send the same again. Every other error has
   taken its seq; go on with the next.
6. When the line is lost, come back (link.py) and `session:resume`. Ask again what still waits for
   its answer, under its old seq, then send on from `expected`. The game plays on meanwhile.
7. `session:close` answers with the result once all of it is stored. `busy` only asks for patience:
   asking again is safe, as every repetition is.
"""

import asyncio
import functools
import random
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp

from config.clock import Clock
from server.simulation.latency import Latencies
from server.simulation.ledger import Ledger
from server.simulation.line import ANSWER_S, Line, LineLostError, RefusedError
from server.simulation.link import PATIENCE_S, Link, Token
from server.simulation.outbox import Limits, Outbox, Tally
from server.simulation.ring import Message, Ring

RESUME_S = 10.0
"""How long a resume may take before another server is asked: it may rebuild a score, seconds."""
RETRY_MS = 250
"""Delay before sending again when the server names none."""
Transmitted = Callable[[bytes, float], None]
"""Gets a frame message and the monotonic seconds at which it was handed to a socket."""
Observer = Callable[[str, dict[str, Any]], None]
"""Gets every event of the server that is meant for the game: its name and its content."""


class Player:
    """One session of `/game`. One task at a time may use it."""

    def __init__(
        self,
        urls: str | Sequence[str],
        token: Token,
        *,
        clock: Clock,
        rng: random.Random | None = None,
        tally: Tally | None = None,
        ledger: Ledger | None = None,
        observer: Observer | None = None,
        transmitted: Transmitted | None = None,
        ack_latency: Latencies | None = None,
        http: aiohttp.ClientSession | None = None,
        patience_s: float | None = None,
        parser: str = "default",
    ) -> None:
        """Prepare a player; nothing is sent before `connect`.

        Args:
            urls: the servers, such as `http://127.0.0.1:8080`, tried in turn.
            token: an access token with the role guardian or child, or what returns a fresh one.
            rng: where the jitter comes from.
            tally: where to count; a new one by default.
            ledger: where to note what is sent and acknowledged.
            observer: called with `score`, `peak`, `rep`, `advice`, `steer` and the like.
            transmitted: called with each frame message handed to a socket, repetitions too.
            ack_latency: where to count the ack latency of this player's messages of any kind.
            http: an open session to share between many players.
            patience_s: how long after a loss another connection is sought; 0 ends with the first.
                By default as long as the server keeps a session without one.
            parser: of the packets; one of `line.PARSERS`.
        """
        self._clock = clock
        self._ledger = ledger
        self._observer = observer
        self._transmitted = transmitted
        self._follows_grace = patience_s is None
        self.tally = Tally() if tally is None else tally
        self.outbox = Outbox(
            clock=clock,
            tally=self.tally,
            ack_latency=Latencies() if ack_latency is None else ack_latency,
            emit=self._emit,
        )
        self.session_id = ""
        self.resume_token = ""
        self.sealed = False

        self.state: dict[str, Any] = {}
        """What the last resume said of the session."""

        self.link = Link(
            [urls] if isinstance(urls, str) else list(urls),
            token,
            "/game",
            clock=clock,
            rng=random.Random() if rng is None else rng,  # noqa: S311 - jitter, not a secret
            http=http,
            wire=self._wire,
            resume=self._resume,
            up=self.outbox.begin,
            down=self.outbox.rest,
            given_up=self.outbox.end,
            patience_s=PATIENCE_S if patience_s is None else patience_s,
            parser=parser,
        )

    @property
    def line(self) -> Line:
        """The connection in use, or the last one."""
        return self.link.line

    @property
    def ring(self) -> Ring:
        """The messages that are not stored yet."""
        return self.outbox.ring

    @property
    def limits(self) -> Limits:
        """What the server allows."""
        return self.outbox.limits

    # -- connection ----------------------------------------------------------------------------

    async def connect(self, patience_s: float = 0.0) -> dict[str, Any]:
        """Connect and return the content of `welcome`; errors as `Link.connect`."""
        return await self.link.connect(patience_s)

    async def disconnect(self) -> None:
        """Leave; safe at any time and twice."""
        self.outbox.end(LineLostError("we left"))
        await self.link.disconnect()

    def _wire(self, line: Line) -> None:
        line.on("welcome", self._on_welcome)
        line.on("ack", self._on_ack)
        line.on("gap", self._on_gap)
        line.on("refused", self._on_refused)
        line.on("slow_down", self._on_slow_down)
        for event in ("score", "peak", "rep", "advice", "steer"):
            line.on(event, functools.partial(self._on_play, event))

    def _on_welcome(self, content: dict[str, Any]) -> None:
        self.outbox.limits = self.limits.updated(content["limits"])

    def _take_limits(self, content: dict[str, Any]) -> None:
        """Take what the server allows the session, and how long it keeps it without us."""
        self.outbox.limits = self.limits.updated(content)
        if self._follows_grace:
            self.link.patience_s = self.limits.grace_s

    async def _resume(self, line: Line) -> None:
        """Take up the session on a new line; nothing to do before one is opened."""
        if not self.session_id:
            return
        asked = {"session_id": self.session_id, "resume_token": self.resume_token}
        answer = await line.call("session:resume", asked, RESUME_S)
        self.tally.resumes += 1
        self.state = answer["state"]
        self._take_limits(answer.get("limits", {}))
        expected, stored = answer["expected"], answer["stored"]
        if not self.outbox.resume(expected, stored):
            raise self._lost(expected)
        if self._ledger is not None:
            self._ledger.acknowledged(self.session_id, expected - 1, stored)
        if answer["outcome"] == "sealed":
            self._take_seal()

    def _take_seal(self) -> None:
        """The session is closed for good: by our own close, or because we were away too long."""
        result = self.state.get("result")
        if result is None:
            return  # not stored yet: asking `session:close` again gets the answer
        self.sealed = True
        for message in self.ring:
            if message.event == "session:close" and not message.settled and message.answer:
                message.answer.set_result(result)
        raise RefusedError("session_sealed", "the session was sealed while we were away")

    def _lost(self, expected: int) -> RefusedError:
        """Return the error of a server that asks for what it called stored, or never got."""
        words = f"the server asks for seq {expected} of {self.ring.start} to {self.ring.end}"
        return RefusedError("lost", words)

    # -- what a game does ----------------------------------------------------------------------

    async def open_session(self, **request: Any) -> dict[str, Any]:
        """Open the session (`session:open` of the contract, fields by keyword)."""
        answer = await self._opening(request)
        self.session_id = answer["session_id"]
        self.resume_token = answer.get("resume_token", "")
        self._take_limits(answer.get("limits", {}))
        if self._ledger is not None:
            self._ledger.opened(self.session_id, request["child_id"])
        return answer

    async def _opening(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask until there is an answer; it is the same session, by its `client_key`."""
        deadline = self._clock.monotonic() + self.link.patience_s
        while True:
            await self.link.until_up()
            line = self.line
            try:
                return await line.call("session:open", request)
            except LineLostError:
                if line.ended is None or "client_key" not in request:
                    raise
                await asyncio.sleep(0)  # the link has been told, and seeks the next line
            except RefusedError as refused:
                wait = self.link.wait_after(refused)
                if wait is None or self._clock.monotonic() + wait > deadline:
                    raise
                await asyncio.sleep(wait)

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
        self.outbox.mark(seq, seq)  # the answer itself says so, the last `ack` may come later
        self.sealed = True
        if self._ledger is not None:
            self._ledger.acknowledged(self.session_id, seq, seq)
            self._ledger.sealed(self.session_id, seq, result)
        return result

    # -- numbered messages ---------------------------------------------------------------------

    async def _ask(self, event: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a numbered event and wait for its final answer, over however many lines."""
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        await self._append(event, body, answer)
        wait_s = ANSWER_S + self.link.patience_s
        try:
            async with asyncio.timeout(wait_s):
                return await answer
        except TimeoutError:
            raise LineLostError(f"no answer to {event} within {wait_s:.0f} s") from None

    async def _append(
        self,
        event: str,
        body: bytes | dict[str, Any],
        answer: asyncio.Future[dict[str, Any]] | None = None,
    ) -> Message:
        """Number a message, note it, keep it, and send it as soon as it may go."""
        await self.outbox.until_room()
        message = self.ring.append(event, body, answer)
        if self._ledger is not None:
            self._ledger.message(self.session_id, message.seq, event, body)
        self.tally.sent += 1
        if isinstance(body, bytes):
            self.tally.frames += int.from_bytes(body[4:6], "little")
        await self.outbox.send_due()
        return message

    async def _emit(self, message: Message) -> None:
        if self._transmitted is not None and isinstance(message.body, bytes):
            self._transmitted(message.body, self._clock.monotonic())
        answered = None if message.answer is None else functools.partial(self._on_answer, message)
        await self.line.emit(message.event, (message.seq, message.body), answered)

    def _send_again(self, seq: int, error: dict[str, Any]) -> None:
        """Wait as long as a `busy` says, then send on from `seq`."""
        if not self.outbox.send_again(seq, error.get("retry_ms", RETRY_MS) / 1000):
            self.link.give_up(self._lost(seq))

    # -- what the server says ------------------------------------------------------------------

    def _on_answer(self, message: Message, answer: dict[str, Any]) -> None:
        """Handle the callback of a numbered event; a repetition may be answered twice."""
        if message.answer is None or message.answer.done():
            return
        if "ok" in answer:
            self.outbox.answered(message)
            message.answer.set_result(answer["ok"])
            return
        error = answer["error"]
        code: str = error["code"]
        if code == "gap":
            self._on_gap(error["details"])
        elif code in ("busy", "rate_limited"):
            if message.event != "session:close":  # there it only means: not all stored yet
                self.tally.refused += 1
            self._send_again(message.seq, error)
        else:
            self.outbox.answered(message)
            self._took_its_seq(message.seq, code)
            message.answer.set_exception(RefusedError.of(error))

    def _on_ack(self, marks: dict[str, int]) -> None:
        self.outbox.mark(marks["buffered"], marks["stored"])
        if self._ledger is not None:
            self._ledger.acknowledged(self.session_id, marks["buffered"], marks["stored"])

    def _on_gap(self, hole: dict[str, int]) -> None:
        self.tally.gaps += 1
        if not self.outbox.forfeit(hole["expected"]):
            self.link.give_up(self._lost(hole["expected"]))

    def _on_refused(self, refusal: dict[str, Any]) -> None:
        if refusal["code"] in ("busy", "rate_limited"):
            self.tally.refused += 1
            self._send_again(refusal["seq"], refusal)
        elif refusal["code"] == "session_sealed":  # nothing is taken any more
            self.link.give_up(RefusedError.of(refusal))
        else:
            self._took_its_seq(refusal["seq"], refusal["code"])

    def _took_its_seq(self, seq: int, code: str) -> None:
        self.tally.refused += 1
        if self._ledger is not None:
            self._ledger.refused(self.session_id, seq, code)

    def _on_slow_down(self, content: dict[str, Any]) -> None:
        self.tally.slow_downs += 1
        self.outbox.hold(content["delay_ms"] / 1000)

    def _on_play(self, event: str, content: dict[str, Any]) -> None:
        if self._observer is not None:
            self._observer(event, content)
