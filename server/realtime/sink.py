"""What waits to be written to a connection, and how it goes: once a turn of the loop."""

import asyncio
import os
import sys
from collections.abc import Callable

from config.settings import SocketSettings
from server.realtime.wire import Outgoing

BURST_BYTES = 65_536
"""Bytes written at a time before it is asked whether the transport still takes more."""


class Sink:
    """The packets that wait for one client, bounded by whoever puts them in.

    Mostly one waits, or none: it lies in the sink itself, so that no other memory is touched.

    Args:
        soon: calls its `flush` at the end of this turn of the loop.
        overflow: told that there is no room for one that may be left out, or may not; returns
            whether it has to be queued all the same.
        now: monotonic seconds.
    """

    __slots__ = (
        "_best",
        "_descriptor",
        "_direct",
        "_first",
        "_more",
        "_most_bytes",
        "_most_packets",
        "_moved_at",
        "_overflow",
        "_size",
        "_soon",
        "_transport",
        "_written",
        "backlog",
        "open",
        "packed",
        "paused",
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
        self._descriptor = _descriptor_of(transport)
        self._direct = False
        """Whether nothing is in the transport: then what waits is written past it.

        To go through it took 0.7 us more of 10 for a packet, on memory that nothing else touches.
        Its socket is not closed before `connection_lost` was called, and so not before `clear`.
        """
        self._soon = soon
        self._overflow = overflow
        self._most_packets = limits.queue_packets
        self._most_bytes = limits.queue_bytes
        self._moved_at = now
        self._best = self._written = self._size = 0
        self._first = b""
        self._more: list[bytes] = []
        """What waits behind the first."""
        self.backlog = 0
        """Packets that wait; an event with its binary parts is one."""
        self.open = True
        """Whether anything is still said to the client."""
        self.packed = False
        """Whether it has the msgpack parser."""
        self.paused = False
        """Whether the transport takes nothing more."""

    def post(self, encoded: Outgoing, *, lossy: bool = False) -> None:
        """Queue a packet; one too many ends the connection, or is left out if it is `lossy`."""
        if self.open:
            data = (encoded.framed if self.packed else None) or encoded.frames(self.packed)
            if not self.backlog:
                # As `put` does: a call less, for nearly every packet.
                self._first = data
                self._size = len(data)
                self.backlog = 1
                self._soon(self)
            elif not self.offer(data) and self._overflow(lossy):
                self.put(data)

    def put(self, data: bytes) -> None:
        """Add a packet."""
        if self.backlog:
            self._more.append(data)
        else:
            self._first = data
            self._soon(self)  # what else comes until it is written goes along with it
        self.backlog += 1
        self._size += len(data)

    def offer(self, data: bytes) -> bool:
        """Add a packet if there is room; what came in this very turn is written first."""
        if self._full:
            self.flush()
            if self._full:
                return False
        self.put(data)
        return True

    def flush(self) -> None:
        """Write what waits, as far as the client takes it."""
        while self.backlog and not self.paused and (self._direct or self._may_write()):
            if self.backlog == 1:
                data, self._first = self._first, b""
                self.backlog = self._size = 0
            else:
                data = self._burst()
            self._written += len(data)
            if self._direct:
                try:
                    sent = os.write(self._descriptor, data)
                except OSError:  # full, or lost: the transport will find out
                    sent = 0
                if sent == len(data):
                    continue
                data = data[sent:]
                self._direct = False
            self._transport.write(data)

    @property
    def unsent(self) -> int:
        """Bytes that wait, here and in the transport."""
        return self._size + self._held

    def clear(self) -> None:
        """Forget what waits: nobody is there any more."""
        self._first = b""
        self._more.clear()
        self.backlog = self._size = 0
        self._descriptor, self._direct = -1, False
        self._overflow = _nobody  # it knew our connection: a ring, as long as it is known here

    def stuck(self, now: float) -> float:
        """Return for how many seconds something has waited without anything being taken."""
        held = self._held
        flushed = self._written - held
        if not (held or self.backlog) or flushed > self._best:
            self._best = flushed
            self._moved_at = now
        return now - self._moved_at

    @property
    def _held(self) -> int:
        return 0 if self._direct else self._transport.get_write_buffer_size()

    @property
    def _full(self) -> bool:
        return self.backlog >= self._most_packets or self._size >= self._most_bytes

    def _may_write(self) -> bool:
        """Tell whether the transport takes something; look whether nothing in it goes before."""
        transport = self._transport
        if transport.is_closing():
            return False
        self._direct = self._descriptor >= 0 and not transport.get_write_buffer_size()
        return True

    def _burst(self) -> bytes:
        """Take as much as is written at a time."""
        burst, size = [self._first], len(self._first)
        for data in self._more:
            size += len(data)
            if size > BURST_BYTES:
                break
            burst.append(data)
        left = self._more[len(burst) - 1 :]
        self._first, self._more = (left[0], left[1:]) if left else (b"", [])
        self.backlog -= len(burst)
        written = b"".join(burst)
        self._size -= len(written)
        return written


def _descriptor_of(transport: asyncio.Transport) -> int:
    """Return what is written to past a transport; -1 where that is not possible."""
    socket = transport.get_extra_info("socket")
    encrypted = transport.get_extra_info("sslcontext") is not None
    if socket is None or encrypted or sys.platform == "win32":  # where a socket is no file
        return -1
    descriptor: int = socket.fileno()
    return descriptor


def _nobody(_: bool) -> bool:
    """There is nobody to write to: nothing has to be queued."""
    return False
