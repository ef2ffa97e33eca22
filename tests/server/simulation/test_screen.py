"""Ctrl-C, and work that is guarded."""

import asyncio
import os
import signal

import pytest

from server.simulation.screen import alongside, interrupts


async def _interrupt(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    await asyncio.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_one_is_calm_the_second_cancels(number: signal.Signals) -> None:
    calls: list[str] = []
    with interrupts() as interrupt:
        interrupt.calm = lambda: calls.append("calm")
        await _interrupt(number)
        assert calls == ["calm"]
        with pytest.raises(asyncio.CancelledError):
            await _interrupt(number)
        current = asyncio.current_task()
        assert current is not None
        current.uncancel()
    assert calls == ["calm"]


async def test_the_guards_error_ends_the_work() -> None:
    ended: list[bool] = []

    async def guard() -> None:
        await asyncio.sleep(0.01)
        raise LookupError("gone")

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    with pytest.raises(LookupError, match="gone"):
        await alongside(guard(), work())
    assert ended == [True]


async def test_the_works_end_ends_the_guard_and_its_error_is_raised() -> None:
    async def guard() -> None:
        await asyncio.sleep(60)

    async def work() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await alongside(guard(), work())
