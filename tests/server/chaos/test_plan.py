"""Plans are data of a seed, and hold every fault; recoveries are counted for who was waiting."""

from datetime import UTC, datetime

import pytest

from server.chaos.plan import MEANING, SETTLE_S, SHORT, Kind, full
from server.chaos.recovery import Recoveries, rounded
from server.simulation.ledger import Played


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def time_us(self) -> int:
        return int(self.at * 1e6)

    def monotonic(self) -> float:
        return self.at


class Notes:
    """A ledger that counts what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def opened(self, session_id: str, child_id: str) -> None:
        self.told.append("opened")

    def message(self, session_id: str, seq: int, event: str, body: object) -> None:
        self.told.append("message")

    def acknowledged(self, session_id: str, buffered: int, stored: int) -> None:
        self.told.append("acknowledged")

    def refused(self, session_id: str, seq: int, code: str) -> None:
        self.told.append("refused")

    def played(self, session_id: str, played: Played) -> None:
        self.told.append("played")

    def sealed(self, session_id: str, seq: int, result: object) -> None:
        self.told.append("sealed")


@pytest.mark.parametrize("seed", range(20))
def test_three_minutes_hold_every_kind_and_leave_time_to_settle(seed: int) -> None:
    plan = full(3.0, seed)
    assert {fault.kind for fault in plan.faults} == set(Kind)
    assert plan == full(3.0, seed)
    assert plan != full(3.0, seed + 1)
    ends = [fault.at_s + fault.lasts_s for fault in plan.faults]
    assert max(ends) <= plan.seconds - SETTLE_S
    assert [fault.at_s for fault in plan.faults] == sorted(fault.at_s for fault in plan.faults)


def test_every_kind_is_explained_and_short_is_short() -> None:
    assert set(MEANING) == set(Kind)
    assert SHORT.seconds < 40
    assert max(fault.at_s + fault.lasts_s for fault in SHORT.faults) < SHORT.seconds


def test_a_child_recovers_when_what_it_sent_is_buffered() -> None:
    watch, notes = Watch(), Notes()
    recoveries = Recoveries(notes, watch)
    for session_id in ("waiting", "resting", "gone"):
        recoveries.opened(session_id, "c")
    recoveries.message("waiting", 0, "frames", b"")
    recoveries.message("gone", 0, "frames", b"")
    recovery = recoveries.begin()
    recoveries.message("waiting", 1, "frames", b"")
    watch.at = 110.0
    recoveries.end(recovery)
    watch.at = 111.0
    recoveries.acknowledged("waiting", 1, -1)
    watch.at = 115.0
    recoveries.message("resting", 0, "frames", b"")
    recoveries.acknowledged("resting", -1, -1)  # says nothing new
    watch.at = 115.5
    recoveries.acknowledged("resting", 0, 0)
    assert recovery.took_s == [1.0, 0.5]
    assert (recovery.p50_s, recovery.max_s, recovery.never) == (0.75, 1.0, 1)
    recoveries.sealed("gone", 0, {})
    assert recovery.never == 0
    assert recovery.slowest_s == 11.0
    assert notes.told.count("acknowledged") == 3


def test_a_fault_nobody_noticed_has_no_figure() -> None:
    recoveries = Recoveries(Notes(), Watch())
    recovery = recoveries.begin()
    recoveries.end(recovery)
    assert (recovery.p50_s, recovery.max_s, recovery.never) == (None, None, 0)
    assert rounded(recovery.max_s) is None
    assert rounded(0.1201) == 0.13
