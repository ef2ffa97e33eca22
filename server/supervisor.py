"""Supervision of worker processes on one port: started, restarted, rolled one by one, drained.

A worker is a process of its own that opens the port with SO_REUSEPORT, so that the kernel spreads
connections over all of them, and a port on loopback that is its alone. Two pipes tie it to us: its
standard output says that port in its first line; its standard input never says anything, and its
end tells the worker that we are gone, by SIGKILL perhaps (`Lifeline`).
"""

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp

from config.clock import Clock

log = logging.getLogger(__name__)

BACKOFF_S = (0.1, 0.5, 1.0, 2.0, 5.0)
STEADY_S = 30.0
"""A worker that lived this long is restarted at once."""
READY_S = 45.0
"""How long a start may take on a cold and busy machine, seconds."""
POLL_S = 0.1
DRAIN_S = 13.5
"""A worker still there this long after SIGTERM is killed; the whole may take 15 s."""
HUNG_S = 12.0
"""A worker whose loop answers nobody for this long is killed: the kernel still sends it clients,
and those it has would only notice after 18 s."""


class SupervisorError(Exception):
    """The workers cannot be run. The text is one sentence."""


@dataclass(slots=True, eq=False)
class Worker:
    """One worker process."""

    process: asyncio.subprocess.Process
    began: float
    admin: "asyncio.Future[str]" = field(default_factory=asyncio.Future)
    """URL that reaches this worker alone, once it listens."""
    spared: bool = False
    """Not to be killed however long it hangs: a rehearsal wants to see it wake."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives, frozen or not."""
        return self.process.returncode is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def end(self, seconds: float = DRAIN_S) -> None:
        """Ask for an orderly end, then insist."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)  # a frozen one would not hear it
        try:
            async with asyncio.timeout(seconds):
                await self.process.wait()
        except TimeoutError:
            log.warning("worker %d does not end; killing it", self.pid)
            self.signal(signal.SIGKILL)
            await self.process.wait()


class Supervisor:
    """Keeps a number of workers running until it is stopped."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str | None],
        count: int,
        clock: Clock,
        log_to: int | None = None,
        hung_s: float = HUNG_S,
    ) -> None:
        """Prepare; nothing is started before `run`.

        Args:
            command: what starts a worker.
            environment: added to our own, and taken from it where it says None; `GEMGEM_NODE`
                gets a number for each worker.
            log_to: descriptor of the file where the workers' logs go; ours by default.
            hung_s: seconds after which a worker that answers nobody is killed.
        """
        self.workers: list[Worker | None] = [None] * count
        self.restarts = 0
        """Workers started in place of one that ended by itself."""
        self._command = command
        self._environment = environment
        self._clock = clock
        self._log_to = log_to
        self._hung_s = hung_s
        self._stopping = asyncio.Event()
        self._rolling = asyncio.Lock()
        self._serial = 0
        self._started: set[Worker] = set()
        self._was_ready = False
        self._http: aiohttp.ClientSession | None = None

    async def run(self) -> None:
        """Run the workers until `stop`; all of them have ended when it returns.

        Raises:
            SupervisorError: a worker ended before any was ever ready.
        """
        timeout = aiohttp.ClientTimeout(total=2.0)
        async with aiohttp.ClientSession(timeout=timeout) as self._http:
            try:
                async with asyncio.TaskGroup() as group:
                    for slot in range(len(self.workers)):
                        group.create_task(self._keep(slot))
            except* SupervisorError as failed:
                raise failed.exceptions[0] from None
            finally:
                self._stopping.set()
                await asyncio.gather(*(worker.end() for worker in self._started))

    def stop(self) -> None:
        """Let every worker drain and end."""
        self._stopping.set()

    async def until_ready(self) -> None:
        """Wait until every worker is ready, for at most `READY_S`.

        Raises:
            SupervisorError: that took too long.
        """
        for slot in range(len(self.workers)):
            if not await self._soon_ready(functools.partial(self.workers.__getitem__, slot)):
                raise SupervisorError(f"the workers were not ready after {READY_S:.0f} s")

    async def roll(self) -> bool:
        """Replace the workers one by one, each by one that is ready; False if one never was."""
        async with self._rolling:
            for slot in range(len(self.workers)):
                if self._stopping.is_set():
                    return False
                fresh = await self._start()
                if not await self._soon_ready(functools.partial(_itself, fresh)):
                    log.error("worker %d is not ready; the old ones go on", fresh.pid)
                    await fresh.end()
                    return False
                old, self.workers[slot] = self.workers[slot], fresh
                if old is not None:
                    log.info("worker %d replaces worker %d", fresh.pid, old.pid)
                    await old.end()
        return True

    async def _keep(self, slot: int) -> None:
        """Keep one place filled."""
        quick = 0
        while not self._stopping.is_set():
            worker = self.workers[slot]
            if worker is None:
                worker = self.workers[slot] = await self._start()
            if not await self._watch(worker):
                return
            if self.workers[slot] is not worker:
                continue  # it was replaced, and has ended as asked
            self.workers[slot] = None
            status = worker.process.returncode
            if not self._was_ready and status:
                raise SupervisorError(f"a worker ended with status {status} before it was ready")
            lived = self._clock.monotonic() - worker.began
            quick = 0 if lived > STEADY_S else min(quick + 1, len(BACKOFF_S))
            wait = BACKOFF_S[quick - 1] if quick else 0.0
            log.error("worker %d ended with status %s; again in %.1f s", worker.pid, status, wait)
            self.restarts += 1
            await _first(self._stopping.wait(), asyncio.sleep(wait))

    async def _watch(self, worker: Worker) -> bool:
        """Wait for the end of a worker; False if we are to stop first."""
        probing = asyncio.create_task(self._probe(worker))
        try:
            await _first(worker.process.wait(), self._stopping.wait())
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)
        return not worker.running

    async def _probe(self, worker: Worker) -> None:
        """Kill a worker whose event loop does not turn any more."""
        heard = self._clock.monotonic()
        while True:
            await asyncio.sleep(self._hung_s / 10)
            now = self._clock.monotonic()
            if await self._get(worker, "/live") or worker.spared:
                heard = now
            # A start may take longer: until it listens there is nobody to ask.
            patience = self._hung_s if worker.admin.done() else READY_S
            if now - heard > patience:
                log.error("worker %d has not answered for %.0f s; killing it", worker.pid, patience)
                worker.signal(signal.SIGKILL)
                return

    async def _start(self) -> Worker:
        self._serial += 1
        changed = {**os.environ, **self._environment}
        environment = {name: value for name, value in changed.items() if value is not None}
        if node := environment.get("GEMGEM_NODE"):
            environment["GEMGEM_NODE"] = f"{node}-{self._serial}"
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log_to,
            env=environment,
            start_new_session=True,  # the terminal's Ctrl-C is ours to act on
        )
        worker = Worker(process, self._clock.monotonic())
        self._started = {worker, *(old for old in self._started if old.running)}
        log.info("worker %d started", worker.pid)
        return worker

    async def _soon_ready(self, worker: Callable[[], Worker | None]) -> bool:
        """Wait until the worker of the moment is ready, for at most `READY_S`."""
        deadline = self._clock.monotonic() + READY_S
        while self._clock.monotonic() < deadline:
            current = worker()
            if current is not None and await self._is_ready(current):
                return True
            await asyncio.sleep(POLL_S)
        return False

    async def _is_ready(self, worker: Worker) -> bool:
        ready = worker.running and await self._get(worker, "/ready")
        self._was_ready = self._was_ready or ready
        return ready

    async def _get(self, worker: Worker, path: str) -> bool:
        """Ask one worker; False when it does not say yes within two seconds."""
        if not worker.admin.done():
            if worker.process.stdout is None:
                return False
            try:
                async with asyncio.timeout(2.0):
                    said = (await worker.process.stdout.readline()).decode().strip()
            except (TimeoutError, RuntimeError):  # somebody else reads the line just now
                return False
            if not said:
                return False
            worker.admin.set_result(said)
        if self._http is None:
            return False
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with self._http.get(f"{worker.admin.result()}{path}") as answer:
                return answer.status == HTTPStatus.OK
        return False


