"""What the transports of a connection are plugged into."""

from typing import Any, Protocol

from handlers.live.base import Hot
from server.realtime.guard import Ended, Guard
from server.realtime.harvest import Harvest
from server.realtime.intake import Work
from server.realtime.turns import Written


class Switch(Protocol):
    """What a line is plugged into; the Socket.IO server."""

    harvest: Harvest | None
    """What reads the lines of those who stream, if anything does."""

    def plugged(self, line: Any) -> Guard | None:
        """Take note of a line; return its guard, None when there is no room for it."""
        ...

    def unplugged(self, line: Any) -> None:
        """Forget a line."""
        ...

    def took(self) -> bool:
        """Say that something came in this turn of the loop; return whether it is to be timed."""
        ...

    def timed(self, seconds: float) -> None:
        """Say how long it took to handle what came."""
        ...

    def soon(self, sink: Written) -> None:
        """Call its `flush` at the end of this turn of the loop."""
        ...

    def receive(
        self, sid: str, guard: Guard, data: str | bytes, hot: Hot | None = None
    ) -> Work | None:
        """Take the payload of an Engine.IO message; return what has to be awaited."""
        ...

    def hot_of(self, sid: str) -> Hot | None:
        """Return the event of a connection that goes straight to its handler."""
        ...

    def slow_down(self, sid: str, guard: Guard, debt: float, now: float) -> None:
        """Judge a rate that is overdrawn; ends the connection when that goes on."""
        ...

    def overflow(self, sid: str, lossy: bool) -> bool:
        """Too much waits for a client; tell whether what is sent has to be queued all the same."""
        ...

    def end(self, sid: str, ended: Ended) -> None:
        """Tell a client why, then close."""
        ...

    def drop(self, sid: str) -> None:
        """Close a client's connection once what is queued was sent."""
        ...
