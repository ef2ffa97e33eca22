"""One live session: its inbox, its numbers, what waits to be appended, and its answers."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from config import metrics
from config.settings import LiveSettings
from models.children.records import alias_of
from models.errors import AppError, ErrorCode
from models.play.buffer import Append
from models.play.records import Item, chunk_item
from models.therapy.rules import Therapy
from sessions.sets import OpenSet

ANSWERS_KEPT = 64
"""Answers kept for a client that asks again."""
FRAMES_KEPT = 8
"""Frame messages kept for the snapshot of a joining watcher."""

Reply = Callable[[dict[str, Any] | AppError], None]


class Player(Protocol):
    """The connection a session is played through."""

    def send(self, event: str, *args: object) -> None:
        """Send an event; never waits."""
        ...

    def end(self, event: str, error: AppError) -> None:
        """Tell why in `event` (`closed`, `superseded`), then close the connection."""
        ...


class State(Enum):
    """Where a session stands."""

    IDLE = "idle"
    PLAYING = "playing"
    SEALED = "sealed"


TRANSITIONS: dict[tuple[State, str], State] = {
    (State.IDLE, "set:start"): State.PLAYING,
    (State.PLAYING, "set:end"): State.IDLE,
    (State.IDLE, "session:pause"): State.IDLE,
    (State.PLAYING, "session:pause"): State.PLAYING,
    (State.IDLE, "session:close"): State.SEALED,
    (State.PLAYING, "session:close"): State.SEALED,
    (State.IDLE, "abandon"): State.SEALED,
    (State.PLAYING, "abandon"): State.SEALED,
}
"""What may happen when; anything else is refused with `conflict`. `abandon` is the server's own."""


@dataclass(slots=True)
class Message:
    """A numbered message in the inbox. `error` is set when the edge found it malformed."""

    seq: int
    event: str
    payload: Any
    error: AppError | None = None


@dataclass(slots=True)
class Outcome:
    """The answer to an event, given once its message is `buffered` (a close: `stored`)."""

    seq: int
    answer: dict[str, Any] | AppError | None = None
    at_stored: bool = False
    waiting: list[tuple[Reply, float]] = field(default_factory=list)
    """Replies owed, each with the monotonic time after which `busy` is said instead."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What `session:open` settled for the whole session; stored as its document."""

    session_id: str
    child_id: str
    alias: str
    user_id: str
    kind: str
    space: Any
    fps: float
    resume_token: str
    """Told to the player; only its hash is stored."""
    document: dict[str, Any]
    therapy: Therapy = field(default_factory=Therapy)
    """What was known of the child's hands at the opening, and what its sets calibrated since."""


def opened_of(document: dict[str, Any], therapy: Therapy, resume_token: str) -> Opened:
    """Return what a session's document says, as the engine wants it."""
    return Opened(
        session_id=document["_id"],
        child_id=document["child_id"],
        alias=document.get("alias") or alias_of(document["child_id"]),
        user_id=document["opened_by"],
        kind=document["kind"],
        space=document["space"],
        fps=document["fps"],
        resume_token=resume_token,
        document=document,
        therapy=therapy,
    )


