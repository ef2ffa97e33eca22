"""What a session shares with its row, where frames of many sessions are taken at once.

The row runs ahead: what it took is missing in the session until that catches up, which it does
before it looks at anything that depends on it.
"""

from abc import ABC, abstractmethod
from collections import deque
from itertools import count
from typing import Any

from config.settings import LiveSettings
from sessions.kept import Kept
from sessions.opened import Opened
from sessions.rows import LARGEST, RING, Rows
from sessions.sets import OpenSet
from sessions.terms import Message, Player, State

NO_BERTH = 0, 0
"""No frame is taken there."""
TWO_RINGS = 2 * RING
_keys = count(1)
"""Each connection that plays a session has another key, for good."""


class Berthed(ABC):
    """The half of a session that its row knows of."""

    __slots__ = (
        "_bytes", "_closing", "_cursor", "_expected", "_kept", "_key", "_limited", "_open_set",
        "_paused", "_player", "_roomy", "_rows", "_streams", "_taking", "_unacked_bytes",
        "_unacked_messages", "buffered", "id", "inbox", "like", "opened", "row", "state", "turn",
    )  # fmt: skip

    def __init__(self, opened: Opened, limits: LiveSettings) -> None:
        self.opened = opened
        self.id = opened.session_id
        self.state = State.IDLE
        self.buffered = -1
        self.inbox: deque[bytes | Message] = deque()
        """Messages without a hole from `cursor` on; a good `frames` is its bytes alone."""
        self.like = b""
        """A message whose header was found good: one that begins like it (`SHAPE_BYTES`) and is as
        long needs no other look."""
        self.turn = 0
        """At which turn, of those in the time of a chunk, its frames are appended."""
        self.row = -1
        """Its place among the sessions of its engine."""
        self._rows: Rows[Any] | None = None
        self._player: Player | None = None
        self._key = 0
        """Of the connection that plays it."""
        self._streams = False
        """Whether that has asked where its frames may be taken."""
        self._taking = False
        """Whether they are taken there now."""
        self._open_set: OpenSet | None = None
        self._paused = False
        self._expected = 0
        self._cursor = 0
        self._kept = Kept()
        self._bytes = 0
        """Of the messages that are not in Redis."""
        self._closing = False
        self._unacked_messages = limits.unacked_messages
        self._unacked_bytes = limits.unacked_bytes
        self._roomy = self._unacked_messages > TWO_RINGS < self._unacked_bytes // LARGEST
        """Whether the row may be filled again while all that it held is under way."""
        self._limited = False
        """Whether the row takes less than it has room for."""

    @property
    def expected(self) -> int:
        """The number of the next message."""
        self.catch_up()
        return self._expected

    @property
    def cursor(self) -> int:
        """The number up to which messages are done."""
        self.catch_up()
        return self._cursor

    @property
    def done(self) -> int:
        """The same, without taking note of what the row took: for who only looks."""
        taken = self._taking and self._rows is not None and self._rows.count(self.row)
        return self._cursor + taken

    @property
    def recent(self) -> list[bytes]:
        """The last frame messages, oldest first."""
        self.catch_up()
        return self._kept.recent()

    @property
    def player(self) -> Player | None:
        """The connection it is played through now. The row takes frames of no other."""
        return self._player

    @player.setter
    def player(self, player: Player | None) -> None:
        self._stop_taking()
        self._player, self._key, self._streams = player, next(_keys), False

    @property
    def open_set(self) -> OpenSet | None:
        """The set that is played."""
        return self._open_set

    @open_set.setter
    def open_set(self, open_set: OpenSet | None) -> None:
        self._open_set = open_set
        self._place()

    @property
    def paused(self) -> bool:
        """Whether frames are kept, but not scored."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._paused = paused
        self._place()

    def _place(self) -> None:
        if self._rows is not None:
            open_set = None if self._paused else self._open_set
            self._rows.place(self.row, None if open_set is None else open_set.slot)

    # -- the row

    def enter(self, rows: Rows[Any], row: int, turn: int) -> None:
        """Become a session of an engine, with a row of its own."""
        self._rows, self.row, self.turn = rows, row, turn
        self._place()

    def leave(self) -> None:
        """Be a session of no engine any more."""
        self._stop_taking()
        if self._rows is not None:
            self._rows.leave(self.row)
            self._rows, self.row = None, -1

    def berth(self) -> tuple[int, int]:
        """Return the row where frames of the player may be taken, and the key to it."""
        self._streams = True
        return NO_BERTH if self._rows is None else (self.row, self._key)

    def start_taking(self) -> None:
        """Have frames taken by the row, if the player streams and nothing is in the way."""
        rows = self._rows
        if rows is None or self._taking or not self._streams or self.inbox or self._closing:
            return
        if self.state is not State.SEALED and 0 < len(self.like) <= LARGEST:
            rows.open(self.row, self._key, self._expected, self.like)
            self._taking = True
            self._limit()

    def _stop_taking(self) -> None:
        if self._taking and self._rows is not None:
            self.catch_up()
            self._rows.shut(self.row)
            self._taking = False

    def _limit(self) -> None:
        if self._taking and self._rows is not None:
            # As `offer_frames` would say: what is taken leaves room for another like it.
            fit = (self._unacked_bytes - self._bytes) // len(self.like) - 1
            messages = self.buffered + self._unacked_messages - self._expected
            room = min(messages, fit, RING)
            self._limited = room < RING
            self._rows.limit(self.row, self._expected + room)

    def catch_up(self) -> None:
        """Take note of the frames that the row has taken."""
        if self._taking and self._rows is not None and self._rows.count(self.row):
            self.took(*self._rows.drain([self.row])[0])
            self.rouse()  # they are in no row any more: the tick has to see that they are appended

    @abstractmethod
    def rouse(self) -> None:
        """Be looked at by the next tick."""

    def took(self, count: int, packed: bytes) -> None:
        """Take note of frames that were drained from the row."""
        self._kept.extend(count, packed)
        self._expected += count
        self._cursor += count
        self._bytes += count * len(self.like)
        self._limit()
