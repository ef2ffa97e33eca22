"""When the scoring state of open sets is kept: those of a shard together, in one call of Redis."""

from collections import deque
from collections.abc import Callable, Mapping

from sessions.session import Session

AT_ONCE = 10
"""Sets kept in one go: each takes the loop about a twentieth of a millisecond."""
SOON = 0.2
"""What is due within this share of the time between two saves goes along."""


class Saves:
    """The sessions of a worker by when they are to be kept next.

    Args:
        every_s: time between two saves of a session, seconds.
        shards: over how many the sessions are spread.
        shard_of: that of a session.
    """

    def __init__(self, every_s: float, shards: int, shard_of: Callable[[str], int]) -> None:
        self._every_s = every_s
        self._shard_of = shard_of
        self._due: list[deque[tuple[float, Session]]] = [deque() for _ in range(shards)]
        """Of each shard when its sessions are due, the next one first."""

    def enter(self, session: Session, now: float) -> None:
        """Keep a session's sets from now on, until it is held no more."""
        self._due[self._shard_of(session.id)].append((now + self._every_s, session))

    def take(self, now: float, held: Mapping[str, Session]) -> list[Session]:
        """Return sessions with an open set that are to be kept now, all of one shard.

        Args:
            held: the sessions of this worker, by id.
        """
        due = min((due for due in self._due if due), key=lambda due: due[0][0], default=None)
        taken: list[Session] = []
        if due is None or due[0][0] > now:
            return taken
        until = now + SOON * self._every_s
        while due and due[0][0] <= until and len(taken) < AT_ONCE:
            _, session = due.popleft()
            if held.get(session.id) is session:
                due.append((now + self._every_s, session))
                if session.open_set is not None:
                    taken.append(session)
        return taken
