"""One connection of the generator: its socket, what it is for, and what it has heard."""

import socket
from array import array
from dataclasses import dataclass, field

from tests.load.transport.motion import round_of
from tests.load.transport.speech import Dialect
from tests.load.transport.wire import PING as WS_PING
from tests.load.transport.wire import PONG, TEXT, Handshake, Reader, WireError, frame

ROUNDS = 512
"""Rounds whose times of sending are remembered: 17 s."""
RECEIVE = 1 << 16
SETUP_S = 20.0
"""How long a server may take over one answer while connections are made, seconds."""
CHUNK_S = 0.25
"""Frames are kept in chunks of this length: an `ack` is due then, not before."""


@dataclass(slots=True)
class Heard:
    """Latencies of a window, seconds, and what went wrong in it."""

    score: "array[float]" = field(default_factory=lambda: array("d"))
    feed: "array[float]" = field(default_factory=lambda: array("d"))
    ack: "array[float]" = field(default_factory=lambda: array("d"))
    answer: "array[float]" = field(default_factory=lambda: array("d"))
    troubles: dict[str, int] = field(default_factory=dict)

    def clear(self) -> None:
        """Begin anew; troubles stay."""
        self.score, self.feed, self.ack, self.answer = (array("d") for _ in range(4))

    def taken(self) -> "Heard":
        """Return what was heard and begin anew."""
        taken = Heard(self.score, self.feed, self.ack, self.answer, self.troubles)
        self.clear()
        self.troubles = {}
        return taken

    def trouble(self, what: str) -> None:
        """Count something that should not have been."""
        self.troubles[what] = self.troubles.get(what, 0) + 1


_HARMLESS = frozenset({"welcome", "peak", "rep", "advice", "snapshot", "live"})


