"""The runner: jobs are restarted, told apart from outages, and stopped."""

import asyncio

import pytest

from jobs import runner as runner_module
from jobs.runner import FAILURES, WINDOW_S, Runner
from tests.factories import ManualClock


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "BACKOFF_S", (0.001,) * 6)
    monkeypatch.setattr(runner_module, "OUTAGE_S", 0.001)


async def test_a_job_that_ends_is_started_again_and_called_unhealthy() -> None:
    clock, runs = ManualClock(), 0
    enough = asyncio.Event()

    async def job() -> None:
        nonlocal runs
        runs += 1
        if runs == FAILURES + 1:
            enough.set()
            await asyncio.sleep(60)
        if runs % 2:
            raise ValueError("a fault of its own")

    runner = Runner(clock)
    await runner.start("shaky", job)
    await asyncio.wait_for(enough.wait(), 2)
    assert runner.unhealthy() == ["shaky"]
    clock.move(WINDOW_S + 1)
    assert runner.unhealthy() == []
    await runner.close()


async def test_an_outage_is_no_failure_of_the_job() -> None:
    clock, runs = ManualClock(), 0
    enough = asyncio.Event()

    async def job() -> None:
        nonlocal runs
        runs += 1
        if runs == 10:
            enough.set()
            await asyncio.sleep(60)
        raise ConnectionError("away")

    runner = Runner(clock, outages=(OSError,))
    await runner.start("patient", job)
    await asyncio.wait_for(enough.wait(), 2)
    assert runner.unhealthy() == []
    await runner.close()


async def test_a_task_ends_though_it_loses_cancellations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "CANCEL_AGAIN_S", 0.01)
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        while lost < 3:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost += 1
        await asyncio.sleep(60)

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await runner_module.end(task)
    assert lost == 3
    assert task.cancelled()
