"""The account of one connection, on a clock of the test's own."""

import pytest

from config.settings import SocketSettings, load_settings
from server.realtime.guard import Ended, Guard
from server.realtime.packets import Packet

LIMITS: SocketSettings = load_settings().socket


def guard() -> Guard:
    return Guard(LIMITS, 0.0)


def send(account: Guard, now: float, size: int = 10) -> int | None:
    """Send one message; return the delay that is told, if any."""
    debt = account.budget.take(1, size, now)
    return account.over(debt, now) if debt > account.floor else None


def flood(account: Guard, start: float, seconds: float) -> list[int]:
    """Send a thousand messages a second; return the delays told."""
    told = [send(account, start + n / 1000) for n in range(int(seconds * 1000))]
    return [delay for delay in told if delay is not None]


def test_a_flood_is_told_once_a_second_and_ended_after_five() -> None:
    account = guard()
    told = flood(account, 0.0, 5)
    assert 4 <= len(told) <= 6
    assert told == sorted(told), "the longer, the longer it takes to make good"
    with pytest.raises(Ended) as ended:
        flood(account, 5.0, 1)
    assert ended.value.error.code == "rate_limited"
    assert ended.value.error.retry_ms


def test_who_waits_as_told_starts_afresh() -> None:
    account, now = guard(), 0.0
    for _ in range(20):
        told: list[int] = []
        while not told:
            told = flood(account, now, 0.05)
            now += 0.05
        now += told[-1] / 1000
        assert send(account, now) is None
        assert account.floor == 0


def test_deadlines_pass() -> None:
    account = guard()
    account.check(joined=False, now=10.0)
    with pytest.raises(Ended):
        account.check(joined=False, now=10.1)
    account.check(joined=True, now=100.0)
    account.check(joined=False, now=200.0)
    account.check(joined=False, now=209.0)
    account.expect(Packet(5, "/game", None, 2), 209.0)
    account.check(joined=True, now=214.0)
    with pytest.raises(Ended):
        account.check(joined=True, now=214.1)


def test_parts_complete_their_packet_and_no_other() -> None:
    account = guard()
    with pytest.raises(Ended):
        account.part(b"x")
    packet = Packet(5, "/game", None, 2)
    account.expect(packet, 0.0)
    assert account.part(b"x") is None
    assert account.part(b"y") is packet
    assert packet.parts == [b"x", b"y"]
    account.check(joined=True, now=1000.0)
    with pytest.raises(Ended):
        account.part(b"z")
