"""What faults are done to: databases, workers, a flusher and a line of our own."""

import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from redis.asyncio import Redis

from config.clock import Clock
from models.accounts.tokens import create_dev_key
from models.play.keys import PlayKeys
from server.app import ROOT
from server.chaos.plan import Fault, Kind
from server.chaos.proxy import Passage, Proxy
from server.embedded import EmbeddedServer, EmbeddedServers, Mongod, ValkeyServer, embedded
from server.simulation.line import LineLostError
from server.supervisor import HUNG_S, Supervisor, Worker, hold_port

FLUSH_S = 45.0
"""A consumer that died holding entries is relieved by then."""
DELAY_S = 0.2
BYTES_S = 8_000.0
FULL_BYTES = 1_000_000
"""Less than an empty server uses."""


class Rig:
    """Everything that plays against the children. Every process is our own child."""

    def __init__(
        self,
        servers: EmbeddedServers,
        workers: Supervisor,
        flusher: Supervisor,
        proxy: Proxy,
        key: Path,
        rng: random.Random,
    ) -> None:
        if servers.mongod is None or servers.valkey is None:
            raise ValueError("faults are done to servers of our own alone")
        self.mongo_url = servers.mongo_url
        self.url = proxy.url
        self.key = key
        self._mongod: Mongod = servers.mongod
        self._valkey: ValkeyServer = servers.valkey
        self._redis_url = servers.redis_url
        self._workers = workers
        self._flusher = flusher
        self._proxy = proxy
        self._rng = rng
        self._doing: dict[Kind, Callable[[Fault], Awaitable[None]]] = {
            Kind.REDIS_KILL: lambda fault: self._kill(self._valkey, fault),
            Kind.REDIS_FREEZE: lambda fault: self._freeze(self._valkey, fault),
            Kind.REDIS_SCRIPTS: self._flush_scripts,
            Kind.REDIS_FULL: self._fill,
            Kind.MONGO_KILL: lambda fault: self._kill(self._mongod, fault),
            Kind.MONGO_FREEZE: lambda fault: self._freeze(self._mongod, fault),
            Kind.WORKER_KILL: lambda fault: self._kill_worker(self._workers, fault),
            Kind.WORKER_FREEZE: lambda fault: self._freeze_worker(self._workers, fault),
            Kind.WORKER_HANG: self._hang_worker,
            Kind.FLUSHER_KILL: lambda fault: self._kill_worker(self._flusher, fault),
            Kind.FLUSHER_FREEZE: lambda fault: self._freeze_worker(self._flusher, fault),
            Kind.LINE_RESET: self._reset,
            Kind.LINE_SILENCE: self._silence,
            Kind.LINE_DELAY: self._delay,
            Kind.LINE_THROTTLE: self._throttle,
            Kind.ROLL: self._roll,
        }

    @property
    def restarts(self) -> int:
        """Workers and flushers started in place of one that ended."""
        return self._workers.restarts + self._flusher.restarts

    async def do(self, fault: Fault) -> None:
        """Let something go wrong, and return once it is put right again."""
        await self._doing[fault.kind](fault)

    async def until_flushed(self, keys: PlayKeys) -> bool:
        """Wait until the streams are empty; False if they still hold something after a while."""
        async with Redis.from_url(self._redis_url) as redis:
            for _ in range(round(FLUSH_S / 0.1)):
                left = [await redis.xlen(keys.stream(shard)) for shard in range(keys.shards)]
                if not any(left):
                    return True
                await asyncio.sleep(0.1)
        return False

    async def _kill(self, server: EmbeddedServer, fault: Fault) -> None:
        server.kill()
        await asyncio.sleep(fault.lasts_s)
        await server.start()

    async def _freeze(self, server: EmbeddedServer, fault: Fault) -> None:
        server.pause()
        try:
            await asyncio.sleep(fault.lasts_s)
        finally:
            server.resume()

    async def _flush_scripts(self, _: Fault) -> None:
        async with Redis.from_url(self._redis_url) as redis:
            await redis.script_flush()
            for kind in ("normal", "pubsub"):
                await redis.client_kill_filter(_type=kind, skipme=True)

    async def _fill(self, fault: Fault) -> None:
        async with Redis.from_url(self._redis_url) as redis:
            await redis.config_set("maxmemory", FULL_BYTES)
            try:
                await asyncio.sleep(fault.lasts_s)
            finally:
                await redis.config_set("maxmemory", 0)

    def _some_worker(self, supervisor: Supervisor) -> Worker:
        there = [worker for worker in supervisor.workers if worker is not None and worker.running]
        if not there:
            raise LineLostError("no worker is running")
        return self._rng.choice(there)

    async def _kill_worker(self, supervisor: Supervisor, _: Fault) -> None:
        self._some_worker(supervisor).signal(signal.SIGKILL)

    async def _freeze_worker(self, supervisor: Supervisor, fault: Fault) -> None:
        worker = self._some_worker(supervisor)
        worker.spared = True
        worker.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.lasts_s)
        finally:
            worker.signal(signal.SIGCONT)
            worker.spared = False

    async def _hang_worker(self, _: Fault) -> None:
        """Freeze a worker for good, and wait until its supervisor puts an end to it."""
        worker = self._some_worker(self._workers)
        worker.signal(signal.SIGSTOP)
        async with asyncio.timeout(4 * HUNG_S):
            await worker.process.wait()

    async def _reset(self, fault: Fault) -> None:
        for passage in self._proxy.some(fault.share, self._rng):
            passage.reset()

    async def _silence(self, fault: Fault) -> None:
        silent: list[Passage] = self._proxy.some(fault.share, self._rng)
        for passage in silent:
            passage.silence()
        try:
            await asyncio.sleep(fault.lasts_s)
        finally:
            for passage in silent:
                passage.sound()

    async def _delay(self, fault: Fault) -> None:
        self._proxy.delay_s = DELAY_S
        try:
            await asyncio.sleep(fault.lasts_s)
        finally:
            self._proxy.delay_s = 0.0

    async def _throttle(self, fault: Fault) -> None:
        self._proxy.bytes_s = BYTES_S
        try:
            await asyncio.sleep(fault.lasts_s)
        finally:
            self._proxy.bytes_s = None

    async def _roll(self, _: Fault) -> None:
        await self._workers.roll()


