"""When what the sessions hold is appended: frames in turn, so that each tick has its even share."""

from collections import Counter
from collections.abc import Callable

from sessions.rows import Rows
from sessions.session import Session

AT_ONCE = 250
"""Sessions in one append. After an outage all have much to give, and the loop goes on between."""
LEAST_TURNS = 6
"""Turns in the time of a chunk. Of a thousand sessions fewer bring so much at once that Redis,
where it shares its core, answers late."""
_GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, lie evenly however many there are."""


class Dues:
    """The sessions that hold something, by the turn at which it is due.

    Args:
        chunk_s: how long frames may wait, seconds.
        rows: hold frames too; what they took comes at the turn of its session.
        shards: the streams of Redis.
        shard_of: that of a session. Sessions of a turn share theirs, so that each append is one
            call: what a call costs hardly depends on how much it carries.
    """

    def __init__(
        self, chunk_s: float, rows: Rows[Session], shards: int, shard_of: Callable[[str], int]
    ) -> None:
        self._rows = rows
        self._shards, self._shard_of = shards, shard_of
        turns = shards * -(-LEAST_TURNS // shards)
        self._turn_s = chunk_s / turns
        self._turns: list[list[Session]] = [[] for _ in range(turns)]
        """The turns in the time of a chunk: no chunk is longer; it ends at its session's turn."""
        self._entered: Counter[int] = Counter()
        """Sessions of each shard so far."""
        self._number = 0
        self._ready: dict[Session, None] = {}

    def enter(self, session: Session) -> None:
        """Give a new session its turn, and its scores a place between those of others."""
        shard = self._shard_of(session.id)
        turn = (shard + self._entered[shard] * self._shards) % len(self._turns)
        phase = self._entered.total() * _GOLDEN % 1.0
        session.enter(self._rows, self._rows.enter(session, turn, phase), turn)
        self._entered[shard] += 1

    def leave(self, session: Session) -> None:
        """Forget a session."""
        if session.in_turn:
            self._turns[session.turn].remove(session)
            session.in_turn = False
        self._ready.pop(session, None)
        session.leave()

    def note(self, session: Session) -> None:
        """Take note of what a session holds now, apart from what its row has."""
        if session.urgent:
            self._ready[session] = None
        elif not session.in_turn and session.holds:
            session.in_turn = True
            self._turns[session.turn].append(session)

    def pass_time(self, now: float) -> bool:
        """Go on to the turns that have come; True when something is due."""
        number = int(now / self._turn_s)
        last = max(self._number, number - len(self._turns))
        for passed in range(last + 1, number + 1):
            place = passed % len(self._turns)
            if self._turns[place]:
                for session in self._turns[place]:
                    session.in_turn = False
                    self._ready[session] = None
                self._turns[place] = []
            self._ready.update(dict.fromkeys(self._rows.holding(place)))
        self._number = number
        return bool(self._ready)

    def take(self) -> list[tuple[Session, int, bytes]]:
        """Return the sessions whose append may start, so many as go into one.

        Returns:
            Each with what its row had, as `Rows.drain` tells it.
        """
        taken: list[Session] = []
        for session in list(self._ready):
            if len(taken) == AT_ONCE:
                break
            del self._ready[session]
            # One with an append under way is noted again when that has landed.
            if session.inflight is None:
                taken.append(session)
        return [
            (session, count, packed)
            for session, (count, packed) in zip(
                taken, self._rows.drain([s.row for s in taken]), strict=True
            )
            if count or session.holds
        ]

    def __bool__(self) -> bool:
        return bool(self._ready)

    @property
    def waiting(self) -> int:
        """How many sessions hold something that is not under way."""
        return len(self._ready) + sum(map(len, self._turns)) + self._rows.waiting
