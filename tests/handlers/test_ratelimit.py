"""Budgets, places, and whose address counts."""

import random

import pytest

from handlers.ratelimit import Budget, Seats, client_of, networks


def test_a_burst_is_taken_at_once_and_no_more() -> None:
    budget = Budget(messages_s=120, bytes_s=1_000_000, burst_s=2, now=100.0)
    debts = [budget.take(1, 10, 100.0) for _ in range(241)]
    assert max(debts[:240]) == pytest.approx(0.0, abs=1e-9)
    assert debts[240] == pytest.approx(1 / 120)


def test_bytes_are_counted_beside_messages() -> None:
    budget = Budget(messages_s=120, bytes_s=1000, burst_s=2, now=0.0)
    assert budget.take(1, 2000, 0.0) == pytest.approx(0.0)
    assert budget.take(0, 500, 0.0) == pytest.approx(0.5)
    assert budget.take(1, 0, 0.25) == pytest.approx(0.25), "time pays"


@pytest.mark.parametrize("seed", range(20))
def test_over_any_time_no_more_is_within_than_rate_and_burst_allow(seed: int) -> None:
    rng = random.Random(seed)
    rate, burst, now = 50.0, 2.0, 0.0
    budget = Budget(rate, 1e12, burst, now)
    within: list[float] = []
    for _ in range(2000):
        now += rng.expovariate(rng.choice([10, 60, 500]))
        if budget.take(1, 1, now) <= 0:
            within.append(now)
    for first in range(0, len(within), 37):
        for last in range(first, len(within), 53):
            assert last - first <= rate * (within[last] - within[first] + burst) + 1e-6


def test_who_keeps_to_the_rate_is_never_over() -> None:
    budget = Budget(120, 1e12, 2, 0.0)
    assert all(budget.take(1, 1, n / 119) <= 0 for n in range(10_000))


def test_seats_are_counted_by_owner_and_together() -> None:
    seats = Seats(each=2, total=3)
    seats.take("a")
    seats.take("a")
    assert seats.full("a")
    assert not seats.full("b")
    assert not seats.full("a", times=2)
    seats.take(None)
    assert seats.full("b")
    assert seats.full(None)
    seats.leave("a")
    assert not seats.full("a")
    seats.leave("a")
    seats.leave(None)
    assert seats.total == 0


PROXIES = networks(["10.0.0.0/8", "::1"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", ["198.51.100.1"], "203.0.113.5"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1, 10.2.3.4"], "198.51.100.1"),
        ("10.0.0.1", ["rubbish"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, rubbish"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("127.0.0.1", [], None),
        ("127.0.0.1", ["198.51.100.1"], None),
        ("::1", [], None),
        ("::1", ["127.0.0.1"], "127.0.0.1"),
        ("::ffff:203.0.113.5", [], "203.0.113.5"),
        ("::ffff:127.0.0.1", [], None),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", [], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        (None, [], None),
        ("", [], ""),
    ],
)
def test_the_client_is_who_our_own_proxies_saw(
    peer: str | None, forwarded: list[str], client: str | None
) -> None:
    assert client_of(peer, forwarded, PROXIES) == client
