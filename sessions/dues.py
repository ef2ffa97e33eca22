"""When what the sessions hold is appended: frames in turn, so that each tick has its even share."""

from sessions.session import Session

AT_ONCE = 250
"""Sessions in one append. After an outage all have much to give, and the loop goes on between."""
TURN_TICKS = 2
"""Ticks between two turns. Each round trip costs, however little it carries; but of a thousand
sessions three ticks bring so much at once that Redis, where it shares its core, answers late."""
_GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, lie evenly however many there are."""


class Dues:
    """The sessions that hold something, by the turn at which it is due.

    Args:
        tick_s: the engine's period, seconds.
        chunk_s: how long frames may wait, seconds.
    """

    def __init__(self, tick_s: float, chunk_s: float) -> None:
        self._turn_s = TURN_TICKS * tick_s
        self._turns: list[list[Session]] = [[] for _ in range(max(1, int(chunk_s / self._turn_s)))]
        """The turns in the time of a chunk: no chunk is longer; it ends at its session's turn."""
        self._entered = 0
        self._number = 0
        self._ready: dict[Session, None] = {}

    def enter(self, session: Session) -> None:
        """Give a new session its turn, and its scores a place between those of others."""
        session.turn = self._entered % len(self._turns)
        session.score_phase = self._entered * _GOLDEN % 1.0
        self._entered += 1

    def leave(self, session: Session) -> None:
        """Forget a session."""
        if session.in_turn:
            self._turns[session.turn].remove(session)
        self._ready.pop(session, None)

    def note(self, session: Session) -> None:
        """Take note of what a session holds now."""
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
        self._number = number
        return bool(self._ready)

    def take(self) -> list[Session]:
        """Return the sessions whose append may start, so many as go into one."""
        taken: list[Session] = []
        for session in list(self._ready):
            if len(taken) == AT_ONCE:
                break
            del self._ready[session]
            # One with an append under way is noted again when that has landed.
            if session.inflight is None and session.holds:
                taken.append(session)
        return taken

    def __bool__(self) -> bool:
        return bool(self._ready)

    @property
    def waiting(self) -> int:
        """How many sessions hold something that is not under way."""
        return len(self._ready) + sum(map(len, self._turns))
