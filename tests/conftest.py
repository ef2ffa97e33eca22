"""What every test gets: no task and no thread may outlive it."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest


@pytest.fixture(autouse=True)
async def no_leaks() -> AsyncIterator[None]:
    """Fail a test that leaves a task or a non-daemon thread behind."""
    before_threads = set(threading.enumerate())
    before_tasks = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    left = {task for task in asyncio.all_tasks() - before_tasks if not task.done()}
    assert not left, f"tasks left running: {left}"
    threads = {t for t in set(threading.enumerate()) - before_threads if not t.daemon}
    assert not threads, f"threads left running: {threads}"
