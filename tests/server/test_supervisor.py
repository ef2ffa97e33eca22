"""Several workers on one port: spread, restarted, rolled, drained, and gone with their parent."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from config.clock import SystemClock
from server.app import ROOT
from server.supervisor import HUNG_S, Supervisor, SupervisorError, hold_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="SO_REUSEPORT as Linux has it")

WORKER = """
import asyncio, os, signal, sys
from aiohttp import web
from server.supervisor import Lifeline

async def main():
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    async def pid(_):
        return web.Response(text=str(os.getpid()))
    app = web.Application()
    for path in ("/", "/live", "/ready"):
        app.router.add_get(path, pid)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1]), reuse_port=True).start()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[-1][1]}", flush=True)
    Lifeline().hold()
    await stop.wait()
    await runner.cleanup()

asyncio.run(main())
"""
PARENT = """
import asyncio, sys
from config.clock import SystemClock
from server.supervisor import Supervisor

async def main():
    supervisor = Supervisor([sys.executable, *sys.argv[1:]], {}, 2, SystemClock())
    async def tell():
        await supervisor.until_ready()
        print(*(worker.pid for worker in supervisor.workers), flush=True)
    telling = asyncio.create_task(tell())
    await supervisor.run()

asyncio.run(main())
"""


@asynccontextmanager
async def _running(port: int, count: int = 2, hung_s: float = HUNG_S) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(
        [sys.executable, "-c", WORKER, str(port)],
        {"PYTHONPATH": str(ROOT)},
        count,
        SystemClock(),
        hung_s=hung_s,
    )
    running = asyncio.create_task(supervisor.run())
    try:
        await supervisor.until_ready()
        yield supervisor
    finally:
        supervisor.stop()
        await running


def _pids(supervisor: Supervisor) -> set[int]:
    return {worker.pid for worker in supervisor.workers if worker is not None}


async def _answering(port: int) -> set[int]:
    """Return who answers on the port, over many connections."""
    found = set()
    for _ in range(40):
        # A listener that closes resets what nobody has accepted yet: clients come back.
        with contextlib.suppress(aiohttp.ClientError):
            async with (
                aiohttp.ClientSession() as http,
                http.get(f"http://127.0.0.1:{port}/") as answer,
            ):
                found.add(int(await answer.text()))
    return found


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def _until_gone(pids: set[int]) -> None:
    for _ in range(400):
        if not any(_alive(pid) for pid in pids):
            return
        await asyncio.sleep(0.025)
    raise TimeoutError(f"still there: {pids}")


async def test_workers_share_a_port_and_one_that_dies_is_replaced() -> None:
    with hold_port("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        async with _running(port) as supervisor:
            first = _pids(supervisor)
            assert await _answering(port) == first
            dead = min(first)
            os.kill(dead, signal.SIGKILL)
            await _until_gone({dead})
            for _ in range(200):
                if len(_pids(supervisor) - {dead}) == 2:
                    break
                await asyncio.sleep(0.025)
            await supervisor.until_ready()
            assert supervisor.restarts == 1
            assert await _answering(port) == _pids(supervisor)
            last = _pids(supervisor)
        await _until_gone(last)


async def test_a_roll_replaces_every_worker_and_serves_throughout() -> None:
    with hold_port("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        async with _running(port) as supervisor:
            before = _pids(supervisor)
            rolling = asyncio.create_task(supervisor.roll())
            seen: set[int] = set()
            while not rolling.done():
                seen |= await _answering(port)
            assert await rolling
            after = _pids(supervisor)
            assert len(after) == 2
            assert not after & before
            assert supervisor.restarts == 0
            assert before & seen
            assert await _answering(port) == after


async def test_a_frozen_worker_ends_as_well() -> None:
    with hold_port("127.0.0.1", 0) as held:
        async with _running(held.getsockname()[1]) as supervisor:
            pids = _pids(supervisor)
            os.kill(min(pids), signal.SIGSTOP)
        await _until_gone(pids)


@pytest.mark.alone
async def test_a_worker_that_hangs_is_killed_and_one_that_is_spared_is_not() -> None:
    with hold_port("127.0.0.1", 0) as held:
        async with _running(held.getsockname()[1], hung_s=1.5) as supervisor:
            hung, spared = (worker for worker in supervisor.workers if worker is not None)
            spared.spared = True
            for worker in (hung, spared):
                os.kill(worker.pid, signal.SIGSTOP)
            async with asyncio.timeout(20):
                await hung.process.wait()
            await asyncio.sleep(2.0)
            assert hung.process.returncode == -signal.SIGKILL
            assert spared.running
            os.kill(spared.pid, signal.SIGCONT)


async def test_a_worker_that_cannot_begin_is_an_error() -> None:
    supervisor = Supervisor([sys.executable, "-c", "raise SystemExit(2)"], {}, 2, SystemClock())
    with pytest.raises(SupervisorError, match="status 2 before it was ready"):
        await supervisor.run()


async def test_no_worker_outlives_a_supervisor_that_is_killed() -> None:
    with hold_port("127.0.0.1", 0) as held:
        parent = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PARENT,
            "-c",
            WORKER,
            str(held.getsockname()[1]),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
        )
        assert parent.stdout is not None
        pids = {int(pid) for pid in (await parent.stdout.readline()).split()}
        assert len(pids) == 2
        assert all(_alive(pid) for pid in pids)
        parent.kill()
        await parent.wait()
        await _until_gone(pids)


def test_a_port_in_use_is_said() -> None:
    with hold_port("127.0.0.1", 0) as held:
        held.listen()
        with pytest.raises(OSError, match="in use"):
            hold_port("127.0.0.1", held.getsockname()[1])
