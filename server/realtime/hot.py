"""The short way of hot events: from the network to their handler, past everything they do not need.

What a message is was found out when one like it was read in full (`grooves.py`). From then on the
socket is read together with those of other clients (`harvest.py`). The limits of the connection
hold for both ways.
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
from server.realtime.harvest import CHARGED
from server.realtime.sheet import fits
from server.realtime.switch import Switch
from server.realtime.walk import Walk, small

TRIALS = 8
"""Messages of a client from which its pattern may be learned."""
_BINARY, _CLOSE = WSMsgType.BINARY, WSMsgType.CLOSE
NO_BERTH = 0, 0
"""No frame is taken there."""


def _nothing(seq: int, part: bytes) -> None:
    """Do nothing with what is for nobody."""


def _nowhere() -> tuple[int, int]:
    return NO_BERTH


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
        "berth",
        "descriptor",
        "guard",
        "hot",
        "sid",
    )

    def __init__(self, switch: Switch, clock: Clock, sid: str) -> None:
        super().__init__(clock, switch.took, switch.timed)
        self._switch = switch
        self.sid = sid
        self.guard: Guard
        self.hot: Hot | None = None
        self.descriptor = -1
        """Its socket while that is read with those of others; else below 0."""
        self.berth = _nowhere
        """Tells where its frames are taken together with others, and the key to it."""
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
        self.berth = _nowhere if hot is None or hot.berth is None else hot.berth
        self._groove, self._trials = None, TRIALS
        if not self.guard.packed:
            self._walk = None  # a text and a binary frame for each event: it is read by the loop

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

    @property
    def regular(self) -> Groove | None:
        """The pattern of its frames, while the next may be read by it."""
        held = not self._whole or self._holds or self.done or self._deaf
        return None if held else self._groove

    def data_received(self, data: bytes) -> None:
        """Take what the network brought."""
        super().data_received(data)
        if self._groove is not None:
            self._join_harvest()

    def _join_harvest(self) -> None:
        harvest, transport = self._switch.harvest, self._transport
        if harvest is None or transport is None or self.regular is None or self.descriptor >= 0:
            return
        socket = transport.get_extra_info("socket")
        # What TLS has in its hands cannot be seen from outside.
        if socket is None or transport.get_extra_info("sslcontext") or transport.is_closing():
            return
        if harvest.add(self, descriptor := socket.fileno()):
            self.descriptor = descriptor
            transport.pause_reading()

    def _leave_harvest(self) -> None:
        if self.descriptor >= 0 and self._switch.harvest is not None:
            descriptor, self.descriptor = self.descriptor, -1
            self._switch.harvest.remove(self, descriptor)

    def return_to_loop(self) -> None:
        """Be read by the loop again."""
        if self.descriptor >= 0:
            self._leave_harvest()
            transport = self._transport
            if not self._holds and transport is not None and not transport.is_closing():
                transport.resume_reading()

    def hold(self, why: int) -> None:
        """Read nothing more, for a reason, until it is taken back."""
        self._leave_harvest()
        super().hold(why)

    def finish(self) -> None:
        """Listen to nothing any more but the goodbye."""
        self.done = True
        self.return_to_loop()

    def shut(self) -> None:
        """Forget what was kept: nobody is there any more."""
        self._leave_harvest()
        super().shut()

    def collected(self, data: bytes, now: float) -> None:
        """Take what the network brought and others read, by itself."""
        self._now = now
        self.receive(data)

    def receive(self, data: bytes) -> None:
        """Take what the network brought."""
        if self._walk is not None:
            at = 0  # small messages before anything else go past the parser
            while self._whole and not (self._holds or self.done or self._deaf):
                found = small(data, at)
                if found is None:
                    break
                at = found[2]
                self.handle((found[0], found[1], None))
            if at == len(data):
                return
            if at:
                data = data[at:]
            self._whole = self._walk.follow(data)
        super().receive(data)

    def came(self, seq: int, part: bytes, data: bytes) -> None:
        """Take a hot event, or the frame it was read from where none may be handled now."""
        if self._holds or self.done:
            self.receive(data)
            return
        try:
            self.owe(1, len(data))
            if self._unpaid >= CHARGED:
                self._now = self._monotonic()
                self._charge(0, 0)
            self._call(seq, part)
        except Ended as ended:
            self._switch.end(self.sid, ended)
        except Exception as error:
            self.fault(error)

    def owe(self, messages: int, size: int) -> None:
        """Have the budget charged for frames, the next time it is."""
        self._unpaid += messages
        self._unpaid_bytes += size

    def settle(self) -> None:
        """Charge the budget."""
        self._now = self._monotonic()
        try:
            self._charge(0, 0)
        except Ended as ended:
            self._switch.end(self.sid, ended)

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
        """Return the hot event, which learns the pattern of a message if it is one of its own.

        Of those that are not read together with others none is learned.
        """
        hot = self.hot
        if hot is None or not self._trials or not fits(data) or not self.guard.packed:
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
