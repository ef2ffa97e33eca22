"""How soon a child's messages are acknowledged again after a fault has ended."""

import math
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from config.clock import Clock
from server.simulation.ledger import Ledger, Played


@dataclass(slots=True)
class _Sitting:
    """An open session as far as acknowledgement goes."""

    sent: dict[int, float] = field(default_factory=dict)
    """When each message that is not buffered yet was made, monotonic seconds."""
    buffered: int = -1


@dataclass(slots=True)
class Recovery:
    """What followed the end of one fault."""

    ended: float
    """Monotonic seconds."""
    waiting: dict[str, float | None]
    """Sessions open then, and since when each has had something to be buffered; None: nothing."""
    took_s: list[float] = field(default_factory=list)
    """For each session, from the fault's end, or from its first message after it, to `buffered`."""

    @property
    def p50_s(self) -> float | None:
        """The median of the sessions."""
        return median(self.took_s) if self.took_s else None

    @property
    def max_s(self) -> float | None:
        """The longest."""
        return max(self.took_s) if self.took_s else None

    @property
    def never(self) -> int:
        """Sessions that had something to be buffered, and it never was."""
        return sum(since is not None for since in self.waiting.values())


class Recoveries:
    """Stands before a ledger, and notes for each fault when every child had recovered."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._open: dict[str, _Sitting] = {}
        self._watched: list[Recovery] = []

    def begin(self) -> Recovery:
        """A fault has ended just now: watch every session that is open."""
        waiting = {
            session_id: self._clock.monotonic() if sitting.sent else None
            for session_id, sitting in self._open.items()
        }
        recovery = Recovery(self._clock.monotonic(), dict(waiting))
        self._watched.append(recovery)
        return recovery

    def opened(self, session_id: str, child_id: str) -> None:
        """A session begins."""
        self._open[session_id] = _Sitting()
        self._ledger.opened(session_id, child_id)

    def message(self, session_id: str, seq: int, event: str, body: bytes | dict[str, Any]) -> None:
        """A message was made."""
        now = self._clock.monotonic()
        self._open[session_id].sent[seq] = now
        for recovery in self._watched:
            if session_id in recovery.waiting and recovery.waiting[session_id] is None:
                recovery.waiting[session_id] = now
        self._ledger.message(session_id, seq, event, body)

    def acknowledged(self, session_id: str, buffered: int, stored: int) -> None:
        """The marks have moved."""
        self._ledger.acknowledged(session_id, buffered, stored)
        sitting = self._open.get(session_id)
        if sitting is None or buffered <= sitting.buffered:
            return
        for seq in range(sitting.buffered + 1, buffered + 1):
            sitting.sent.pop(seq, None)
        sitting.buffered = buffered
        self._recovered(session_id)

    def refused(self, session_id: str, seq: int, code: str) -> None:
        """A message took its seq without effect."""
        self._ledger.refused(session_id, seq, code)

    def played(self, session_id: str, played: Played) -> None:
        """A set is over."""
        self._ledger.played(session_id, played)

    def sealed(self, session_id: str, seq: int, result: dict[str, Any]) -> None:
        """A session is over: it has recovered from everything."""
        self._ledger.sealed(session_id, seq, result)
        self._recovered(session_id)
        self._open.pop(session_id, None)
        for recovery in self._watched:
            recovery.waiting.pop(session_id, None)

    def _recovered(self, session_id: str) -> None:
        now = self._clock.monotonic()
        for recovery in self._watched:
            since = recovery.waiting.get(session_id)
            if since is not None:
                recovery.took_s.append(now - since)
                del recovery.waiting[session_id]
        self._watched = [recovery for recovery in self._watched if recovery.waiting]


def rounded(seconds: float | None) -> float | None:
    """Return hundredths of a second, upwards: a certificate does not flatter."""
    return None if seconds is None else math.ceil(seconds * 100) / 100
