"""How long acknowledgements take, also while MongoDB is frozen: run by `scripts/bench figures`.

A hundred children play against one worker with a real Valkey and a real MongoDB beside it on the
same machine. Times are what a client sees, from handing a message to its socket; frames lie in
chunks of 250 ms before they are appended, which is part of theirs.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from config.clock import SystemClock
from server.loop import run_loop
from server.simulation.crowd import STAGGER_S, Crowd, Script
from server.simulation.latency import Latencies
from server.simulation.performance import Manner
from tests.load.worker import Measured, one_worker

CHILDREN = 100
WARM_S = 10.0
"""Left out: connecting, opening, the first sets."""
NORMAL_S = 60.0
FROZEN_S = 20.0
WANTED_MS = {"events": 150.0, "frames": 500.0, "stored": 2000.0}
"""p99 asked; of events and frames also while MongoDB is frozen."""

Told = Callable[[str, Crowd], None]


def figures(counted: tuple[Latencies, Latencies, Latencies]) -> dict[str, dict[str, Any]]:
    """Return count, p50 and p99 in ms of events, frames and `stored`."""
    return {
        kind: {
            "count": one.count,
            "p50_ms": one.percentile_ms(0.5),
            "p99_ms": one.percentile_ms(0.99),
        }
        for kind, one in zip(WANTED_MS, counted, strict=True)
    }


async def measured(
    told: Told,
    children: int = CHILDREN,
    normal_s: float = NORMAL_S,
    frozen_s: float = FROZEN_S,
    warm_s: float = WARM_S,
) -> dict[str, Any]:
    """Let them play, normally and with MongoDB frozen; return the report.

    Args:
        told: called about once a second with what is going on.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        worker = await stack.enter_async_context(one_worker())
        crowd = Crowd(
            Script(
                url=worker.url,
                key=worker.key,
                children=children,
                seconds=None,
                seed=1,
                manner=Manner(motions=("fist", "tap"), fps=30.0, frames_per_message=2),
                time_reps=False,
            ),
            clock,
        )
        playing = asyncio.create_task(crowd.run())
        try:
            while not crowd.playing:  # they rehearse first
                await _pass(1.0, "rehearsing", crowd, playing, told)
            await _pass(STAGGER_S + warm_s, "warming up", crowd, playing, told)
            crowd.tally.begin_anew()
            await _pass(normal_s, "playing", crowd, playing, told)
            normal = figures(crowd.tally.begin_anew())
            frozen = await _frozen(worker, crowd, playing, told, frozen_s)
            crowd.stop()
            await playing
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
        tally = crowd.tally
        return {
            "children": children,
            "normal": normal,
            "frozen": {kind: frozen[kind] for kind in ("events", "frames")},
            "sent": tally.sent,
            "buffered": tally.buffered,
            "stored": tally.stored,
            "resent": tally.resent,
            "refused": tally.refused,
            "errors": list(crowd.faults),
        }


async def _frozen(
    worker: Measured, crowd: Crowd, playing: "asyncio.Task[None]", told: Told, seconds: float
) -> dict[str, dict[str, Any]]:
    """Stop MongoDB's process, which keeps its connections open, and let it go on afterwards."""
    mongod = worker.servers.mongod
    assert mongod is not None
    mongod.pause()
    try:
        await _pass(seconds, "MongoDB frozen", crowd, playing, told)
        return figures(crowd.tally.begin_anew())
    finally:
        mongod.resume()


async def _pass(
    seconds: float, what: str, crowd: Crowd, playing: "asyncio.Task[None]", told: Told
) -> None:
    """Let time pass while they play; an end that nobody asked for is an error."""
    clock = SystemClock()
    until = clock.monotonic() + seconds
    while (left := until - clock.monotonic()) > 0:
        told(what, crowd)
        await asyncio.wait({playing}, timeout=min(1.0, left))
        if playing.done():
            playing.result()
            raise AssertionError("the children play until they are asked to stop")


def rows(found: dict[str, Any]) -> list[tuple[str, dict[str, Any], float]]:
    """Return the figures in the order of the table: name, figures, wanted p99 in ms."""
    normal, frozen = found["normal"], found["frozen"]
    return [
        ("buffered, events", normal["events"], WANTED_MS["events"]),
        ("buffered, frames", normal["frames"], WANTED_MS["frames"]),
        ("stored, all", normal["stored"], WANTED_MS["stored"]),
        ("buffered, events, MongoDB frozen", frozen["events"], WANTED_MS["events"]),
        ("buffered, frames, MongoDB frozen", frozen["frames"], WANTED_MS["frames"]),
    ]


def met(found: dict[str, Any]) -> bool:
    """Tell whether every figure is there and as wanted, and nothing went wrong or got lost."""
    times = [(row["p99_ms"], wanted) for _, row, wanted in rows(found)]
    return (
        all(p99 is not None and p99 <= wanted for p99, wanted in times)
        and found["stored"] == found["sent"]
        and not found["errors"]
    )


def show(found: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(title=f"acknowledgements, {found['children']} children, ms from sending")
    for name in ("", "count", "p50", "p99", "wanted p99"):
        table.add_column(name, justify="left" if not name else "right")
    for name, row, wanted in rows(found):
        p50, p99 = row["p50_ms"], row["p99_ms"]
        good = p99 is not None and p99 <= wanted
        table.add_row(
            name,
            str(row["count"]),
            "–" if p50 is None else f"{p50:.0f}",
            "–" if p99 is None else f"[{'green' if good else 'red'}]{p99:.0f}[/]",
            f"{wanted:.0f}",
        )
    console = Console()
    console.print(table)
    console.print(
        f"sent {found['sent']}, buffered {found['buffered']}, stored {found['stored']}, "
        f"sent again {found['resent']}, refused {found['refused']}, {len(found['errors'])} errors",
        highlight=False,
    )


def main() -> int:
    """Measure and print; 1 when a figure is not met."""
    parser = argparse.ArgumentParser(prog="scripts/bench figures", description=__doc__)
    parser.add_argument("--children", type=int, default=CHILDREN)
    parser.add_argument("--seconds", type=float, default=NORMAL_S, help="of normal play")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    args = parser.parse_args()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(pulse_style="cyan"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[sent]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("starting", total=None, sent="")

        def told(what: str, crowd: Crowd) -> None:
            sent = f"sent {crowd.tally.sent}, stored {crowd.tally.stored}"
            progress.update(task, description=what, sent=sent)

        found = run_loop(measured(told, args.children, args.seconds))
    if args.json:
        print(json.dumps(found))
    else:
        show(found)
    return 0 if met(found) else 1


if __name__ == "__main__":
    sys.exit(main())
