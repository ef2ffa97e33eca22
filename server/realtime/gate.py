"""What comes over a connection, message by message, and the reasons to read nothing more."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType

from config.clock import Clock

PIECE = 4096
"""Bytes given to the parser at a time: what it finds after a stop is kept, and has to be little."""
WASTE_BYTES_S = 2_000_000
"""How fast is read on, to find the goodbye, what nobody looks at any more."""
JOIN, DEBT, ROOM = 1, 2, 4
"""Why nothing is read: a packet is waited for; the rate is overdrawn; its session has no room."""

Message = tuple[WSMsgType, Any, Any]
"""Kind, data, and what aiohttp adds."""


class Gate(asyncio.Protocol, ABC):
    """The reading half of a WebSocket: each message is handled in the moment it is whole.

    While there is a reason not to, nothing is read; what was read already is kept, which is at
    most one read of the loop (256 KB) and the messages of one piece of it.

    Args:
        took: told each time that something came; returns whether it is to be timed.
        timed: told the seconds it took to handle.
    """

    __slots__ = (
        "_deaf",
        "_held",
        "_holds",
        "_loop",
        "_monotonic",
        "_now",
        "_reader",
        "_stash",
        "_timed",
        "_timer",
        "_took",
        "_transport",
        "done",
    )

    def __init__(
        self, clock: Clock, took: Callable[[], bool], timed: Callable[[float], None]
    ) -> None:
        self._took = took
        self._timed = timed
        self._monotonic = clock.monotonic
        self._now = self._monotonic()
        """When the last of what came was read."""
        self._loop = asyncio.get_running_loop()
        self._reader: Any = None
        self._transport: asyncio.Transport | None = None
        self._holds = 0
        self._held: deque[Message] = deque()
        self._stash = b""
        self._timer: asyncio.TimerHandle | None = None
        self._deaf = False
        self.done = False
        """Whether nobody listens any more."""

    @abstractmethod
    def handle(self, message: Message) -> None:
        """Handle a message; never raises."""

    def released(self) -> None:
        """It is read again."""

    def data_received(self, data: bytes) -> None:
        """Take what the network brought."""
        timed = self._took()
        self._now = began = self._monotonic()
        self.receive(data)
        if timed:
            self._timed(self._monotonic() - began)

    def receive(self, data: bytes) -> None:
        """Hand what the network brought to the parser, or keep it."""
        if len(data) <= PIECE and not (self._holds or self.done or self._deaf):
            self._reader.feed_data(data)
        elif self._deaf:
            return
        elif self._holds:
            self._stash += data
            if self._transport is not None:
                self._transport.pause_reading()  # aiohttp may have had a reason to read on
        else:
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        for at in range(0, len(data), PIECE):
            if self._holds:
                self._stash = data[at:]
                return
            piece = data[at : at + PIECE]
            self._reader.feed_data(piece)
            if self.done:
                self.wait(len(piece) / WASTE_BYTES_S)

    def message(self, message: Message, _: int) -> None:
        """Take a message of the parser."""
        if self._holds:
            self._held.append(message)
        else:
            self.handle(message)

    def hold(self, why: int) -> None:
        """Read nothing more, for a reason, until it is taken back."""
        if not self._holds and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
        self._holds |= why

    def release(self, why: int) -> None:
        """Take a reason back; read on if it was the last."""
        if not self._holds & why:
            return
        self._holds &= ~why
        if self._holds or self._transport is None:
            return
        self._now = self._monotonic()
        self.released()
        while self._held and not self._holds:
            self.handle(self._held.popleft())
        if self._stash and not self._holds:
            data, self._stash = self._stash, b""
            self._feed(data)
        if not self._holds and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def wait(self, seconds: float) -> None:
        """Read nothing for so long."""
        self.hold(DEBT)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self.release, DEBT)

    def shut(self) -> None:
        """Forget what was kept: nobody is there any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._stash = b""
        self._held.clear()
        self._reader = None  # it calls us: a ring, which the garbage collector would have to find
