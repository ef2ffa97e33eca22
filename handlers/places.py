"""Whether an owner has room for one more connection, over all workers.

Redis decides, many connections in one round trip. When it does not answer in time, nobody is
refused for its sake: each worker's own count, taken before anything comes here, is the limit then.
"""

import asyncio
import contextlib
from itertools import islice, takewhile

from config import metrics
from config.clock import Clock
from models.accounts.presence import ANY, Place, Presence

RENEWALS = 3
"""Times a place is renewed within its lease, so that one lost round lets none lapse."""
TOGETHER = 4
"""Rounds of renewals in that time at most: what is due until the next goes along."""
SLICE = 500
"""Places of each kind in one round: building the call must not hold the loop up."""
LEFT = 10_000
"""Places remembered to be given back while Redis is away; the others lapse."""

Answer = asyncio.Future[bool]


class Places:
    """The places of this worker's connections, as Redis is told of them."""

    def __init__(
        self, presence: Presence, node: str, clock: Clock, *, lease_s: float, wait_s: float
    ) -> None:
        """Prepare; nothing is asked before `run`.

        Args:
            lease_s: how long a place lasts in Redis that nobody renews.
            wait_s: how long a connection waits for Redis before this worker decides alone.
        """
        self._presence = presence
        self._node = node
        self._clock = clock
        self._every_s = lease_s / RENEWALS
        self._wait_s = wait_s
        self._asked: dict[Place, tuple[int, Answer | None]] = {}
        """Not sent yet: the limit, and who waits."""
        self._held: dict[Place, float] = {}
        """When each is to be renewed, monotonic seconds, the next one first."""
        self._left: set[Place] = set()
        self._wake = asyncio.Event()
        self._silent = False
        """Whether Redis did not answer lately: nobody waits for it then."""

    def ask(self, owner: str, connection: str, limit: int) -> tuple[Place, Answer]:
        """Ask for a place; never waits. Give it back with `leave`, whatever the answer."""
        place = Place(owner, f"{self._node}:{connection}")
        answer: Answer = asyncio.get_running_loop().create_future()
        if self._silent:
            self._decide_alone(answer)
        self._asked[place] = (ANY, None) if self._silent else (limit, answer)
        self._wake.set()
        return place, answer

    async def has_room(self, answer: Answer) -> bool:
        """Wait for the answer to `ask`, not for long; no answer is room."""
        await asyncio.wait({answer}, timeout=self._wait_s)
        if not answer.done():
            self._silent = True
            self._decide_alone(answer)
        return answer.result()

    def leave(self, place: Place) -> None:
        """Give a place back: its connection is gone."""
        self._held.pop(place, None)
        never_sent = self._asked.pop(place, None)
        if never_sent is not None:
            _, answer = never_sent
            if answer is not None and not answer.done():
                answer.set_result(False)
        elif len(self._left) < LEFT:
            self._left.add(place)
            self._wake.set()

    async def run(self) -> None:
        """Ask, renew and give back, for ever; raises when Redis is away."""
        while True:
            if not self._asked and not self._left:
                self._wake.clear()
                due = next(iter(self._held.values()), None)
                wait_s = None if due is None else max(0.0, due - self._clock.monotonic())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()
            await self._round()

    async def give_back(self) -> None:
        """Give all places back: the worker stops."""
        left = [*self._left, *self._held, *self._asked]
        for n in range(0, len(left), SLICE):
            await self._presence.take((), left[n : n + SLICE])

    async def _round(self) -> None:
        asked = dict(islice(self._asked.items(), SLICE))
        for place in asked:
            del self._asked[place]
        left = set(islice(self._left, SLICE))
        self._left -= left
        now = self._clock.monotonic()
        soon = now + self._every_s / TOGETHER
        late = takewhile(lambda held: held[1] <= soon, self._held.items())
        due = [place for place, _ in islice(late, SLICE)]
        try:
            room = await self._presence.take(
                [
                    *((place, limit) for place, (limit, _) in asked.items()),
                    *((place, ANY) for place in due),
                ],
                left,
            )
        except BaseException:  # cancelled as well: what became of them is not known either
            self._put_off(asked, left)
            raise
        self._silent = False
        for (place, (_, answer)), has_room in zip(asked.items(), room, strict=False):
            if answer is None or answer.done():
                # Let in already by our own count: taken with the next round, whatever the limit.
                if not has_room and place not in self._left:
                    self._asked[place] = (ANY, None)
                    continue
            else:
                answer.set_result(has_room)
            if has_room:
                self._hold(place, now)
        for place in due:
            self._hold(place, now)

    def _hold(self, place: Place, now: float) -> None:
        self._held.pop(place, None)
        if place not in self._left:  # else its connection went while Redis was asked
            self._held[place] = now + self._every_s

    def _put_off(self, asked: dict[Place, tuple[int, Answer | None]], left: set[Place]) -> None:
        """Redis is away: decide alone, and tell it of everything when it is back."""
        self._silent = True
        for place, (_, answer) in asked.items():
            if answer is not None and not answer.done():
                self._decide_alone(answer)
            if place not in self._left:
                self._asked[place] = (ANY, None)
        self._left.update(islice(left, max(0, LEFT - len(self._left))))

    def _decide_alone(self, answer: Answer) -> None:
        metrics.PLACES_ALONE.inc()
        answer.set_result(True)
