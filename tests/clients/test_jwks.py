"""Keys of a provider: fetched once for all, kept as long as it says, and through an outage."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from clients.base import Upstream, UpstreamError
from clients.google import CERTS
from clients.jwks import STALE_SECONDS, TTL_LEAST, TTL_SECONDS, UNKNOWN_SECONDS, Jwks
from tests.factories import ManualClock
from tests.fakes.vouchers import FakeVouchers, fake_vouchers


@pytest.fixture
async def fake() -> AsyncIterator[FakeVouchers]:
    async with fake_vouchers() as one:
        yield one


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def jwks(fake: FakeVouchers, clock: ManualClock) -> AsyncIterator[Jwks]:
    # The breaker has a clock of its own: it is not what is tested here.
    keys = Jwks(Upstream("p", fake.url, attempts=1), CERTS, "RS256", clock)
    yield keys
    await keys.close()


async def test_many_who_ask_at_once_fetch_once(fake: FakeVouchers, jwks: Jwks) -> None:
    found = await asyncio.gather(*(jwks.key(fake.kid) for _ in range(50)))
    assert all(found)
    assert len(fake.asked) == 1


async def test_one_who_hangs_up_does_not_take_the_fetch_away(
    fake: FakeVouchers, jwks: Jwks
) -> None:
    fake.stall_seconds = 0.1
    first = asyncio.create_task(jwks.key(fake.kid))
    second = asyncio.create_task(jwks.key(fake.kid))
    async with asyncio.timeout(2):
        while not fake.asked:
            await asyncio.sleep(0.005)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert await second
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("public, max-age=120", 120),
        ("max-age=1", TTL_LEAST),
        ("no-store", TTL_SECONDS),
        ("s-maxage=5", TTL_SECONDS),
        ("max-age=999999", 24 * 3600),
        ("", TTL_SECONDS),
    ],
)
async def test_keys_are_kept_as_long_as_it_says(
    fake: FakeVouchers, jwks: Jwks, clock: ManualClock, said: str, kept: float
) -> None:
    fake.cache_control = said
    await jwks.key(fake.kid)
    clock.move(kept - 1)
    await jwks.key(fake.kid)
    assert len(fake.asked) == 1
    clock.move(1)
    await jwks.key(fake.kid)
    assert len(fake.asked) == 2


async def test_an_unknown_key_asks_anew_once_a_minute(
    fake: FakeVouchers, jwks: Jwks, clock: ManualClock
) -> None:
    old = fake.kid
    assert await jwks.key(old)
    fake.rotate(keep=True)
    for _ in range(20):
        assert await jwks.key(fake.kid) is None
    assert len(fake.asked) == 1
    clock.move(UNKNOWN_SECONDS)
    assert await jwks.key(fake.kid)
    assert await jwks.key(old)
    for n in range(20):
        assert await jwks.key(f"made up {n}") is None
    assert len(fake.asked) == 2


async def test_a_key_that_is_withdrawn_is_forgotten(
    fake: FakeVouchers, jwks: Jwks, clock: ManualClock
) -> None:
    old = fake.kid
    assert await jwks.key(old)
    fake.rotate()
    clock.move(TTL_SECONDS)
    assert await jwks.key(old) is None


@pytest.mark.parametrize("fault", ["status", "cut"])
async def test_old_keys_serve_for_a_day_of_outage(
    fake: FakeVouchers, jwks: Jwks, clock: ManualClock, fault: str
) -> None:
    assert await jwks.key(fake.kid)
    if fault == "status":
        fake.status = 400
    else:
        fake.cut = True
    clock.move(STALE_SECONDS - TTL_LEAST)
    assert await jwks.key(fake.kid)
    asked = len(fake.asked)
    assert await jwks.key(fake.kid)  # and nobody waits for the same outage again at once
    assert len(fake.asked) == asked
    clock.move(TTL_LEAST)
    with pytest.raises(UpstreamError):
        await jwks.key("one that could not be fetched")
    assert await jwks.key(fake.kid)
    clock.move(TTL_LEAST + 1)
    with pytest.raises(UpstreamError):
        await jwks.key(fake.kid)
    fake.status, fake.cut = 200, False
    assert await jwks.key(fake.kid)


async def test_a_secret_among_the_keys_is_no_key(fake: FakeVouchers, jwks: Jwks) -> None:
    assert await jwks.key(fake.kid)
    assert await jwks.key("oct") is None
