"""One live session: its inbox, its numbers, what waits to be appended, and its answers."""

from typing import Any

from config import metrics
from config.settings import LiveSettings
from models.errors import AppError, ErrorCode
from models.play.buffer import Append, Envelope
from models.play.records import Item
from sessions.answers import Answers, Reply, busy_error
from sessions.berth import Berthed
from sessions.opened import Opened
from sessions.packing import packed_marks
from sessions.terms import Message, State


class Session(Berthed):
    """The state of one session. Only the engine's tick changes it, apart from what is offered."""

    # A thousand of them are gone through often: what lies together is found sooner.
    __slots__ = (
        "_ack_s", "_bytes_cut", "_envelope", "_gap_told", "_linger_s", "_pending", "_seal",
        "_seal_landed", "_stored_s", "advised", "answers", "awake", "detached_at", "in_turn",
        "inflight", "last_set_no", "records", "result", "sealed_at", "stored", "token", "told",
        "told_at", "urgent", "woken",
    )  # fmt: skip

    def __init__(self, opened: Opened, limits: LiveSettings, token: int) -> None:
        super().__init__(opened, limits)
        self.token = token
        self._envelope = Envelope(self.id, token)
        self.records: list[dict[str, Any]] = []
        self.last_set_no = 0
        self.awake = False
        self.woken: list[Session] = []
        """Where the session puts itself when it has something in its inbox: the engine's list."""
        self.in_turn = False
        """Whether that turn will find it."""
        self.stored = -1
        self.inflight: Append | None = None
        self.answers = Answers()
        self.told = (-1, -1)
        self.told_at = 0.0
        self.advised: str | None = None
        self.detached_at: float | None = None
        self.sealed_at: float | None = None
        self.result: dict[str, Any] | None = None
        self.urgent = False
        """Something waits that is appended at once, with the frames before it."""
        self._ack_s = limits.ack_ms / 1000
        self._stored_s = max(limits.ack_ms, 2 * limits.chunk_ms) / 1000
        self._linger_s = limits.linger_seconds
        self._pending: list[Item] = []
        self._bytes_cut = 0
        self._gap_told = -1
        self._seal = False
        self._seal_landed = False

    # -- intake: called by the edge, in the order of arrival

    def offer_frames(self, seq: int, payload: bytes) -> bool:
        """Take a `frames` message that nobody waits for an answer to, as `offer` does.

        True if it was taken and there is room for another like it.
        """
        self.catch_up()
        size = len(payload)
        held = self._bytes + size
        if (
            seq == self._expected
            and not self._closing
            and seq - self.buffered < self._unacked_messages
            and held + size <= self._unacked_bytes
        ):
            self._expected = seq + 1
            self._bytes = held
            self.inbox.append(payload)
            self._wake()
            return True
        taken = self.offer(Message(seq, "frames", payload), size, None, 0.0)
        return taken and not self.full(size)

    def offer(self, message: Message, size: int, reply: Reply | None, deadline: float) -> bool:
        """Take a message if it is the next one; tell the client otherwise. True if taken."""
        self.catch_up()
        if message.seq < self._expected:
            if reply is not None:
                self.answers.ask_again(message.seq, reply, deadline)
                self._wake()  # its engine looks after what is owed
                self.answers.settle(self.buffered, self.stored)
            return False
        if self.state is State.SEALED or self._closing:
            self._refuse(message.seq, reply, sealed_error())
            return False
        if message.seq > self._expected:
            self._tell_gap(reply)
            return False
        if self.full(size):
            self._refuse(message.seq, reply, busy_error())
            return False
        self._expected += 1
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
        self.catch_up()
        return (
            self._expected - self.buffered > self._unacked_messages
            or self._bytes + size > self._unacked_bytes
        )

    def take_up(self, last: int, stored: int) -> None:
        """Go on after message `last`, as the session was left by another owner."""
        self._expected = self._cursor = last + 1
        self.buffered = last
        self.stored = stored

    def abandon(self) -> None:
        """Close without the client: what is in the inbox still counts, nothing more is taken."""
        if self.state is not State.SEALED and not self._closing:
            self.catch_up()
            self._closing = True
            self.inbox.append(Message(self._expected, "abandon", None))
            self._wake()

    def _wake(self) -> None:
        self._stop_taking()  # nothing may overtake what is in the inbox
        self.rouse()

    def rouse(self) -> None:
        """Be looked at by the next tick."""
        if not self.awake:
            self.awake = True
            self.woken.append(self)

    def _tell_gap(self, reply: Reply | None) -> None:
        error = AppError(
            ErrorCode.GAP,
            "Messages are missing before this one; send again from `expected`.",
            details={"expected": self._expected},
        )
        if reply is not None:
            reply(error)
        elif self._gap_told != self._expected:
            self._gap_told = self._expected
            metrics.GAPS.inc()
            self.send("gap", {"expected": self._expected})

    def _refuse(self, seq: int, reply: Reply | None, error: AppError) -> None:
        metrics.MESSAGES_REFUSED.labels(error.code).inc()
        if reply is not None:
            reply(error)
        else:
            self.send("refused", {"seq": seq, **error.body()})

    # -- what waits to be appended: called by the tick

    def keep_frames(self, payload: bytes) -> None:
        """Add the next message, a good `frames`, to the open chunk."""
        self._kept.add(payload)
        self._cursor += 1

    def keep_items(self, items: list[Item], next_seq: int, time_us: int) -> None:
        """Add documents behind the frames so far; they are appended at once."""
        self._end_chunk(time_us)
        self._pending += items
        self._cursor = next_seq
        self.urgent = True

    def seal(self) -> None:
        """Make the next append the last."""
        self._seal = True
        self.urgent = True

    def _end_chunk(self, time_us: int) -> None:
        if count := self._kept.count:
            packed = self._kept.end()
            first = self._cursor - count
            self._pending.append(self._envelope.chunk(first, count, packed, time_us))

    @property
    def holds(self) -> bool:
        """Whether anything waits to be appended, apart from what its row has."""
        return self.urgent or self._kept.count > 0

    def cut(self, time_us: int, count: int = 0, packed: bytes = b"") -> Append:
        """Take everything that waits as one append, which stays `inflight` until it is known.

        Args:
            count, packed: what its row had, drained just now.
        """
        if count:
            if not self.holds:
                return self._cut_drained(time_us, count, packed)
            self.took(count, packed)
        self.catch_up()
        self._end_chunk(time_us)
        self.inflight = Append(
            self.id,
            self.token,
            self.buffered + 1,
            self._cursor - 1,
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

    def _cut_drained(self, time_us: int, count: int, packed: bytes) -> Append:
        """Do so where nothing waits but what the row had: all else is in Redis."""
        first = self._cursor
        self._cursor = self._expected = first + count
        self._kept.passed(count, packed)
        self._bytes = self._bytes_cut = count * len(self.like)
        if not self._roomy:
            self._limit()
        self.inflight = cut = self._envelope.append(first, count, packed, time_us, self.stored)
        return cut

    def landed(self) -> None:
        """The append in flight is in Redis."""
        inflight = self.inflight
        if inflight is None:
            return
        self.buffered = inflight.last
        self._seal_landed = inflight.seal
        self.inflight = None
        self._bytes -= self._bytes_cut
        if self._limited:
            self._limit()
        if self.answers.owed:
            self.answers.settle(self.buffered, self.stored)

    def reached(self, stored: int) -> None:
        """Everything up to message `stored` is in MongoDB."""
        self.stored = stored
        if self.answers.owed:
            self.answers.settle(self.buffered, stored)

    # -- what is told

    def tell_marks(self, now: float) -> bool:
        """Tell both marks if one moved; False while it is too soon.

        `stored` alone waits for the next `buffered` to go with it, for a while: it follows at
        the same pace, and what is written to a connection is the dearest that is done for it.
        """
        buffered, stored = marks = self.buffered, self.stored
        if marks != self.told:
            if now - self.told_at < (self._ack_s if buffered != self.told[0] else self._stored_s):
                return False
            self.told, self.told_at = marks, now
            self.tell("ack", packed_marks(buffered, stored))
        return True

    def over(self, now: float) -> bool:
        """Whether a sealed session is stored, and nobody is there to ask again."""
        # The seal of an abandoned session carries no message: the marks say nothing of it.
        if self.sealed_at is None or not self._seal_landed or self.stored < self.cursor - 1:
            return False
        return self.player is None or now - self.sealed_at > self._linger_s

    def send(self, event: str, *args: object) -> None:
        """Send to the player, if there is one."""
        if self._player is not None:
            self._player.send(event, *args)

    def tell(self, event: str, body: bytes) -> None:
        """Send an event whose argument is msgpack already."""
        if self._player is not None:
            self._player.tell(event, body)


def sealed_error() -> AppError:
    """The session is closed for good."""
    return AppError(ErrorCode.SESSION_SEALED, "This session is closed; open a new one.")
