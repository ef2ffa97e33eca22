# ruff: noqa: A005 - named as the command is
"""Where our server's time goes under load: run by `scripts/bench profile [--sessions N]`.

The server runs alone on a core, under the load of `scripts/bench transport`. First a level is
measured as it is, with the stages the server counts itself; then the same again under a sampling
profiler (py-spy), whose samples are summed by file and by function. `--raw FILE` keeps the stacks
for a flame graph.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.load.transport import cores, stores
from tests.load.transport.child import ROOT
from tests.load.transport.generator import Generator
from tests.load.transport.level import Level, measure
from tests.load.transport.motion import Motion
from tests.load.transport.servers import Running, gemgem

RATE = 250
"""Samples a second."""
_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(\{[^}]*\})? ([-+0-9.eE]+|NaN|[+-]Inf)$")
_PLACE = re.compile(r"^(?P<function>.*) \((?P<file>[^()]*?)(?::\d+)?\)$")
_LOOP = ("server/loop.py", "run_loop")
"""What is below every stack of the thread that serves."""
OURS = ("server/", "handlers/", "sessions/", "models/", "jobs/", "clients/", "config/")


@dataclass(slots=True)
class Samples:
    """Where the samples fell, in shares of all."""

    total: int = 0
    own: "Counter[tuple[str, str]]" = field(default_factory=Counter)
    """By the file and function that was running."""
    within: "Counter[tuple[str, str]]" = field(default_factory=Counter)
    """By every file and function that was on the stack."""
    ours: "Counter[tuple[str, str]]" = field(default_factory=Counter)
    """By the innermost function of ours: what it runs of others counts as its own."""


def add_up(stacks: str) -> Samples:
    """Sum collapsed stacks: `outer (file:line);inner (file:line) count` on each line."""
    samples = Samples()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [frame for frame in map(_place, stack.split(";")) if frame is not None]
        if _LOOP not in frames or not count.isdigit():
            continue  # a thread that waits for work
        frames = frames[frames.index(_LOOP) :]
        samples.total += int(count)
        samples.own[frames[-1]] += int(count)
        for frame in set(frames):
            samples.within[frame] += int(count)
        mine = next((f for f in reversed(frames) if f[0].startswith(OURS)), ("(others)", ""))
        samples.ours[mine] += int(count)
    return samples


def _place(frame: str) -> tuple[str, str] | None:
    found = _PLACE.match(frame.strip())
    if found is None:
        return None
    file = found["file"].removeprefix(f"{ROOT}/")
    return file.rpartition("site-packages/")[2], found["function"]


def seconds_of(running: Running) -> dict[str, float]:
    """Return every sum of seconds that `/metrics` tells, by name."""
    http = HTTPConnection(*running.url, timeout=5)
    http.request("GET", "/metrics")
    text = http.getresponse().read().decode()
    http.close()
    found = {}
    for line in text.splitlines():
        sample = _SAMPLE.match(line)
        if sample is not None and re.search(r"_seconds(_sum|_total)$", sample[1]):
            found[sample[1] + (sample[2] or "")] = float(sample[3])
    return found


@dataclass(frozen=True, slots=True)
class Profile:
    """What was found."""

    level: Level
    """Without the profiler."""
    stages: dict[str, float]
    """Microseconds a frame, by metric."""
    profiled: Level
    samples: Samples


def profile(
    sessions: int, frames: int, seconds: float, parser: str, raw: Path | None, *, native: bool
) -> Profile:
    """Run our server at a level, and tell where its time goes."""
    with (
        stores.started() as kept,
        cores.on(cores.everybody_else()),
        gemgem(parser).running(kept) as running,
        tempfile.TemporaryDirectory(prefix="gemgem-profile-") as home,
    ):
        generator = Generator(running.door, Motion(frames=frames))
        try:
            generator.grow(sessions)
            before = seconds_of(running)
            sent = generator.sent
            level = measure(generator, running, sessions, 1.0, seconds)
            after = seconds_of(running)
            frames = generator.sent - sent
            stages = {
                name: 1e6 * (value - before.get(name, 0.0)) / frames
                for name, value in after.items()
                if value > before.get(name, 0.0)
            }
            stacks = raw or Path(home, "stacks")
            command = [
                *(str(Path(sys.executable).with_name("py-spy")), "record"),
                *("--pid", str(running.pid), "--rate", str(RATE), "--format", "raw"),
                *("--output", str(stacks), "--duration", str(round(seconds))),
            ]
            # Native stacks are only true of a process that stands still meanwhile.
            command.append("--native" if native else "--nonblocking")
            with subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            ) as sampler:
                profiled = measure(generator, running, sessions, 0.5, seconds + 1)
                _, said = sampler.communicate(timeout=60)
            if sampler.returncode:
                raise SystemExit(f"py-spy could not look into the server: {said.strip()}")
            return Profile(level, stages, profiled, add_up(stacks.read_text()))
        finally:
            generator.close()


def show(found: Profile, most: int) -> None:
    """Print the tables."""
    console = Console()
    level = found.level
    used = ", ".join(f"{name} {share:.0f} %" for name, share in level.cores.items())
    console.print(
        f"{level.sessions} sessions: [bold]{level.us_per_frame:.1f} us[/] of CPU a frame, "
        f"{level.system_us:.1f} of them the kernel's "
        f"({found.profiled.us_per_frame:.1f} under the profiler); of a core: {used}"
    )
    for kind, (p50, p99) in level.latency_ms.items():
        console.print(f"{kind}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    if not level.carried:
        console.print(f"[red]the server did not keep up, the figures are too low:[/] {level.fault}")
    stages = Table(title="as the server counts (waiting included where it waits)")
    stages.add_column("metric")
    stages.add_column("us a frame", justify="right")
    for name, us in sorted(found.stages.items(), key=lambda pair: -pair[1]):
        stages.add_row(name, f"{us:.2f}")
    console.print(stages)
    scale = level.us_per_frame / max(found.samples.total, 1)
    for title, counted in (
        ("innermost function of ours, with what it calls of others", found.samples.ours),
        ("function itself", found.samples.own),
        ("function and all it calls", found.samples.within),
    ):
        table = Table(title=title)
        for name in ("us a frame", "%"):
            table.add_column(name, justify="right")
        table.add_column("function")
        table.add_column("file", overflow="fold")
        for (file, function), count in counted.most_common(most):
            share = 100 * count / max(found.samples.total, 1)
            table.add_row(f"{count * scale:.2f}", f"{share:.1f}", function, file)
        console.print(table)


def rows(found: Profile) -> Iterator[dict[str, Any]]:
    """Yield a row for each function, for programs."""
    scale = found.level.us_per_frame / max(found.samples.total, 1)
    for file, function in found.samples.within:
        key = (file, function)
        yield {
            "file": file,
            "function": function,
            "us_own": round(found.samples.own[key] * scale, 3),
            "us_ours": round(found.samples.ours[key] * scale, 3),
            "us_within": round(found.samples.within[key] * scale, 3),
        }


def main() -> None:
    """Profile and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench profile", description=__doc__)
    parser.add_argument("--sessions", type=int, default=300)
    parser.add_argument("--frames", type=int, choices=(1, 2, 3, 5, 6), default=1, help="a message")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--parser", choices=("default", "msgpack"), default="msgpack")
    parser.add_argument("--raw", type=Path, help="keep the sampled stacks in this file")
    parser.add_argument(
        "--native", action="store_true", help="look into the event loop and other C code too"
    )
    parser.add_argument("--most", type=int, default=25, help="rows a table")
    parser.add_argument(
        "--nice", type=int, default=0, help="of all that is measured; below 0 on a busy machine"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    args = parser.parse_args()
    cores.allow_many_files()
    cores.rank(os.getpid(), args.nice)
    found = profile(
        args.sessions, args.frames, args.seconds, args.parser, args.raw, native=args.native
    )
    if not args.json:
        show(found, args.most)
        return
    told = {
        "us_per_frame": round(found.level.us_per_frame, 2),
        "latency_ms": found.level.latency_ms,
        "cores": found.level.cores,
        "stages_us": found.stages,
        "functions": list(rows(found)),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
