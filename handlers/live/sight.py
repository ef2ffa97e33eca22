"""Which of the children that play one watcher may see: asked for once, and again now and then."""

from collections.abc import Mapping
from typing import Any, Final

from config.clock import Clock
from models.accounts.records import Principal
from models.children.access import Access

AGAIN_SECONDS: Final = 30.0
"""What was answered is asked anew after that: the end of an assignment makes no news."""


class Sight:
    """A watcher's view of the live list."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._access = access
        self._clock = clock
        self._known: dict[str, bool] = {}
        self._asked_at = float("-inf")

    def forget(self, child_id: str) -> None:
        """Somebody's way to this child may have ended, or begun: ask anew at the next look."""
        self._known.pop(child_id, None)

    async def look(self, who: Principal, child_ids: set[str]) -> set[str]:
        """Return those of the children that the watcher may see.

        Raises:
            AppError: `busy`; what was known stays known.
        """
        now = self._clock.monotonic()
        stale = now - self._asked_at >= AGAIN_SECONDS
        asked = child_ids if stale else child_ids - self._known.keys()
        if asked:
            found = await self._access.reachable(who, asked, "watch")
            if stale:
                self._asked_at = now
            self._known.update({child_id: child_id in found for child_id in asked})
        self._known = {c: seen for c, seen in self._known.items() if c in child_ids}
        return self.known(child_ids)

    def known(self, child_ids: set[str]) -> set[str]:
        """Return those of the children that were found to be visible, without asking."""
        return {child_id for child_id in child_ids if self._known.get(child_id)}


def shown(live: Mapping[str, dict[str, Any]], visible: set[str]) -> dict[str, dict[str, Any]]:
    """Return the summaries of visible children, without what is the server's own."""
    return {
        session_id: {k: v for k, v in summary.items() if k not in ("child_id", "node")}
        for session_id, summary in live.items()
        if summary["child_id"] in visible
    }
