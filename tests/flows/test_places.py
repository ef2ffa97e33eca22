"""Places of connections over two real workers that share one Redis."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from config.settings import Settings
from server.app import ROOT
from server.embedded import ValkeyServer
from tests.flows.raw import Raw, raw
from tests.serving import Served, serving, settings_of

CLINIC = {"X-Forwarded-For": "203.0.113.9"}
LIMITS = {"account_connections": 2, "address_connections": 3}
Make = Callable[..., Settings]


@pytest.fixture
def make(
    mongo_url: str, redis_url: str, mongo_database: str, redis_prefix: str, tmp_path: Path
) -> Make:
    """Return what makes settings; all workers of a test share stores and key."""

    def settings(redis: str = redis_url, **limits: Any) -> Settings:
        return settings_of(
            mongo_url,
            redis,
            mongo_database,
            redis_prefix,
            tmp_path / "dev-key.pem",
            socket={**LIMITS, **limits},
            http={"proxies": ["127.0.0.0/8"]},
        )

    return settings


async def answer_to(client: Raw, token: str) -> dict[str, Any]:
    """Ask for `/game`; return what was answered."""
    await client.say("40/game," + json.dumps({"token": token}))
    answer: dict[str, Any] = json.loads((await client.until("4"))[8:])
    return answer


@asynccontextmanager
async def let_in(served: Served, sub: str, headers: Any = None) -> AsyncIterator[Raw]:
    """A client that must be let in."""
    async with raw(served.url, headers=headers) as client:
        answer = await answer_to(client, served.token("guardian", "child-1", sub=sub))
        assert "sid" in answer, answer
        yield client


async def why_not(served: Served, sub: str, headers: Any = None) -> dict[str, Any]:
    """Be refused, and return the reason."""
    async with raw(served.url, headers=headers) as client:
        answer = await answer_to(client, served.token("guardian", "child-1", sub=sub))
        assert "data" in answer, "let in"
        return answer


async def until_let_in(served: Served, sub: str, seconds: float) -> float:
    """Try until there is room; return the seconds it took."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while True:
            async with raw(served.url) as client:
                token = served.token("guardian", "child-1", sub=sub)
                if "sid" in await answer_to(client, token):
                    return time.monotonic() - began
            await asyncio.sleep(0.05)


async def test_an_account_has_its_places_on_all_workers_together(make: Make) -> None:
    async with serving(make()) as one, serving(make()) as two, let_in(one, "a"):
        async with let_in(two, "a"):
            for worker in (one, two):
                why = await why_not(worker, "a")
                assert why["message"] == "Too many connections of this account; wait."
                assert why["data"] == {"code": "rate_limited", "retry_ms": 5000}
            async with let_in(two, "another"):
                pass
        await until_let_in(one, "a", 5)


async def test_an_address_has_its_places_on_all_workers_together(make: Make) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(serving(make()))
        two = await stack.enter_async_context(serving(make()))
        await stack.enter_async_context(let_in(one, "a", CLINIC))
        await stack.enter_async_context(let_in(two, "b", CLINIC))
        # One that has joined nothing yet counts as well.
        await stack.enter_async_context(raw(two.url, headers=CLINIC))
        for worker in (one, two):
            why = await why_not(worker, "c", CLINIC)
            assert why["message"] == "Too many connections of this address or server; wait."
            assert why["data"]["code"] == "rate_limited"
        async with let_in(one, "c", {"X-Forwarded-For": "203.0.113.10"}), let_in(two, "d"):
            pass


async def test_a_worker_that_stops_leaves_no_places(make: Make, redis_url: str) -> None:
    settings = make()
    async with (
        serving(settings) as one,
        serving(settings) as two,
        let_in(one, "a"),
        let_in(two, "a"),
    ):
        pass
    async with Redis.from_url(redis_url) as redis:
        pattern = f"{settings.store.redis_prefix}:*:places:*"
        assert [key async for key in redis.scan_iter(match=pattern, count=1000)] == []


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
async def test_the_places_of_a_killed_worker_lapse(make: Make, tmp_path: Path) -> None:
    settings = make(place_seconds=1)
    async with serving(settings) as alive:
        assert settings.mongo_url is not None
        assert settings.redis_url is not None
        ready, ours = os.pipe()
        doomed = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server", "serve", "--port", "0"),
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "GEMGEM_MONGO_URL": settings.mongo_url.get_secret_value(),
                "GEMGEM_REDIS_URL": settings.redis_url.get_secret_value(),
                "GEMGEM_DEV_KEY": str(settings.dev_key),
                "GEMGEM_STORE__MONGO_DATABASE": settings.store.mongo_database,
                "GEMGEM_STORE__REDIS_PREFIX": settings.store.redis_prefix,
                "GEMGEM_SOCKET__ACCOUNT_CONNECTIONS": "2",
                "GEMGEM_SOCKET__PLACE_SECONDS": "1",
            },
            stderr=ours,
        )
        os.close(ours)
        try:
            url = await asyncio.to_thread(_address, ready)
            there = Served(url, alive.key, settings, alive.app)
            async with let_in(there, "a"), let_in(there, "a"):
                # Longer than a lease: they are renewed.
                for _ in range(3):
                    await why_not(alive, "a")
                    await asyncio.sleep(0.6)
                doomed.kill()
                await doomed.wait()
                await why_not(alive, "a")
                assert await until_let_in(alive, "a", 10) < 3
        finally:
            if doomed.returncode is None:
                doomed.kill()
                await doomed.wait()


def _address(descriptor: int) -> str:
    """Read a log until it says where the server is."""
    with os.fdopen(descriptor) as log:
        for line in log:
            if "serving on " in line:
                return line.rpartition("serving on ")[2].strip()
    raise AssertionError("it never served")


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[ValkeyServer]:
    """Run a Valkey that the test may freeze and kill."""
    server = ValkeyServer(tmp_path / "valkey", temporary=False)
    await server.start()
    yield server
    await server.stop()


async def test_without_redis_each_worker_counts_for_itself(
    make: Make, valkey: ValkeyServer
) -> None:
    settings = make(valkey.url, place_wait_ms=300)
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(serving(settings))
        two = await stack.enter_async_context(serving(settings))
        await stack.enter_async_context(let_in(one, "a"))
        valkey.pause()
        try:
            began = time.monotonic()
            for worker in (one, two, two):
                await stack.enter_async_context(let_in(worker, "a"))
            assert time.monotonic() - began < 3
            for worker in (one, two):
                why = await why_not(worker, "a")
                assert why["message"] == "Too many connections of this account; wait."
        finally:
            valkey.resume()
        valkey.kill()
        async with let_in(one, "b"), let_in(two, "b"), let_in(two, "b"):
            await why_not(two, "b")
            await valkey.restart()
            async with asyncio.timeout(10):
                while await _is_let_in(one, "b"):
                    await asyncio.sleep(0.2)


async def _is_let_in(served: Served, sub: str) -> bool:
    async with raw(served.url) as client:
        answer = await answer_to(client, served.token("guardian", "child-1", sub=sub))
        return "sid" in answer