class Conn:
    """A connection; also the ear of its dialect."""

    __slots__ = (
        "_dialect",
        "_early",
        "_out",
        "_reader",
        "_sock",
        "acked",
        "asked_at",
        "child",
        "fd",
        "feeds",
        "frames",
        "heard",
        "newest",
        "now",
        "over",
        "player",
        "scores",
        "sent",
        "sent_at",
        "seq",
        "seq_round",
        "session_id",
        "slot",
    )

    def __init__(self, dialect: Dialect, host: str, port: int, heard: Heard) -> None:
        self._dialect = dialect
        self._sock = socket.create_connection((host, port), timeout=SETUP_S)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = Reader()
        self._out = b""
        self._early: list[tuple[int, bytes]] = []
        self.over = False
        """Whether nothing more can come."""
        self.fd = self._sock.fileno()
        self.heard = heard
        self.now = 0.0
        """When the bytes being heard were there."""
        self.player: Conn | None = None
        """Whom a watcher watches; None for a player."""
        self.session_id = ""
        self.child = self.slot = 0
        self.frames = 1
        """Of a message."""
        self.seq = 0
        """Number of the next message."""
        self.seq_round = 0
        """What the round of a frame message is ahead of its seq."""
        self.sent = self.scores = self.feeds = 0
        self.newest = 0
        """Round of the last frame message of a watched session."""
        self.acked = 0
        """Highest seq that is kept."""
        self.sent_at = array("d", bytes(8 * ROUNDS))
        self.asked_at = 0.0

    # -- making the connection, step by step, each waiting for the server

    def upgrade(self, host: str, port: int, path: str) -> Handshake:
        """Ask for the WebSocket."""
        handshake = Handshake(host, port, path)
        self._sock.sendall(handshake.request)
        return handshake

    def upgraded(self, handshake: Handshake) -> None:
        """Wait for the WebSocket."""
        head = b""
        while b"\r\n\r\n" not in head:
            part = self._sock.recv(RECEIVE)
            if not part:
                raise WireError("the server closed the connection instead of upgrading it")
            head += part
        head, _, rest = head.partition(b"\r\n\r\n")
        self._reader = handshake.reader(head)
        self._early = self._reader.take(rest)

    def say(self, wire: bytes) -> None:
        """Send while the connection is being made."""
        if wire:
            self._sock.sendall(wire)

    def hear(self) -> list[tuple[int, bytes]]:
        """Wait for messages while the connection is being made; pings are answered."""
        if self._early:
            found, self._early = self._early, []
            return found
        data = self._sock.recv(RECEIVE)
        if not data:
            raise WireError("the server closed the connection")
        found = self._reader.take(data)
        if (TEXT, b"2") in found:
            self.pinged()
        return found

    def made(self) -> None:
        """From now on nothing waits."""
        self._sock.setblocking(False)

    @property
    def deflated(self) -> bool:
        """Whether the server agreed to compression."""
        return self._reader.deflated

    # -- the load

    def send(self, wire: bytes) -> None:
        """Send without waiting; what does not fit goes before the next message."""
        if self._out:
            wire = self._out + wire
        try:
            done = self._sock.send(wire)
        except BlockingIOError:
            done = 0
        except OSError as error:
            self.gone(f"lost: {error}")
            return
        self._out = wire[done:] if done < len(wire) else b""
        if self._out:
            self.heard.trouble("the server did not read")

    def ready(self, now: float) -> None:
        """There is something to read."""
        self.now = now
        try:
            data = self._sock.recv(RECEIVE)
        except BlockingIOError:
            return
        except OSError as error:
            self.gone(f"lost: {error}")
            return
        if not data:
            self.gone("the server closed the connection")
            return
        for opcode, content in self._reader.take(data):
            if opcode == WS_PING:
                self.send(frame(PONG, content))
            else:
                self._dialect.hear(self, opcode, content)

    def ask(self, wire: bytes, now: float) -> None:
        """Send an event that is answered, unless one still waits."""
        if not self.asked_at:
            self.asked_at = now
            self.send(wire)

    def close(self) -> None:
        """Hang up."""
        self._sock.close()

    # -- the ear

    def pinged(self) -> None:
        """The server wants to know whether we are there."""
        self.send(self._dialect.pong())

    def score(self, t_us: int) -> None:
        """A score: as old as the newest frame in it."""
        self.scores += 1
        self.heard.score.append(self.now - self.sent_at[round_of(t_us, self.frames) % ROUNDS])

    def feed(self, t_us: int) -> None:
        """A frame message of the watched session."""
        self.feeds += 1
        self.newest = round_of(t_us, self.frames)
        if self.player is not None:
            sent_at = self.player.sent_at[self.newest % ROUNDS]
            self.heard.feed.append(self.now - sent_at)

    def ack(self, buffered: int) -> None:
        """Everything up to `buffered` is kept: it was due a chunk after the first of them came."""
        if buffered > self.acked:
            first = self.sent_at[(self.acked + 1 + self.seq_round) % ROUNDS]
            self.heard.ack.append(max(0.0, self.now - first - CHUNK_S))
            self.acked = buffered

    def answer(self) -> None:
        """The answer to what was asked."""
        if self.asked_at:
            self.heard.answer.append(self.now - self.asked_at)
            self.asked_at = 0.0

    def event(self, name: str) -> None:
        """Any other event: some should not come."""
        if name not in _HARMLESS:
            self.heard.trouble(name)

    def gone(self, why: str) -> None:
        """The connection is over."""
        self.over = True
        self.heard.trouble(why)

    @property
    def left_out(self) -> int:
        """Frames of the watched session that have not come."""
        return 0 if self.player is None else self.player.sent - self.feeds

    def settled(self, scored: bool) -> bool:
        """Tell whether all that was sent was heard of.

        Args:
            scored: by a server that keeps frames, and may leave some of a feed out for newer ones.
        """
        if self.player is not None:
            last = self.player.seq - 1 + self.player.seq_round
            return self.newest >= last if scored else self.left_out == 0
        return self.acked >= self.seq - 1 if scored else self.scores >= self.sent // 10
