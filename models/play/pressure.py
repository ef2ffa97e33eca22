"""How full Redis is, and what follows: an alarm, then no new sessions."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from models.errors import AppError, ErrorCode


class Pressure:
    """The share of Redis's memory in use, as it was read last; 0 where no limit is set.

    Args:
        alarm_share: share from which the operators are told, once each time it is passed.
        refuse_share: share from which no session is opened any more; open ones play on.
        alarm: tells the operators.
    """

    def __init__(
        self, alarm_share: float, refuse_share: float, alarm: Callable[[str], None]
    ) -> None:
        self.share = 0.0
        self._alarm_share = alarm_share
        self._refuse_share = refuse_share
        self._alarm = alarm
        self._alarmed = False

    def note(self, nodes: Iterable[Mapping[str, Any]]) -> None:
        """Take the `INFO memory` of every node; the fullest one counts."""
        self.share = max(
            (node["used_memory"] / node["maxmemory"] for node in nodes if node.get("maxmemory")),
            default=0.0,
        )
        full = self.share >= self._alarm_share
        if full and not self._alarmed:
            self._alarm(f"Redis holds {self.share:.0%} of its memory; is the flush behind?")
        self._alarmed = full

    def check(self) -> None:
        """Refuse a new session while Redis is too full.

        Raises:
            AppError: `busy`.
        """
        if self.share >= self._refuse_share:
            raise AppError(
                ErrorCode.BUSY, "No new sessions are taken now; try again later.", retry_ms=10_000
            )
