"""Limits: the script in Redis and the worker's own count, both against a plain model."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from models.errors import AppError, ErrorCode
from models.limits import Gate, Limit, Rate, Rates
from tests.factories import ManualClock, redis_of

RATES = {Limit.OTHERS: Rates(address=Rate(5), account=Rate(3)),
         Limit.SIGN_IN: Rates(address=Rate(7, 10), account=Rate(2, 10))}  # fmt: skip
NOWHERE = "redis://127.0.0.1:9/0"


class Bucket:
    """A bucket that holds `count` and refills evenly: what the limits are meant to be."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._level = Fraction(rate.count)
        self._at = 0

    def left(self, now_us: int) -> Fraction:
        """Return what it holds."""
        gained = Fraction(now_us - self._at, self._rate.interval_us)
        self._level = min(self._level + gained, Fraction(self._rate.count))
        self._at = now_us
        return self._level

    def after(self, wait_us: int) -> Fraction:
        """Return what it will hold."""
        return self._level + Fraction(wait_us, self._rate.interval_us)

    def take(self) -> None:
        """Take one."""
        self._level -= 1


def gate_of(redis: Redis, clock: ManualClock, prefix: str | None = None) -> Gate:
    return Gate(redis, prefix or f"test:{uuid.uuid4().hex}", RATES, clock)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with redis_of(redis_url) as client:
        yield client


STEPS = st.lists(
    st.tuples(
        st.integers(0, 30_000_000),
        st.sampled_from(["a", "b", None]),
        st.sampled_from(["x", "y", None]),
        st.sampled_from([Limit.OTHERS, Limit.SIGN_IN]),
    ),
    max_size=40,
)


Step = tuple[int, str | None, str | None, Limit]


async def follows_the_model(gate: Gate, clock: ManualClock, steps: list[Step]) -> None:
    """Take steps and compare each with buckets."""
    buckets: dict[tuple[str, str, str], Bucket] = {}
    start = clock.time_us()
    for wait_us, address, account, limit in steps:
        clock.us += wait_us
        now = clock.time_us() - start
        counted = [
            buckets.setdefault((limit, kind, who), Bucket(rate))
            for kind, who, rate in (
                ("address", address, RATES[limit].address),
                ("account", account, RATES[limit].account),
            )
            if who is not None
        ]
        room = all(bucket.left(now) >= 1 for bucket in counted)
        refused = await refusal(gate, limit, address, account)
        assert (refused is None) == room
        if refused is None:
            for bucket in counted:
                bucket.take()
            continue
        assert refused.code is ErrorCode.RATE_LIMITED
        assert refused.retry_ms is not None
        assert all(bucket.after(refused.retry_ms * 1000) >= 1 for bucket in counted)


async def refusal(
    gate: Gate, limit: Limit, address: str | None, account: str | None
) -> AppError | None:
    try:
        await gate.pass_or_refuse(f"GET /{limit}", limit, address=address, account=account)
    except AppError as error:
        return error
    return None


def test_the_script_and_the_own_count_are_buckets(redis_url: str) -> None:
    @settings(max_examples=40, deadline=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(STEPS)
    def check(steps: list[Step]) -> None:
        async def run() -> None:
            clock = ManualClock()
            async with redis_of(redis_url) as redis:
                await follows_the_model(gate_of(redis, clock), clock, steps)
            async with redis_of(NOWHERE) as away:
                clock = ManualClock()
                await follows_the_model(gate_of(away, clock), clock, steps)

        asyncio.run(run())

    check()


async def test_two_workers_count_together(redis: Redis) -> None:
    clock, prefix = ManualClock(), f"test:{uuid.uuid4().hex}"
    gates = [gate_of(redis, clock, prefix) for _ in range(2)]
    asked = [gates[n % 2].pass_or_refuse("r", Limit.OTHERS, address="a") for n in range(20)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert answers.count(None) == 5


async def test_what_is_refused_by_one_is_taken_from_nobody(redis: Redis) -> None:
    gate = gate_of(redis, ManualClock())
    for n in range(3):
        await gate.pass_or_refuse("r", Limit.OTHERS, address=f"a{n}", account="me")
    for _ in range(10):
        with pytest.raises(AppError):
            await gate.pass_or_refuse("r", Limit.OTHERS, address="b", account="me")
    for n in range(5):
        await gate.pass_or_refuse("r", Limit.OTHERS, address="b", account=f"other-{n}")


async def test_routes_are_counted_by_themselves_and_nobody_is_not_counted(redis: Redis) -> None:
    gate = gate_of(redis, ManualClock())
    for _ in range(50):
        await gate.pass_or_refuse("r", Limit.OTHERS)
    for route in ("GET /a", "GET /b"):
        for _ in range(5):
            await gate.pass_or_refuse(route, Limit.OTHERS, address="a")


async def test_a_clock_that_was_ahead_locks_nobody_out(redis: Redis) -> None:
    ahead, right, prefix = ManualClock(), ManualClock(), f"test:{uuid.uuid4().hex}"
    ahead.move(3600)
    for _ in range(5):
        await gate_of(redis, ahead, prefix).pass_or_refuse("r", Limit.OTHERS, address="a")
    gate = gate_of(redis, right, prefix)
    right.move(60)
    with pytest.raises(AppError) as refused:
        await gate.pass_or_refuse("r", Limit.OTHERS, address="a")
    assert refused.value.retry_ms is not None
    assert refused.value.retry_ms <= 60_000


async def test_marks_are_forgotten_once_they_say_nothing(redis: Redis) -> None:
    prefix = f"test:{uuid.uuid4().hex}"
    await gate_of(redis, ManualClock(), prefix).pass_or_refuse("r", Limit.OTHERS, address="a")
    keys = [key async for key in redis.scan_iter(match=f"{prefix}*")]
    assert len(keys) == 1
    assert 0 < await redis.pttl(keys[0]) <= 61_000


async def test_redis_is_left_alone_for_a_while_after_it_failed() -> None:
    clock = ManualClock()
    async with redis_of(NOWHERE) as away:
        gate = gate_of(away, clock)
        for _ in range(5):
            await gate.pass_or_refuse("r", Limit.OTHERS, address="a")
        with pytest.raises(AppError):
            await gate.pass_or_refuse("r", Limit.OTHERS, address="a")
