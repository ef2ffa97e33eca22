"""Whether a worker's memory is level: run by `scripts/bench memory [--minutes 10] [--json]`.

Children play, watchers watch, and five more watchers join and never read a byte: the server has
to close them, and the next ones come at once. The resident memory of the worker is what counts.
"""

import argparse
import asyncio
import functools
import json
import random
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from config.clock import Clock, SystemClock
from models.accounts.records import Role
from models.accounts.tokens import mint
from server.loop import run_loop
from server.simulation.crowd import TOKEN_S, Crowd, Script
from server.simulation.performance import Manner
from tests.load.deaf import DeafSeat
from tests.load.worker import Measured, one_worker

CHILDREN = 10
WATCHERS = 15
DEAF = 5
"""Besides the watchers that read."""
SAMPLE_S = 5.0
MINUTE_S = 60.0
LEVEL = 0.05
"""Drift from the second minute to the last one that is called level."""
MB = 1_000_000


@dataclass(slots=True)
class Samples:
    """Resident memory by the second at which it was looked at."""

    taken: list[tuple[float, int]] = field(default_factory=list)

    def add(self, at_s: float, rss: int) -> None:
        """Keep one: seconds since the begin, bytes."""
        self.taken.append((at_s, rss))

    def minutes(self, minute_s: float = MINUTE_S) -> list[float]:
        """Return the mean of every minute, bytes; minutes without a sample are left out."""
        by_minute: dict[int, list[int]] = {}
        for at_s, rss in self.taken:
            by_minute.setdefault(int(at_s // minute_s), []).append(rss)
        return [mean(by_minute[n]) for n in sorted(by_minute)]


def drift(minutes: Sequence[float]) -> float | None:
    """Return how far the last minute lies above the second one, as a share; None below three.

    The first is the warm-up: code is loaded, pools and buffers grow to their size.
    """
    return minutes[-1] / minutes[1] - 1 if len(minutes) > 2 else None


def resident(pid: int) -> int:
    """Return the resident memory of a process, bytes (proc(5), statm)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def report(samples: Samples, minutes: Sequence[float], seats: Sequence[DeafSeat]) -> dict[str, Any]:
    """Return everything the command tells."""
    change = drift(minutes)
    return {
        "minutes_mb": [round(each / MB, 2) for each in minutes],
        "samples": len(samples.taken),
        "highest_mb": round(max(rss for _, rss in samples.taken) / MB, 2),
        "drift_percent": None if change is None else round(100 * change, 2),
        "level": None if change is None else abs(change) <= LEVEL,
        "deaf_joined": sum(seat.joins for seat in seats),
        "deaf_closed": sum(seat.closed for seat in seats),
    }


async def measured(
    seconds: float,
    told: Callable[[float, int, Sequence[DeafSeat]], None],
    sample_s: float = SAMPLE_S,
    minute_s: float = MINUTE_S,
) -> dict[str, Any]:
    """Let them play and watch for so long; return the report.

    Args:
        seconds: how long memory is looked at.
        told: called with each sample: seconds, bytes, and the seats of the deaf.
        sample_s: between two looks.
        minute_s: length of what is averaged.
    """
    clock = SystemClock()
    async with one_worker() as worker:
        crowd = Crowd(
            Script(
                url=worker.url,
                key=worker.key,
                children=CHILDREN,
                seconds=None,
                seed=1,
                manner=Manner(motions=("fist",), fps=30.0, frames_per_message=6),
                watchers=WATCHERS,
                time_reps=False,
            ),
            clock,
        )
        playing = asyncio.create_task(crowd.run())
        seats = [_seat(worker, crowd, n, clock) for n in range(DEAF)]
        deaf = [asyncio.create_task(seat.run()) for seat in seats]
        samples = Samples()
        look = functools.partial(_look, worker.pid, samples, seats, told, clock)
        try:
            await look(seconds, sample_s, playing)
            limited = await _limited(worker)
            crowd.stop()
            await playing
        finally:
            for task in (*deaf, playing):
                task.cancel()
            await asyncio.gather(*deaf, playing, return_exceptions=True)
        found = report(samples, samples.minutes(minute_s), seats)
        frames, errors = crowd.tally.frames, list(crowd.faults)
        return {**found, "limited": limited, "frames": frames, "errors": errors}


async def _limited(worker: Measured) -> dict[str, int]:
    """Return how often the worker had to set a limit, by its name."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{worker.admin}/metrics") as answer,
    ):
        families = text_string_to_metric_families(await answer.text())
        return {
            sample.labels["limit"]: round(sample.value)
            for family in families
            for sample in family.samples
            if sample.name == "gemgem_limited_total"
        }


