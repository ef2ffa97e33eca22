"""The places of the children who play here: held while they do, given back when they leave."""

from itertools import islice, takewhile

from config.clock import Clock
from models.play.ownership import Ownership
from sessions.session import Session

CHILD_LEASE_MS = 20_000
RENEW_S = 6.0
"""A third of the lease at most, so that one lost round lets none lapse."""
SOON_S = 1.0
"""What is due so soon is renewed with what is due now: each round trip costs, however little it
carries."""
AT_ONCE = 100
"""Places renewed in one round trip: after a silence all are due."""


class ChildPlaces:
    """Which places are to be renewed when, and which to be given back.

    Whoever is told of a session waits for nothing; `settle` tells Redis of many at once. A place
    that Redis was not told of stays to be told of.
    """

    def __init__(self, ownership: Ownership, clock: Clock) -> None:
        self._ownership = ownership
        self._clock = clock
        self._held: dict[str, tuple[Session, float]] = {}
        """When each is to be renewed, monotonic seconds, the next one first."""
        self._left: dict[str, tuple[Session]] = {}
        """Those to be given back; each leaving is a tuple of its own."""

    def find(self, session_id: str) -> Session | None:
        """Return the session if its child's place is held here, or not given back yet."""
        known = self._held.get(session_id) or self._left.get(session_id)
        return None if known is None else known[0]

    def keep(self, session: Session) -> None:
        """Renew the place of a session's child, which it has, from now on."""
        self._left.pop(session.id, None)
        self._held.pop(session.id, None)
        self._held[session.id] = session, self._clock.monotonic() + RENEW_S

    def leave(self, session: Session) -> None:
        """Give the place back soon, if it is held."""
        if self._held.pop(session.id, None) is not None:
            self._left[session.id] = (session,)

    def lose(self, session: Session) -> None:
        """Hold the place no more: the session's next owner does."""
        self._held.pop(session.id, None)
        self._left.pop(session.id, None)

    async def settle(self) -> None:
        """Give back and renew what is due, in one round trip.

        Raises:
            redis.exceptions.RedisError, OSError, TimeoutError: all of it stays due.
        """
        now = self._clock.monotonic()
        leaving = dict(self._left)
        left = [session for (session,) in leaving.values()]
        due = self._due(now)
        if not left and not due:
            return
        await self._tell(due, left)
        for session in due:
            if session.id in self._held:
                self.keep(session)
        for session_id, one in leaving.items():
            if self._left.get(session_id) is one:  # else they came back, and left again
                del self._left[session_id]
        # Who came back while their place was given back may have been told before it was.
        if back := [session for session in left if session.id in self._held]:
            await self._tell(back, [])

    def _due(self, now: float) -> list[Session]:
        first = next(iter(self._held.values()), None)
        if first is None or first[1] > now:
            return []
        soon = takewhile(lambda held: held[1] <= now + SOON_S, self._held.values())
        return [session for session, _ in islice(soon, AT_ONCE)]

    async def _tell(self, held: list[Session], left: list[Session]) -> None:
        await self._ownership.settle_children(
            [(session.opened.child_id, session.id) for session in held],
            [(session.opened.child_id, session.id) for session in left],
            CHILD_LEASE_MS,
        )
