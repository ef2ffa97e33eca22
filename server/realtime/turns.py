"""The turns of the loop: what is written at the end of one, and how long to wait for the next.

A turn costs the same whether it finds one message or fifty: asking the kernel what there is, waking
up, going through all layers with cold caches. When messages come by the thousand in a second, each
would get a turn of its own, unless the loop waits a moment for more of them; network cards moderate
their interrupts in the same way (Linux: NAPI, "interrupt mitigation").
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from config import metrics

WINDOW_S = 0.1
"""The rate of messages is looked at this often."""
WORTH = 4
"""A pause is made when at least so many messages are expected in it."""
ENOUGH = 128
"""A turn that found as many needs no pause: the loop is busy enough to find many."""
HURRY = 4
"""So many times shorter is a pause while something is under way. Without any, a turn found seven
messages of 500 clients, and the server's whole work took 5 % longer."""
TIMED = 8
"""One read in so many is timed, and stands for all of them: to time each would cost a tenth of what
it measures."""


class Written(Protocol):
    """What has something to write at the end of a turn."""

    def flush(self) -> None:
        """Write it; never waits."""
        ...


class Turns:
    """Collects who has something to write, counts what came, and pauses while much comes.

    Args:
        pause_s: longest pause after a turn, seconds; 0 makes none.
        monotonic: the clock, seconds.
        hurried: tells whether something is under way that takes several turns, such as reading an
            answer of Redis: it waits at every step, so the pauses are short meanwhile.
        sleep: stops the thread for so many seconds; nothing else runs on the loop meanwhile.
    """

    def __init__(
        self,
        pause_s: float,
        monotonic: Callable[[], float],
        hurried: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._pause_s = pause_s
        self._monotonic = monotonic
        self._hurried = hurried
        self._sleep = sleep
        self._dirty: list[Written] = []
        self._ending = False
        self._reads = self._reads_before = 0
        """How much came ever, and until the last turn."""
        self._in_window = 0
        self._since = monotonic()
        self._expected = 0.0
        """Messages that come during a pause, as things are."""
        self._reading = self._writing = 0.0
        """Seconds since the last window that reading and writing took."""
        self._receive, self._send = (metrics.STAGE.labels(stage) for stage in ("receive", "send"))

    def took(self) -> bool:
        """Say that something came in this turn; return whether `timed` is to hear of it."""
        self._reads = reads = self._reads + 1
        self._end_soon()
        return reads % TIMED == 0

    def timed(self, seconds: float) -> None:
        """Say how long it took to handle what came."""
        self._reading += seconds * TIMED

    def soon(self, sink: Written) -> None:
        """Call its `flush` at the end of this turn."""
        self._dirty.append(sink)
        if not self._ending:  # a call less, for every packet
            self._end_soon()

    def _end_soon(self) -> None:
        if not self._ending:
            self._ending = True
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self._ending = False
        dirty, self._dirty = self._dirty, []
        began = self._monotonic()
        for sink in dirty:
            sink.flush()
        took, self._reads_before = self._reads - self._reads_before, self._reads
        self._in_window += took
        now = self._monotonic()
        self._writing += now - began
        if now - self._since >= WINDOW_S:
            self._expected = self._in_window / (now - self._since) * self._pause_s
            self._in_window, self._since = 0, now
            self._receive.inc(self._reading)
            self._send.inc(self._writing)
            self._reading = self._writing = 0.0
        if self._expected >= WORTH and 0 < took < ENOUGH:
            self._sleep(self._pause_s / HURRY if self._hurried() else self._pause_s)