@contextlib.asynccontextmanager
async def rig(
    home: Path, workers: int, rng: random.Random, clock: Clock, log: int
) -> AsyncIterator[Rig]:
    """Start everything on loopback, and yield it once all of it is ready.

    Args:
        home: a directory for the key.
        workers: processes that take players.
        log: descriptor of the file where the processes' logs go.

    Raises:
        EmbeddedError, SupervisorError: something cannot run here.
    """
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(embedded())
        key = home / "dev-key.pem"
        create_dev_key(key)
        held = stack.enter_context(hold_port("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        environment = {
            "GEMGEM_MONGO_URL": servers.mongo_url,
            "GEMGEM_REDIS_URL": servers.redis_url,
            "GEMGEM_DEV_KEY": str(key),
            "GEMGEM_DISCORD_WEBHOOK": None,  # nobody is to be woken by a rehearsal
            "PYTHONPATH": str(ROOT),
        }
        ours = [sys.executable, "-m", "server"]
        # First, so that it and not a worker holds the streams when it is its turn to die.
        flusher = await _supervised(
            stack, Supervisor([*ours, "worker", "--supervised"], environment, 1, clock, log)
        )
        serve = [*ours, "serve", "--supervised", "--host", "127.0.0.1", "--port", str(port)]
        serving = await _supervised(stack, Supervisor(serve, environment, workers, clock, log))
        proxy = Proxy("127.0.0.1", port)
        await proxy.start()
        stack.push_async_callback(proxy.close)
        yield Rig(servers, serving, flusher, proxy, key, rng)


async def _supervised(stack: AsyncExitStack, supervisor: Supervisor) -> Supervisor:
    """Run a supervisor for as long as the stack lasts; return once its workers are ready."""
    running = asyncio.create_task(supervisor.run())

    async def stop() -> None:
        supervisor.stop()
        await running

    stack.push_async_callback(stop)
    await supervisor.until_ready()
    return supervisor
