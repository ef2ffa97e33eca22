"""The short way of hot events: from the network to their handler, past everything they do not need.

What a message is was found out when one like it was read in full (`grooves.py`). A frame that looks
like it from outside is kept and read together with those of other clients (`lane.py`); otherwise it
is read by itself. The limits of the connection hold for both.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aiohttp import WSMsgType

from config.clock import Clock
from handlers.live.base import Hot
from server.realtime.gate import Gate, Message
from server.realtime.grooves import Groove, groove_of
from server.realtime.guard import Ended, Guard
from server.realtime.lane import Walk
from server.realtime.sheet import Sheet
from server.realtime.switch import Switch

TRIALS = 8
"""Messages of a client from which its pattern may be learned."""
CHARGED = 16
"""Hot events of which the budget is told together: it lies in memory of its own."""
_BINARY, _CLOSE = WSMsgType.BINARY, WSMsgType.CLOSE


def _nothing(seq: int, part: bytes) -> None:
    """Do nothing with what is for nobody."""


class HotGate(Gate):
    """The reading half of a lean connection."""

    __slots__ = (
        "_call",
        "_groove",
        "_switch",
        "_trials",
        "_unpaid",
        "_unpaid_bytes",
        "_walk",
        "_whole",
        "guard",
        "hot",
        "kept",
        "sid",
    )

    def __init__(self, switch: Switch, clock: Clock, sid: str) -> None:
        super().__init__(clock, switch.took, switch.timed)
        self._switch = switch
        self.sid = sid
        self.guard: Guard
        self.hot: Hot | None = None
        self.kept: Sheet | None = None
        """Where a frame is kept that is read with those of others in a moment."""
        self._call: Callable[[int, bytes], None] = _nothing
        self._groove: Groove | None = None
        self._trials = 0
        self._unpaid = self._unpaid_bytes = 0
        """Messages that the budget was not told of yet."""
        self._walk: Walk | None = Walk()
        self._whole = True
        """Whether what came ended with a whole message."""

    def serve(self, hot: Hot | None) -> None:
        """Serve this hot event from now on; None for none."""
        self.hot = hot
        self._call = _nothing if hot is None else hot.call
        self._groove, self._trials = None, TRIALS
        if not self.guard.packed:
            self._walk = None  # a text and a binary frame for each event: none is kept

    @abstractmethod
    def take(self, kind: WSMsgType, data: Any) -> None:
        """Take a message that is no hot event, or not known as one.

        Raises:
            Ended: the connection is over.
        """

    @abstractmethod
    def goodbye(self, code: int) -> None:
        """The client closes."""

    @abstractmethod
    def fault(self, error: Exception) -> None:
        """A message could not be handled."""

    def data_received(self, data: bytes) -> None:
        """Take what the network brought."""
        if self.kept is not None:
            self.look_at_kept()
        groove = self._groove
        if groove is not None and self._whole and not (self._holds or self.done or self._deaf):
            sheet = groove.sheets.get(len(data))
            if sheet is not None and data.startswith(sheet.head):
                self._switch.keep(self, sheet, data)
                return
        self.receive(data)

    def look_at_kept(self) -> None:
        """Read the frame that is kept, if there is one, by itself: what comes next is behind it."""
        if self.kept is not None:
            self.receive(self._switch.give(self))

    def receive(self, data: bytes) -> None:
        """Take what the network brought, by itself."""
        if self._walk is not None:
            self._whole = self._walk.follow(data)
        super().receive(data)

    def came(self, seq: int, part: bytes, data: bytes) -> None:
        """Take a hot event, or the frame it was read from where none may be handled now."""
        if self._holds or self.done:
            self.receive(data)
            return
        try:
            self._unpaid += 1
            self._unpaid_bytes += len(data)
            if self._unpaid >= CHARGED:
                self._now = self._monotonic()
                self._charge(0, 0)
            self._call(seq, part)
        except Ended as ended:
            self._switch.end(self.sid, ended)
        except Exception as error:
            self.fault(error)

    def handle(self, message: Message) -> None:
        """Handle a message; never raises."""
        kind, data, _ = message
        if self.done or kind is _CLOSE:
            if kind is _CLOSE:
                self.goodbye(data)
            return
        try:
            groove, guard = self._groove, self.guard
            hot = groove.read(data) if groove is not None and kind is _BINARY else None
            # A binary part belongs to the message that announced it.
            counts = hot or kind is not _BINARY or (guard.packet is None and guard.seq < 0)
            self._charge(1 if counts else 0, len(data))
            if hot is not None:
                self._call(*hot)
            else:
                self.take(kind, data)
        except Ended as ended:
            self._switch.end(self.sid, ended)
        except Exception as error:
            self.fault(error)

    def learning(self, data: bytes) -> Hot | None:
        """Return the hot event, which learns the pattern of a message if it is one of its own."""
        hot = self.hot
        if hot is None or not self.guard.packed or not self._trials:
            return hot
        event, call = hot.event, hot.call

        def learn(seq: int, part: bytes) -> None:
            self._trials -= 1
            self._groove = groove_of(data, event, seq, part)
            call(seq, part)

        return replace(hot, call=learn)

    def _charge(self, messages: int, size: int) -> None:
        messages, size = messages + self._unpaid, size + self._unpaid_bytes
        self._unpaid = self._unpaid_bytes = 0
        debt = self.guard.budget.take(messages, size, self._now)
        if debt > self.guard.floor:
            self._switch.slow_down(self.sid, self.guard, debt, self._now)
            if debt > 0:
                # Read on when it is paid: whoever floods is not served faster than the rate.
                self.wait(debt)
