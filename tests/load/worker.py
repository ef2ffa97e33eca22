"""One worker of the real server as a process of its own, with real databases: what is measured."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from config.clock import SystemClock
from models.accounts.tokens import create_dev_key
from server.app import ROOT
from server.embedded import EmbeddedServers, embedded
from server.supervisor import Supervisor, hold_port


@dataclass(frozen=True, slots=True)
class Measured:
    """A running worker, and what its numbers depend on."""

    url: str
    admin: str
    """URL that reaches it beside the players, for its metrics."""
    pid: int
    key: Path
    servers: EmbeddedServers


@asynccontextmanager
async def one_worker(settings: Mapping[str, str] | None = None) -> AsyncIterator[Measured]:
    """Start databases and one worker on loopback, and yield them once all of it is ready.

    Its log lies in a temporary directory with the key, and goes with it.

    Args:
        settings: more of its environment.

    Raises:
        EmbeddedError, SupervisorError: something cannot run here.
    """
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gemgem-bench-")))
        key = home / "dev-key.pem"
        create_dev_key(key)
        log = stack.enter_context((home / "log").open("ab"))
        servers = await stack.enter_async_context(embedded())
        port: int = stack.enter_context(hold_port("127.0.0.1", 0)).getsockname()[1]
        serve = ["serve", "--supervised", "--host", "127.0.0.1", "--port", str(port)]
        environment = {
            "GEMGEM_MONGO_URL": servers.mongo_url,
            "GEMGEM_REDIS_URL": servers.redis_url,
            "GEMGEM_DEV_KEY": str(key),
            "GEMGEM_DISCORD_WEBHOOK": None,  # nobody is to be woken by a measurement
            "PYTHONPATH": str(ROOT),
            **(settings or {}),
        }
        command = [sys.executable, "-m", "server", *serve]
        supervisor = Supervisor(command, environment, 1, SystemClock(), log.fileno())
        running = asyncio.create_task(supervisor.run())

        async def stop() -> None:
            supervisor.stop()
            await running

        stack.push_async_callback(stop)
        await supervisor.until_ready()
        (worker,) = supervisor.workers
        assert worker is not None
        admin = worker.admin.result()
        yield Measured(f"http://127.0.0.1:{port}", admin, worker.pid, key, servers)
