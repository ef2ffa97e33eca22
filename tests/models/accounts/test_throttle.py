"""Failed sign-ins wait longer each time, codes run out of guesses, with Redis there or away."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from models.accounts.codes import DIGITS, LETTERS, OneTimeCodes
from models.accounts.throttle import KEPT, Throttle, delay_ms
from models.errors import AppError, ErrorCode
from models.limits import Rate
from tests.factories import ManualClock, redis_of

FIRST, MOST = 1000, 300_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with redis_of(redis_url) as client:
        yield client


@pytest.fixture(params=["there", "away"])
async def throttle(
    request: pytest.FixtureRequest, redis_url: str, redis_prefix: str, clock: ManualClock
) -> AsyncIterator[Throttle]:
    url = redis_url if request.param == "there" else "redis://127.0.0.1:9"
    async with redis_of(url) as client:
        yield Throttle(client, redis_prefix, clock, FIRST, MOST)


async def wait_of(throttle: Throttle, account: str) -> int:
    """Return how long an attempt has to wait; 0 for one that is let through."""
    try:
        await throttle.attempt(account)
    except AppError as error:
        return error.retry_ms or -1
    return 0


def test_the_delay_doubles_up_to_five_minutes() -> None:
    delays = [delay_ms(n, FIRST, MOST) for n in range(1, 40)]
    assert delays[:9] == [1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 256_000]
    assert set(delays[9:]) == {MOST}


async def test_each_failure_makes_the_next_attempt_wait_longer(
    throttle: Throttle, clock: ManualClock
) -> None:
    for failures in range(1, 12):
        assert await wait_of(throttle, "a") == 0
        delay = delay_ms(failures, FIRST, MOST)
        assert await wait_of(throttle, "a") == delay
        assert await wait_of(throttle, "b" * failures) == 0  # others are not held up
        clock.move(delay / 1000 - 0.001)
        assert await wait_of(throttle, "a") == 1
        clock.move(0.001)
    assert await wait_of(throttle, "a") == 0
    await throttle.succeeded("a")
    assert await wait_of(throttle, "a") == 0
    assert await wait_of(throttle, "a") == FIRST


async def test_of_many_attempts_at_once_one_is_let_through(
    throttle: Throttle, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A Redis that is only slow would count as away, and each of the two lets one through.
    monkeypatch.setattr("models.accounts.throttle.ANSWER_SECONDS", 5.0)
    waits = await asyncio.gather(*(wait_of(throttle, "a") for _ in range(20)))
    assert sorted(waits)[:2] == [0, FIRST]


async def test_a_worker_alone_remembers_so_many(redis_prefix: str, clock: ManualClock) -> None:
    async with redis_of("redis://127.0.0.1:9") as client:
        throttle = Throttle(client, redis_prefix, clock, FIRST, MOST)
        for n in range(KEPT + 10):
            throttle._here(str(n), 0)
        assert len(throttle._own) == KEPT


@pytest.fixture
def codes(redis: Redis, redis_prefix: str) -> OneTimeCodes:
    rng = random.Random(7)
    return OneTimeCodes(
        redis, redis_prefix, lambda text: hashlib.sha256(text.encode()).hexdigest(), rng.choice
    )


async def test_a_code_is_good_once_for_its_subject(codes: OneTimeCodes) -> None:
    code = await codes.issue("a", alphabet=LETTERS, length=8, seconds=60)
    assert len(code) == 8
    assert not await codes.check("b", code)
    spelled = f" {code[:4].lower()}-{code[4:].lower()} "
    answers = await asyncio.gather(*(codes.check("a", spelled) for _ in range(10)))
    assert sum(answers) == 1


async def test_a_newer_code_replaces_the_older(codes: OneTimeCodes) -> None:
    old = await codes.issue("a", alphabet=DIGITS, length=6, seconds=60)
    new = await codes.issue("a", alphabet=DIGITS, length=6, seconds=60)
    assert not await codes.check("a", old)
    assert await codes.check("a", new)


async def test_a_code_is_over_in_time_and_lies_nowhere_readable(
    codes: OneTimeCodes, redis: Redis, redis_prefix: str
) -> None:
    code = await codes.issue("a", alphabet=DIGITS, length=6, seconds=60)
    [key] = [key async for key in redis.scan_iter(match=f"{redis_prefix}:code:*")]
    assert 0 < await redis.ttl(key) <= 60
    assert code.encode() not in b"".join((await redis.hgetall(key)).values())
    await redis.delete(key)
    assert not await codes.check("a", code)


async def test_messages_are_counted_for_all_who_are_counted_or_for_none(
    codes: OneTimeCodes,
) -> None:
    one, two = {"n:1": (Rate(1, 60), Rate(2, 86_400))}, {"n:2": (Rate(1, 60),)}
    now = 1_000_000_000
    await codes.allow(one, now)
    with pytest.raises(AppError) as refused:
        await codes.allow({**one, **two}, now + 1)
    assert refused.value.code is ErrorCode.RATE_LIMITED
    await codes.allow(two, now + 2)  # the refused one took nothing of it
    await codes.allow(one, now + 60_000_000)
    with pytest.raises(AppError) as refused:
        await codes.allow(one, now + 120_000_000)  # two a day
    assert (refused.value.retry_ms or 0) > 3_600_000


async def test_without_redis_nothing_is_sent_and_nothing_is_right(redis_prefix: str) -> None:
    async with redis_of("redis://127.0.0.1:9") as client:
        codes = OneTimeCodes(client, redis_prefix, lambda text: text, lambda text: text[0])
        for asked in (
            codes.issue("a", alphabet=DIGITS, length=6, seconds=60),
            codes.check("a", "000000"),
            codes.allow({"n": (Rate(1, 60),)}, 1),
        ):
            with pytest.raises(AppError) as busy:
                await asked
            assert busy.value.code is ErrorCode.BUSY
