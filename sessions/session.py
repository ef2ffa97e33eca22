"""One live session: its inbox, its numbers, what waits to be appended, and its answers."""

from collections import deque
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
from sessions.answers import Answers, Reply, busy_error
from sessions.fresh import Fresh
from sessions.packing import packed_marks
from sessions.sets import OpenSet

FRAMES_KEPT = 8
"""Frame messages kept for the snapshot of a joining watcher."""


class Player(Protocol):
    """The connection a session is played through."""

    def send(self, event: str, *args: object) -> None:
        """Send an event; never waits."""
        ...

    def tell(self, event: str, body: bytes) -> None:
        """Send an event whose argument is msgpack already; never waits."""
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
    """A numbered message. `error` is set when the edge found it malformed."""

    seq: int
    event: str
    payload: Any
    error: AppError | None = None
    size: int = 0
    """What it counts for in the session's room, bytes."""


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
    """The state of one session. Only the engine's tick changes it, apart from what is offered."""

    # A thousand of them are gone through 50 times a second: what lies together is found sooner.
    __slots__ = (
        "_ack_s", "_bytes", "_bytes_cut", "_chunk", "_closing", "_gap_told", "_linger_s", "_past",
        "_pending", "_seal", "_seal_landed", "_stored_s", "_unacked_bytes", "_unacked_messages",
        "advised", "answers", "awake", "buffered", "cursor", "detached_at", "expected", "fresh",
        "id", "in_turn", "inbox", "inflight", "last_set_no", "opened", "paused", "player",
        "records", "result", "score_at", "score_phase", "sealed_at", "set", "shape", "shape_size",
        "state", "stored", "token", "told", "told_at", "turn", "urgent", "woken",
    )  # fmt: skip

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
        self.inbox: deque[bytes | Message] = deque()
        """Messages without a hole from `cursor` on; a good `frames` is its bytes alone."""
        self.awake = False
        self.woken: list[Session] = []
        """Where the session puts itself when it has something in its inbox: the engine's list."""
        self.fresh = Fresh()
        """Where it puts frames that the engine gathers: the engine's as well."""
        self.turn = 0
        """At which turn, of those in the time of a chunk, its frames are appended."""
        self.in_turn = False
        """Whether that turn will find it."""
        self.shape = b""
        """How a header began that was found good, `SHAPE_BYTES` long, and how long its message was;
        such messages need no other look."""
        self.shape_size = -1
        self.expected = 0
        self.cursor = 0
        self.buffered = -1
        self.stored = -1
        self.inflight: Append | None = None
        self.answers = Answers()
        self.told = (-1, -1)
        self.told_at = 0.0
        self.score_at = 0.0
        """When the player is told the next score, monotonic."""
        self.score_phase = 0.0
        """Where in the period of the scores those of this session come, 0..1."""
        self.advised: str | None = None
        self.detached_at: float | None = None
        self.sealed_at: float | None = None
        self.result: dict[str, Any] | None = None
        self.urgent = False
        """Something waits that is appended at once, with the frames before it."""
        self._unacked_messages = limits.unacked_messages
        self._unacked_bytes = limits.unacked_bytes
        self._ack_s = limits.ack_ms / 1000
        self._stored_s = max(limits.ack_ms, 2 * limits.chunk_ms) / 1000
        self._linger_s = limits.linger_seconds
        self._pending: list[Item] = []
        self._chunk: list[bytes] = []
        self._past: list[bytes] = []
        """Frame messages of the chunks before it, the last few."""
        self._bytes = 0
        self._bytes_cut = 0
        self._gap_told = -1
        self._seal = False
        self._seal_landed = False
        self._closing = False

    # -- intake: called by the edge, in the order of arrival

    def offer_frames(self, seq: int, payload: bytes) -> bool:
        """Take a `frames` message that nobody waits for an answer to, as `offer` does.

        True if it was taken and there is room for another like it.
        """
        size = len(payload)
        held = self._bytes + size
        if (
            seq == self.expected
            and not self._closing
            and seq - self.buffered < self._unacked_messages
            and held + size <= self._unacked_bytes
        ):
            self.expected = seq + 1
            self._bytes = held
            fresh = self.fresh
            if (
                fresh.open
                and size == self.shape_size
                and not self.inbox
                and payload.startswith(self.shape)
            ):
                self.cursor = seq + 1
                self._chunk.append(payload)
                fresh.sessions.append(self)
                fresh.payloads.append(payload)
                if not self.in_turn:
                    fresh.undue.append(self)
                return True
            self.inbox.append(payload)
            if not self.awake:
                self.awake = True
                self.woken.append(self)
            return True
        taken = self.offer(Message(seq, "frames", payload), size, None, 0.0)
        return taken and not self.full(size)

    def offer(self, message: Message, size: int, reply: Reply | None, deadline: float) -> bool:
        """Take a message if it is the next one; tell the client otherwise. True if taken."""
        if message.seq < self.expected:
            if reply is not None:
                self.answers.ask_again(message.seq, reply, deadline)
                self.answers.settle(self.buffered, self.stored)
            return False
        if self.state is State.SEALED or self._closing:
            self._refuse(message.seq, reply, sealed_error())
            return False
        if message.seq > self.expected:
            self._tell_gap(reply)
            return False
        if self.full(size):
            self._refuse(message.seq, reply, busy_error())
            return False
        self.expected += 1
        self._bytes += size
        message.size = size
        closes = message.event == "session:close" and message.error is None
        self._closing = closes
        if reply is not None:
            self.answers.expect(message.seq, reply, deadline, at_stored=closes)
        if message.event == "frames" and message.error is None:
            self.inbox.append(message.payload)
            self.answers.resolve(message.seq, {})
        else:
            self.inbox.append(message)
        self._wake()
        return True

    def full(self, size: int) -> bool:
        """Tell whether there is no room for a message of so many bytes."""
        return (
            self.expected - self.buffered > self._unacked_messages
            or self._bytes + size > self._unacked_bytes
        )

    def take_up(self, last: int, stored: int) -> None:
        """Go on after message `last`, as the session was left by another owner."""
        self.expected = self.cursor = last + 1
        self.buffered = last
        self.stored = stored

    def abandon(self) -> None:
        """Close without the client: what is in the inbox still counts, nothing more is taken."""
        if self.state is not State.SEALED and not self._closing:
            self._closing = True
            self.inbox.append(Message(self.expected, "abandon", None))
            self._wake()

    def _wake(self) -> None:
        if not self.awake:
            self.awake = True
            self.woken.append(self)

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

    def keep_frames(self, payload: bytes) -> None:
        """Add the next message, a good `frames`, to the open chunk."""
        self._chunk.append(payload)
        self.cursor += 1

    @property
    def recent(self) -> list[bytes]:
        """The last frame messages, oldest first."""
        return [*self._past, *self._chunk][-FRAMES_KEPT:]

    def keep_items(self, items: list[Item], next_seq: int, time_us: int) -> None:
        """Add documents behind the frames so far; they are appended at once."""
        self._end_chunk(time_us)
        self._pending += items
        self.cursor = next_seq
        self.urgent = True

    def seal(self) -> None:
        """Make the next append the last."""
        self._seal = True
        self.urgent = True

    def _end_chunk(self, time_us: int) -> None:
        if self._chunk:
            first = self.cursor - len(self._chunk)
            self._pending.append(chunk_item(self.id, first, self._chunk, time_us))
            self._past, self._chunk = self.recent, []

    @property
    def holds(self) -> bool:
        """Whether anything waits to be appended."""
        return self.urgent or bool(self._chunk)

    def cut(self, time_us: int) -> Append:
        """Take everything that waits as one append, which stays `inflight` until it is known."""
        self._end_chunk(time_us)
        self.inflight = Append(
            self.id,
            self.token,
            self.buffered + 1,
            self.cursor - 1,
            self._seal,
            self._pending,
            self.stored,
        )
        self._pending = []
        self.urgent = False
        self._bytes_cut = self._bytes
        for message in self.inbox:
            self._bytes_cut -= len(message) if isinstance(message, bytes) else message.size
        return self.inflight

    def landed(self) -> None:
        """The append in flight is in Redis."""
        if self.inflight is None:
            return
        self.buffered = self.inflight.last
        self._seal_landed = self.inflight.seal
        self.inflight = None
        self._bytes -= self._bytes_cut
        self.answers.settle(self.buffered, self.stored)

    def reached(self, stored: int) -> None:
        """Everything up to message `stored` is in MongoDB."""
        self.stored = stored
        self.answers.settle(self.buffered, stored)

    # -- what is told

    def tell_marks(self, now: float) -> bool:
        """Tell both marks if one moved; False while it is too soon.

        `stored` alone waits for the next `buffered` to go with it, for a while: it follows at
        the same pace, and what is written to a connection is the dearest that is done for it.
        """
        since = now - self.told_at
        marks = (self.buffered, self.stored)
        if marks != self.told:
            if since < (self._ack_s if marks[0] != self.told[0] else self._stored_s):
                return False
            self.told, self.told_at = marks, now
            self.tell("ack", packed_marks(*marks))
        return True

    def over(self, now: float) -> bool:
        """Whether a sealed session is stored, and nobody is there to ask again."""
        # The seal of an abandoned session carries no message: the marks say nothing of it.
        if self.sealed_at is None or not self._seal_landed or self.stored < self.cursor - 1:
            return False
        return self.player is None or now - self.sealed_at > self._linger_s

    def send(self, event: str, *args: object) -> None:
        """Send to the player, if there is one."""
        if self.player is not None:
            self.player.send(event, *args)

    def tell(self, event: str, body: bytes) -> None:
        """Send an event whose argument is msgpack already."""
        if self.player is not None:
            self.player.tell(event, body)


def sealed_error() -> AppError:
    """The session is closed for good."""
    return AppError(ErrorCode.SESSION_SEALED, "This session is closed; open a new one.")
