"""The clock everybody is handed: UTC wall time for records, monotonic time for durations."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the product knows of time. Order never depends on it; durations use `monotonic`."""

    def now(self) -> datetime:
        """Return the aware UTC wall time."""
        ...

    def time_us(self) -> int:
        """Return the wall time in microseconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the aware UTC wall time."""
        return datetime.now(UTC)

    def time_us(self) -> int:
        """Return the wall time in microseconds since the Unix epoch."""
        return time.time_ns() // 1000

    monotonic = staticmethod(time.monotonic)  # asked for every message
