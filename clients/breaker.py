"""A circuit breaker: a service that keeps failing is left alone for a while."""

from collections import deque
from enum import StrEnum

from config.clock import Clock

STREAK = 5
"""Failures in a row that open the circuit."""
WINDOW = 20
"""Calls whose failures are counted together: more than half of them open it too."""
OPEN_SECONDS = 30.0


class BreakerState(StrEnum):
    """Where the circuit stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Counts what comes of calls; `admits` is asked before each, one of the two told after."""

    def __init__(self, clock: Clock, open_seconds: float = OPEN_SECONDS) -> None:
        self._clock = clock
        self._open_seconds = open_seconds
        self._failed: deque[bool] = deque(maxlen=WINDOW)
        self._streak = 0
        self._opened_at: float | None = None
        self._probing_since: float | None = None

    @property
    def state(self) -> BreakerState:
        """Where it stands now."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        rested = self._clock.monotonic() - self._opened_at >= self._open_seconds
        return BreakerState.HALF_OPEN if rested else BreakerState.OPEN

    def admits(self) -> bool:
        """Tell whether a call may be made; half open, one probe at a time may."""
        state = self.state
        if state is BreakerState.CLOSED:
            return True
        if state is BreakerState.OPEN:
            return False
        now = self._clock.monotonic()
        # A probe that was cancelled told nothing: it holds the place no longer than a rest.
        if self._probing_since is not None and now - self._probing_since < self._open_seconds:
            return False
        self._probing_since = now
        return True

    def worked(self) -> None:
        """A call was answered."""
        self._streak = 0
        if self._opened_at is not None:
            self._failed.clear()
        self._failed.append(False)
        self._opened_at = self._probing_since = None

    def failed(self) -> None:
        """A call failed for the service's own sake."""
        self._streak += 1
        self._failed.append(True)
        full = len(self._failed) == WINDOW and sum(self._failed) * 2 > WINDOW
        if self._opened_at is not None or self._streak >= STREAK or full:
            self._opened_at = self._clock.monotonic()
            self._probing_since = None