def _seat(worker: Measured, crowd: Crowd, number: int, clock: Clock) -> DeafSeat:
    token = mint(
        worker.key,
        sub=f"deaf-{number}",
        roles=[Role.THERAPIST],
        children=["*"],
        ttl_s=TOKEN_S,
        clock=clock,
    )
    rng = random.Random(number)

    def pick() -> str | None:
        live = crowd.playing
        return rng.choice(live) if live else None

    return DeafSeat(worker.url, token, pick)


async def _look(
    pid: int,
    samples: Samples,
    seats: Sequence[DeafSeat],
    told: Callable[[float, int, Sequence[DeafSeat]], None],
    clock: Clock,
    seconds: float,
    sample_s: float,
    playing: "asyncio.Task[None]",
) -> None:
    began = clock.monotonic()
    while (at_s := clock.monotonic() - began) < seconds:
        rss = resident(pid)
        samples.add(at_s, rss)
        told(at_s, rss, seats)
        await asyncio.wait({playing}, timeout=sample_s)
        if playing.done():
            playing.result()
            raise AssertionError("the children play until they are asked to stop")


def show(found: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(title="resident memory of the worker")
    for name in ("minute", "mean, MB", "to minute 2"):
        table.add_column(name, justify="right")
    minutes = found["minutes_mb"]
    for n, each in enumerate(minutes):
        change = f"{100 * (each / minutes[1] - 1):+.1f} %" if n else ""
        table.add_row(str(n + 1), f"{each:.1f}", change)
    console = Console()
    console.print(table)
    level = found["level"]
    if level is None:
        console.print("too short to tell whether it is level: three minutes at least")
    else:
        word = "[green]level[/]" if level else "[red]not level[/]"
        console.print(f"{word}: {found['drift_percent']:+.2f} %, asked ±{100 * LEVEL:.0f} %")
    limited = ", ".join(f"{limit} {count}" for limit, count in found["limited"].items())
    console.print(
        f"{found['deaf_joined']} deaf watchers joined, {found['deaf_closed']} were closed "
        f"({limited or 'no limit met'}); {found['frames']} frames; {len(found['errors'])} errors",
        highlight=False,
    )


def main() -> int:
    """Measure and print; 1 when memory is not level."""
    parser = argparse.ArgumentParser(prog="scripts/bench memory", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    args = parser.parse_args()
    seconds = args.minutes * MINUTE_S
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[rss]}"),
        TextColumn("{task.fields[deaf]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("memory", total=seconds, rss="starting …", deaf="")

        def told(at_s: float, rss: int, seats: Sequence[DeafSeat]) -> None:
            sitting, closed = sum(s.deaf for s in seats), sum(s.closed for s in seats)
            progress.update(
                task,
                completed=at_s,
                rss=f"{rss / MB:.1f} MB",
                deaf=f"{sitting} deaf, {closed} closed",
            )

        found = run_loop(measured(seconds, told))
    if args.json:
        print(json.dumps(found))
    else:
        show(found)
    return 0 if found["level"] is not False and not found["errors"] else 1


if __name__ == "__main__":
    sys.exit(main())