class Lifeline:
    """A worker's tie to its supervisor: when standard input ends, the worker is to stop."""

    GRACE_S = 15.0

    def __init__(self) -> None:
        self._thread = threading.Thread(target=self._wait, name="lifeline", daemon=True)

    def hold(self) -> None:
        """Watch from now on."""
        self._thread.start()

    def _wait(self) -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(self.GRACE_S)
        os._exit(1)  # it was to drain and could not; what was acknowledged is kept


def hold_port(host: str, port: int) -> socket.socket:
    """Return a socket that holds a port for several processes, without listening on it.

    Raises:
        SupervisorError: this system does not spread one port over processes.
        OSError: the port is in use, or the address is not ours.
    """
    if sys.platform != "linux":
        raise SupervisorError(
            "several workers on one port need SO_REUSEPORT as Linux has it: run one worker, or "
            "several on ports of their own behind a proxy"
        )
    family, kind, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind) as alone:
        # Without SO_REUSEPORT it tells whether somebody else listens: they would share with us.
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind(address)
    held = socket.socket(family, kind)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
    except BaseException:
        held.close()
        raise
    return held


def _itself(worker: Worker) -> Worker:
    return worker


async def _first(*awaited: Awaitable[object]) -> None:
    """Wait for the first of several, and give up the others."""
    tasks = [asyncio.ensure_future(one) for one in awaited]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
