"""The sockets of clients that stream, all read in one go when a tick wants their frames.

An event loop tells of each message by itself: a callback through all its layers, on memory that the
other clients have pushed out of the cache meanwhile. What is streamed is not wanted before the next
tick. So the socket of a client whose frames are known is taken from the loop and read at the tick,
as a network card under load is polled instead of interrupting (Linux: NAPI); numpy then unmasks,
compares and hands over all frames at once. Whatever else such a client sends is found in the same
read, before its frame or behind it, and goes the way it would have gone.
"""

import contextlib
import os
import select
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from config import metrics
from server.realtime.grooves import Groove
from server.realtime.sheet import Sheet
from server.realtime.walk import frames

FEW = 4
"""So many are read one by one: numpy would be dearer."""
CHARGED = 16
"""Frames of a client of which its budget is told together: it lies in memory of its own."""
MOST_BYTES = 4096
"""Read of a client at a tick. Who has sent more is read by the loop, which takes more at a time."""
_LENGTHS = 1 << 16
"""Above every length of a read."""
_NOWHERE = np.zeros(0, np.int64)


class Taker(Protocol):
    """Takes many frames, at most one of each berth."""

    def __call__(
        self,
        rows: NDArray[np.int64],
        keys: NDArray[np.int64],
        seqs: NDArray[np.int64],
        parts: NDArray[np.uint8],
    ) -> NDArray[np.bool_]:
        """Return (N,) which were taken; the others are to be handed over one by one.

        Args:
            rows, keys: (N,) the berth that was told for each.
            seqs: (N,) their numbers.
            parts: (N, bytes) their binary parts.
        """
        ...


class Streaming(Protocol):
    """A line whose socket is read here."""

    descriptor: int
    """Its socket; below 0 when it is not read here."""

    @property
    def regular(self) -> Groove | None:
        """The pattern of its frames, while the next may be read by it."""
        ...

    def berth(self) -> tuple[int, int]:
        """Return where its frames are taken, and the key to it."""
        ...

    def collected(self, data: bytes, now: float) -> None:
        """Take what the network brought, by itself."""
        ...

    def came(self, seq: int, part: bytes, data: bytes) -> None:
        """Take a frame, or what it was read from where none may be handled now."""
        ...

    def owe(self, messages: int, size: int) -> None:
        """Have the budget charged for frames, the next time it is."""
        ...

    def settle(self) -> None:
        """Charge the budget."""
        ...

    def return_to_loop(self) -> None:
        """Be read by the loop again."""
        ...


