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
    """What came of one fault."""

    began: float
    """Monotonic seconds."""
    ended: float | None = None
    """The same; None while it lasts."""
    waiting: dict[str, float | None] = field(default_factory=dict)
    """Sessions open at its end, and since when each has had something to be buffered, if any."""
    took_s: list[float] = field(default_factory=list)
    """For each session, from the fault's end, or from its first message after it, to `buffered`."""
    slowest_s: float = 0.0
    """Longest time to `buffered` of all messages made while the fault lasted."""

    def covers(self, at: float) -> bool:
        """Whether the fault lasted at a time."""
        return self.began <= at and (self.ended is None or at <= self.ended)

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
        self._faults: list[Recovery] = []

    def begin(self) -> Recovery:
        """A fault begins just now."""
        recovery = Recovery(self._clock.monotonic())
        self._faults.append(recovery)
        return recovery

    def end(self, recovery: Recovery) -> None:
        """A fault has ended just now: watch every session that is open."""
        now = recovery.ended = self._clock.monotonic()
        recovery.waiting = {
            session_id: now if sitting.sent else None for session_id, sitting in self._open.items()
        }
        self._watched.append(recovery)

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
        now = self._clock.monotonic()
        for seq in range(sitting.buffered + 1, buffered + 1):
            made = sitting.sent.pop(seq, now)
            for fault in self._faults:
                if fault.covers(made):
                    fault.slowest_s = max(fault.slowest_s, now - made)
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
