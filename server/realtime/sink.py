"""What waits to be written to a connection, and how it goes: once a turn of the loop."""

import asyncio
from collections import deque
from collections.abc import Callable

from config.settings import SocketSettings
from server.realtime.wire import Outgoing

BURST_BYTES = 65_536
"""Bytes written at a time before it is asked whether the transport still takes more."""


class Sink:
    """The packets that wait for one client, bounded by whoever puts them in.

    Args:
        soon: calls its `flush` at the end of this turn of the loop.
        overflow: told that there is no room for one that may be left out, or may not; returns
            whether it has to be queued all the same.
        now: monotonic seconds.
    """

    __slots__ = (
        "_best",
        "_most_bytes",
        "_most_packets",
        "_moved_at",
        "_overflow",
        "_queued",
        "_size",
        "_soon",
        "_transport",
        "_written",
        "open",
        "packed",
        "paused",
        "waiting",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        soon: Callable[["Sink"], None],
        overflow: Callable[[bool], bool],
        limits: SocketSettings,
        now: float,
    ) -> None:
        self._transport = transport
        self._soon = soon
        self._overflow = overflow
        self._most_packets = limits.queue_packets
        self._most_bytes = limits.queue_bytes
        self._moved_at = now
        self._best = self._written = self._size = 0
        self._queued = False
        self.open = True
        """Whether anything is still said to the client."""
        self.packed = False
        """Whether it has the msgpack parser."""
        self.paused = False
        """Whether the transport takes nothing more."""
        self.waiting: deque[bytes] = deque()

    @property
    def backlog(self) -> int:
        """Packets that wait; an event with its binary parts is one."""
        return len(self.waiting)

    def post(self, encoded: Outgoing, *, lossy: bool = False) -> None:
        """Queue a packet; one too many ends the connection, or is left out if it is `lossy`."""
        if self.open:
            data = encoded.frames(self.packed)
            if not self.offer(data) and self._overflow(lossy):
                self.put(data)

    def put(self, data: bytes) -> None:
        """Add a packet."""
        self.waiting.append(data)
        self._size += len(data)
        if not self._queued:
            self._queued = True
            self._soon(self)

    def offer(self, data: bytes) -> bool:
        """Add a packet if there is room; what came in this very turn is written first."""
        waiting = self.waiting
        if len(waiting) >= self._most_packets or self._size >= self._most_bytes:
            self.flush()
            if len(waiting) >= self._most_packets or self._size >= self._most_bytes:
                return False
        # As `put` does: a call less, for every packet.
        waiting.append(data)
        self._size += len(data)
        if not self._queued:
            self._queued = True
            self._soon(self)
        return True

    def flush(self) -> None:
        """Give what waits to the transport, as far as that takes it."""
        self._queued = False
        transport, waiting = self._transport, self.waiting
        while waiting and not self.paused and not transport.is_closing():
            data = waiting.popleft()
            if waiting:
                burst, size = [data], len(data)
                while waiting and size + len(waiting[0]) <= BURST_BYTES:
                    burst.append(waiting.popleft())
                    size += len(burst[-1])
                data = b"".join(burst)
            self._size -= len(data)
            self._written += len(data)
            transport.write(data)

    @property
    def unsent(self) -> int:
        """Bytes that wait, here and in the transport."""
        return self._size + self._transport.get_write_buffer_size()

    def clear(self) -> None:
        """Forget what waits: nobody is there any more."""
        self.waiting.clear()
        self._size = 0
        self._overflow = _nobody  # it knew our connection: a ring, as long as it is known here

    def stuck(self, now: float) -> float:
        """Return for how many seconds something has waited without anything being taken."""
        held = self._transport.get_write_buffer_size()
        flushed = self._written - held
        if (not held and not self.waiting) or flushed > self._best:
            self._best = flushed
            self._moved_at = now
        return now - self._moved_at


def _nobody(_: bool) -> bool:
    """There is nobody to write to: nothing has to be queued."""
    return False