class Harvest:
    """The lines that are read at each tick.

    Args:
        take: takes frames that are like those before; without one each is handed to its line.
    """

    def __init__(
        self, take: Taker | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._take = take
        self._monotonic = monotonic
        self._now = 0.0
        """When the last was read."""
        # Where there is none (Windows, macOS) the loop reads everything.
        self._poll = select.epoll() if hasattr(select, "epoll") else None
        self._lines: dict[int, Streaming] = {}
        # By descriptor, for all lines at once: pattern, row and key of the berth, what is owed.
        self._pattern, self._row, self._key, self._owed, self._owed_bytes = np.zeros(
            (5, 256), np.int64
        )
        self._spent = metrics.STAGE.labels("receive")

    def add(self, line: Streaming, descriptor: int) -> bool:
        """Read a line from now on; False where that is not possible."""
        if self._poll is None:
            return False
        try:
            # Told once of each arrival: the kernel asks a socket twice as often otherwise. What is
            # not read to its end is read by the loop, which is told of it anew.
            self._poll.register(descriptor, select.EPOLLET | select.EPOLLRDHUP | select.EPOLLIN)
        except OSError:
            return False
        self._lines[descriptor] = line
        if descriptor >= self._pattern.size:
            more = np.zeros((5, 2 * descriptor), np.int64)
            more[:, : self._pattern.size] = (
                self._pattern, self._row, self._key, self._owed, self._owed_bytes
            )  # fmt: skip
            self._pattern, self._row, self._key, self._owed, self._owed_bytes = more
        self._owed[descriptor] = self._owed_bytes[descriptor] = 0
        self._note(line, descriptor)
        self._row[descriptor], self._key[descriptor] = line.berth()
        return True

    def remove(self, line: Streaming, descriptor: int) -> None:
        """Read a line no longer. Its socket may be closed already, and be another's."""
        if self._poll is None or self._lines.get(descriptor) is not line:
            return
        del self._lines[descriptor]
        with contextlib.suppress(OSError):
            self._poll.unregister(descriptor)
        self._bill(line, descriptor)

    def collect(self) -> None:
        """Read what has come, and hand it over."""
        if self._poll is None or not self._lines:
            return
        self._now = self._monotonic()
        descriptors, reads, over = self._read(self._poll)
        while len(reads) > FEW:
            descriptors, reads = self._sort(descriptors, reads)
        for descriptor, data in zip(descriptors, reads, strict=True):
            self._receive(descriptor, data)
        for descriptor in over:
            if (line := self._lines.get(descriptor)) is not None:
                line.return_to_loop()  # which will find out what happened
        self._spent.inc(self._monotonic() - self._now)

    def close(self) -> None:
        """Read nothing any more."""
        if self._poll is not None:
            self._poll.close()
            self._poll = None
        self._lines.clear()

    def _read(self, poll: "select.epoll") -> tuple[list[int], list[bytes], list[int]]:
        """Return which lines had something, what it was, and which of them are at their end."""
        read, most, plain = os.read, MOST_BYTES, select.EPOLLIN
        descriptors: list[int] = []
        reads: list[bytes] = []
        over: list[int] = []
        ready = iter(poll.poll(0, len(self._lines)))
        while True:
            try:
                for descriptor, event in ready:
                    if event != plain:
                        over.append(descriptor)
                    descriptors.append(descriptor)
                    reads.append(read(descriptor, most))
                return descriptors, reads, over
            except BlockingIOError:
                descriptors.pop()
            except OSError:
                over.append(descriptors.pop())

    def _sort(self, descriptors: list[int], reads: list[bytes]) -> tuple[list[int], list[bytes]]:
        """Hand over one frame of each, or all there is of those without; return what is behind."""
        at = np.array(descriptors)
        lengths = np.fromiter(map(len, reads), np.int64, len(reads))
        kinds = self._pattern[at] * _LENGTHS + lengths
        alike: dict[Sheet, NDArray[np.int64]] = {}
        mixed: list[int] = []
        for kind in set(kinds.tolist()):
            places = np.flatnonzero(kinds == kind)
            sheet = self._sheet(descriptors[places[0]], len(reads[places[0]]))
            if sheet is None:
                mixed += places.tolist()
            else:
                alike[sheet] = np.append(alike.get(sheet, _NOWHERE), places)
        alone, behind = self._cut(descriptors, reads, mixed, alike)
        for sheet, places in alike.items():
            if places.size == len(reads):
                self._hand_over(sheet, at, reads)
            elif places.size > FEW:
                self._hand_over(sheet, at[places], [reads[place] for place in places.tolist()])
            else:
                alone += places.tolist()
        for place in alone:
            self._receive(descriptors[place], reads[place])
        left: tuple[list[int], list[bytes]] = [], []
        for descriptor, line, data in behind:
            if self._lines.get(descriptor) is line:
                left[0].append(descriptor)
                left[1].append(data)
            else:
                line.collected(data, self._now)  # it keeps it, or is over
        return left

    def _cut(
        self,
        descriptors: list[int],
        reads: list[bytes],
        mixed: list[int],
        alike: dict[Sheet, NDArray[np.int64]],
    ) -> tuple[list[int], list[tuple[int, Streaming, bytes]]]:
        """Look for a frame in what else was read; it takes the place of what was read.

        Args:
            mixed: places of what may be more than a frame, or none.
            alike: places of frames; those that are found are added.

        Returns:
            The places of what has none; and what is behind a frame.
        """
        alone: list[int] = []
        behind: list[tuple[int, Streaming, bytes]] = []
        found: dict[Sheet, list[int]] = {}
        for place in mixed:
            descriptor, data = descriptors[place], reads[place]
            line = self._lines.get(descriptor)
            begin, end = self._frame_in(descriptor, data)
            if line is None or not end:
                alone.append(place)
                continue
            if begin:
                self._receive(descriptor, data[:begin])
            sheet = self._sheet(descriptor, end - begin)
            if sheet is None:
                behind.append((descriptor, line, data[begin:]))
                continue
            found.setdefault(sheet, []).append(place)
            reads[place] = data[begin:end]
            if end < len(data):
                behind.append((descriptor, line, data[end:]))
        for sheet, places in found.items():
            alike[sheet] = np.append(alike.get(sheet, _NOWHERE), places)
        return alone, behind

    def _frame_in(self, descriptor: int, data: bytes) -> tuple[int, int]:
        """Return where a frame of a line's pattern begins and ends; two zeros for none."""
        if len(data) < MOST_BYTES:
            for begin, end in frames(data):
                if self._sheet(descriptor, end - begin) is not None:
                    return begin, end
        return 0, 0

    def _sheet(self, descriptor: int, length: int) -> Sheet | None:
        line = self._lines.get(descriptor)
        groove = line.regular if line is not None and self._pattern[descriptor] else None
        return None if groove is None else groove.sheets.get(length)

    def _hand_over(self, sheet: Sheet, at: NDArray[np.int64], reads: list[bytes]) -> None:
        seqs, parts = sheet.read(reads)
        taken = np.zeros(at.size, np.bool_)
        if self._take is not None:
            taken = self._take(self._row[at], self._key[at], seqs, parts)
            self._charge(at if taken.all() else at[taken], sheet.size)
        for place in np.flatnonzero(~taken).tolist():
            descriptor, seq = int(at[place]), int(seqs[place])
            line = self._lines.get(descriptor)
            if line is None:
                continue
            if seq < 0:
                self._receive(descriptor, reads[place])
            else:
                line.came(seq, parts[place].tobytes(), reads[place])
                if self._lines.get(descriptor) is line:
                    self._note(line, descriptor)
                    self._row[descriptor], self._key[descriptor] = line.berth()

    def _charge(self, at: NDArray[np.int64], size: int) -> None:
        owed = self._owed[at] + 1
        self._owed[at] = owed
        self._owed_bytes[at] += size
        for descriptor in at[owed >= CHARGED].tolist():
            line = self._lines.get(descriptor)
            if line is not None:
                self._bill(line, descriptor)
                line.settle()

    def _bill(self, line: Streaming, descriptor: int) -> None:
        line.owe(int(self._owed[descriptor]), int(self._owed_bytes[descriptor]))
        self._owed[descriptor] = self._owed_bytes[descriptor] = 0

    def _receive(self, descriptor: int, data: bytes) -> None:
        """Hand what a line was sent to it alone."""
        line = self._lines.get(descriptor)
        if line is None:
            return  # something before it ended the connection
        if data:
            line.collected(data, self._now)
        if len(data) in (0, MOST_BYTES):
            line.return_to_loop()
        elif self._lines.get(descriptor) is line:
            self._note(line, descriptor)

    def _note(self, line: Streaming, descriptor: int) -> None:
        """Take note of how a line's next frame is known."""
        groove = line.regular
        # An object's identity fits: addresses have 47 bits, of which the last four are 0.
        self._pattern[descriptor] = 0 if groove is None else id(groove) >> 4
