"""The memory benchmark: its arithmetic, its deaf watchers, and one short run of it."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.settings import Settings
from tests.flows.client import connected
from tests.flows.test_play import fist, play
from tests.load.deaf import DeafSeat, NotJoinedError, deaf
from tests.load.memory import Samples, drift, measured, resident, show
from tests.serving import Served, serving, settings_of


def test_minutes_are_means_and_the_first_is_left_out_of_the_drift() -> None:
    samples = Samples()
    for n in range(48):
        samples.add(5.0 * n, 100 + 10 * (n // 12) + n % 2)
    assert samples.minutes() == [100.5, 110.5, 120.5, 130.5]
    assert drift(samples.minutes()) == pytest.approx(130.5 / 110.5 - 1)
    assert drift([1.0, 2.0]) is None


def test_resident_memory_grows_with_what_is_held() -> None:
    before = resident(os.getpid())
    held = b"x" * 50_000_000
    assert resident(os.getpid()) - before > 0.9 * len(held)


@pytest.fixture
def settings(
    mongo_url: str, redis_url: str, mongo_database: str, redis_prefix: str, tmp_path: Path
) -> Settings:
    """Return limits under which a watcher that does not read is soon cut off."""
    return settings_of(
        mongo_url,
        redis_url,
        mongo_database,
        redis_prefix,
        tmp_path / "dev-key.pem",
        socket={"write_seconds": 1, "send_buffer_bytes": 4096},
    )


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[Served]:
    async with serving(settings) as server:
        yield server


async def test_a_deaf_watcher_is_cut_off_and_the_next_one_joins(served: Served) -> None:
    async with connected(served.url, "/game", served.token("guardian", "child-1")) as client:
        session_id = (await client.open())["session_id"]
        seat = DeafSeat(served.url, served.token("therapist", "*"), lambda: session_id)
        sitting = asyncio.create_task(seat.run())
        try:
            async with asyncio.timeout(30):
                seq = 0
                while seat.joins < 2:
                    seq, _ = await play(client, fist(1), seq, set_no=seq + 1)
        finally:
            sitting.cancel()
            await asyncio.wait({sitting})
        assert seat.closed == 1


async def test_who_is_not_let_in_is_told_so(served: Served) -> None:
    with pytest.raises(NotJoinedError, match="unauthenticated"):
        async with deaf(served.url, "no token", "s-1"):
            raise AssertionError("joined")
    with pytest.raises(NotJoinedError, match="not_found"):
        async with deaf(served.url, served.token("therapist", "*"), "s-1"):
            raise AssertionError("joined")


@pytest.mark.alone
@pytest.mark.timeout(120)
async def test_the_benchmark_tells_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    looks = []
    found = await measured(4.0, lambda *seen: looks.append(seen), sample_s=0.5, minute_s=1.0)
    assert len(found["minutes_mb"]) == 4
    assert len(looks) == found["samples"] >= 7
    assert found["level"] in (True, False)
    assert found["deaf_joined"] >= 1
    assert found["frames"] > 0
    assert "rate" not in found["limited"]
    assert found["errors"] == []
    assert json.loads(json.dumps(found)) == found
    show(found)
    show(found | {"level": None})
    assert "resident memory" in capsys.readouterr().out