class Session:
    """The state of one session. Only the engine's tick changes it, apart from `offer`."""

    def __init__(self, opened: Opened, limits: LiveSettings, token: int) -> None:
        self.opened = opened
        self.id = opened.session_id
        self.token = token
        self.player: Player | None = None
        self.state = State.IDLE
        self.paused = False
        self.set: OpenSet | None = None
        self.records: list[dict[str, Any]] = []
        self.last_set_no = 0
        self.inbox: deque[Message] = deque()
        self.expected = 0
        self.cursor = 0
        self.buffered = -1
        self.stored = -1
        self.inflight: Append | None = None
        self.outcomes: dict[int, Outcome] = {}
        self.recent: deque[bytes] = deque(maxlen=FRAMES_KEPT)
        self.told = (-1, -1)
        self.told_at = 0.0
        self.scored_at = 0.0
        self.advised: str | None = None
        self.detached_at: float | None = None
        self.snapshot_at = 0.0
        self.sealed_at: float | None = None
        self.result: dict[str, Any] | None = None
        self._limits = limits
        self._pending: list[Item] = []
        self._chunk: list[bytes] = []
        self._chunk_first = 0
        self._due: float | None = None
        self._sizes: deque[tuple[int, int]] = deque()
        self._bytes = 0
        self._gap_told = -1
        self._seal = False
        self._seal_landed = False
        self._closing = False

    # -- intake: called by the edge, in the order of arrival

    def offer(self, message: Message, size: int, reply: Reply | None, deadline: float) -> bool:
        """Take a message if it is the next one; tell the client otherwise. True if taken."""
        if message.seq < self.expected:
            self._answer_again(message.seq, reply, deadline)
            return False
        if self.state is State.SEALED or self._closing:
            self._refuse(message.seq, reply, sealed_error())
            return False
        if message.seq > self.expected:
            self._tell_gap(reply)
            return False
        waiting = self.expected - 1 - self.buffered
        if (
            waiting >= self._limits.unacked_messages
            or self._bytes + size > self._limits.unacked_bytes
        ):
            self._refuse(message.seq, reply, busy_error())
            return False
        self.expected += 1
        self._sizes.append((message.seq, size))
        self._bytes += size
        self._closing = message.event == "session:close"
        self.inbox.append(message)
        metrics.MESSAGES.inc()
        if reply is not None:
            outcome = Outcome(message.seq, at_stored=message.event == "session:close")
            outcome.waiting.append((reply, deadline))
            self._keep(outcome)
        return True

    def take_up(self, last: int, stored: int) -> None:
        """Go on after message `last`, as the session was left by another owner."""
        self.expected = self.cursor = last + 1
        self.buffered = last
        self.stored = stored

    def answered(self, seq: int, answer: dict[str, Any] | AppError) -> None:
        """Know the answer to a message of before, for a client that asks again."""
        self._keep(Outcome(seq, answer))

    def abandon(self) -> None:
        """Close without the client: what is in the inbox still counts, nothing more is taken."""
        if self.state is not State.SEALED and not self._closing:
            self._closing = True
            self.inbox.append(Message(self.expected, "abandon", None))

    def _keep(self, outcome: Outcome) -> None:
        self.outcomes[outcome.seq] = outcome
        while len(self.outcomes) > ANSWERS_KEPT:
            del self.outcomes[next(iter(self.outcomes))]

    def _answer_again(self, seq: int, reply: Reply | None, deadline: float) -> None:
        if reply is None:
            return
        outcome = self.outcomes.get(seq)
        if outcome is None:
            reply({})
            return
        outcome.waiting.append((reply, deadline))
        self.settle_outcomes()

    def _tell_gap(self, reply: Reply | None) -> None:
        error = AppError(
            ErrorCode.GAP,
            "Messages are missing before this one; send again from `expected`.",
            details={"expected": self.expected},
        )
        if reply is not None:
            reply(error)
        elif self._gap_told != self.expected:
            self._gap_told = self.expected
            metrics.GAPS.inc()
            self.send("gap", {"expected": self.expected})

    def _refuse(self, seq: int, reply: Reply | None, error: AppError) -> None:
        metrics.MESSAGES_REFUSED.labels(error.code).inc()
        if reply is not None:
            reply(error)
        else:
            self.send("refused", {"seq": seq, **error.body()})

    # -- what waits to be appended: called by the tick

    def keep_frames(self, message: Message, now: float) -> None:
        """Add a `frames` message to the open chunk."""
        if not self._chunk:
            self._chunk_first = message.seq
            if self._due is None:
                self._due = now + self._limits.chunk_ms / 1000
        self._chunk.append(message.payload)
        self.cursor = message.seq + 1
        self.resolve(message.seq, {})

    def keep_items(self, items: list[Item], next_seq: int, time_us: int) -> None:
        """Add documents behind the frames so far; they are appended at once."""
        self._end_chunk(time_us)
        self._pending += items
        self.cursor = next_seq
        self._due = 0.0

    def seal(self) -> None:
        """Make the next append the last."""
        self._seal = True
        self._due = 0.0

    def _end_chunk(self, time_us: int) -> None:
        if self._chunk:
            self._pending.append(chunk_item(self.id, self._chunk_first, self._chunk, time_us))
            self._chunk = []

    def due(self, now: float) -> bool:
        """Tell whether an append may start now."""
        return self.inflight is None and self._due is not None and now >= self._due

    def cut(self, time_us: int) -> Append:
        """Take everything that waits as one append, which stays `inflight` until it is known."""
        self._end_chunk(time_us)
        self.inflight = Append(
            self.id,
            self.token,
            self.buffered + 1,
            self.cursor - 1,
            self._seal,
            tuple(self._pending),
            self.stored,
        )
        self._pending = []
        self._due = None
        return self.inflight

    def landed(self) -> None:
        """The append in flight is in Redis."""
        if self.inflight is None:
            return
        self.buffered = self.inflight.last
        self._seal_landed = self.inflight.seal
        self.inflight = None
        while self._sizes and self._sizes[0][0] <= self.buffered:
            self._bytes -= self._sizes.popleft()[1]
        self.settle_outcomes()

    # -- answers

    def resolve(self, seq: int, answer: dict[str, Any] | AppError) -> None:
        """Set the answer to a message; it is given when its mark is reached."""
        outcome = self.outcomes.get(seq)
        if outcome is not None:
            outcome.answer = answer

    def settle_outcomes(self) -> None:
        """Give the answers whose mark is reached."""
        for outcome in self.outcomes.values():
            mark = self.stored if outcome.at_stored else self.buffered
            if outcome.waiting and outcome.answer is not None and outcome.seq <= mark:
                for reply, _ in outcome.waiting:
                    reply(outcome.answer)
                outcome.waiting.clear()

    def expire_replies(self, now: float) -> None:
        """Say `busy` to those who have waited too long; asking again is safe."""
        for outcome in self.outcomes.values():
            late = [reply for reply, deadline in outcome.waiting if now > deadline]
            if late:
                outcome.waiting = [w for w in outcome.waiting if now <= w[1]]
                for reply in late:
                    reply(busy_error())

    def tell_marks(self, now: float) -> bool:
        """Tell both marks if one moved; False while it is too soon after the last time."""
        if (now - self.told_at) * 1000 < self._limits.ack_ms:
            return False
        marks = (self.buffered, self.stored)
        if marks != self.told:
            self.told, self.told_at = marks, now
            self.send("ack", {"buffered": marks[0], "stored": marks[1]})
        return True

    def over(self, now: float) -> bool:
        """Whether a sealed session is stored, and nobody is there to ask again."""
        # The seal of an abandoned session carries no message: the marks say nothing of it.
        if self.sealed_at is None or not self._seal_landed or self.stored < self.cursor - 1:
            return False
        return self.player is None or now - self.sealed_at > self._limits.linger_seconds

    def send(self, event: str, *args: object) -> None:
        """Send to the player, if there is one."""
        if self.player is not None:
            self.player.send(event, *args)


def busy_error() -> AppError:
    """The store does not keep up or does not answer: the message took no number."""
    return AppError(ErrorCode.BUSY, "The server cannot take this now; send it again.", retry_ms=500)


def sealed_error() -> AppError:
    """The session is closed for good."""
    return AppError(ErrorCode.SESSION_SEALED, "This session is closed; open a new one.")
