"""Runs what nobody waits for: starts jobs, restarts them with back-off, stops them in time."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiojobs

from config import metrics
from config.clock import Clock

log = logging.getLogger(__name__)

CANCEL_AGAIN_S = 0.2
"""A job that is not gone by then is cancelled again."""
BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
OUTAGE_S = 0.5
"""A store that is away is asked again this often."""
FAILURES = 3
WINDOW_S = 60.0
"""A job that failed `FAILURES` times within this is unhealthy."""


@dataclass(slots=True)
class Job:
    """Something that runs for ever. Its end, by error or not, is a failure."""

    name: str
    run: Callable[[], Awaitable[None]]
    failures: deque[float] = field(default_factory=lambda: deque(maxlen=len(BACKOFF_S)))
    away: bool = False


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended, whatever swallows a cancellation.

    `asyncio.wait_for` of Python 3.11 loses one that meets its result, and the Redis client sends
    every command through it.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)


class Runner:
    """The jobs of a process, each restarted when it ends.

    `outages` are the errors of a store that is away. They are no fault of the job: it starts
    again as soon as the store is back, and stays healthy; the store's own check tells of them.
    """

    def __init__(
        self,
        clock: Clock,
        outages: tuple[type[Exception], ...] = (),
        stop_seconds: float = 5.0,
    ) -> None:
        self._clock = clock
        self._outages = outages
        self._jobs: list[Job] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._scheduler = aiojobs.Scheduler(close_timeout=stop_seconds, limit=None)

    async def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run `run` from now on."""
        job = Job(name, run)
        self._jobs.append(job)
        await self._scheduler.spawn(self._supervise(job))

    async def close(self) -> None:
        """Cancel every job and wait for it."""
        self._closing = True
        closing = asyncio.create_task(self._scheduler.close(), name="closing of the jobs")
        while not (await asyncio.wait({closing}, timeout=CANCEL_AGAIN_S))[0]:
            # `asyncio.wait_for` of Python 3.11 loses a cancellation that meets its result, and
            # the Redis client sends every command through it.
            for task in self._tasks:
                task.cancel()
        await closing

    @property
    def names(self) -> list[str]:
        """Names of the jobs, in the order they were started in."""
        return [job.name for job in self._jobs]

    def unhealthy(self) -> list[str]:
        """Names of the jobs that fail again and again."""
        now = self._clock.monotonic()
        return [
            job.name
            for job in self._jobs
            if sum(now - failure < WINDOW_S for failure in job.failures) >= FAILURES
        ]

    async def _supervise(self, job: Job) -> None:
        if (task := asyncio.current_task()) is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        while not self._closing:  # a cancellation may come out of a library as its time-out
            began = self._clock.monotonic()
            try:
                await job.run()
                log.error("job %s ended; it starts again", job.name)
            except asyncio.CancelledError:
                raise
            except self._outages as error:
                if not job.away:
                    log.warning("job %s waits: %s: %s", job.name, type(error).__name__, error)
                job.away = self._clock.monotonic() - began < WINDOW_S
                await asyncio.sleep(OUTAGE_S)
                continue
            except Exception:
                log.exception("job %s failed; it starts again", job.name)
            now = self._clock.monotonic()
            metrics.JOB_FAILURES.labels(job.name).inc()
            if now - began > WINDOW_S:
                job.failures.clear()
            job.failures.append(now)
            await asyncio.sleep(BACKOFF_S[len(job.failures) - 1])
