"""One level: what a window of load cost, how late everything was, and who was the bottleneck."""

import os
import time
from dataclasses import dataclass

import numpy as np

from tests.load.transport import cores
from tests.load.transport.generator import Generator, Window
from tests.load.transport.servers import Running

HELD_MS = 50.0
"""No p99 may reach it."""
CARRIED_MS = 1000.0
"""A server whose p99 is beyond does not keep up: its cost is then not that of the load."""
THINNED = 1.0
"""% of a feed that may be left out: what comes 50 ms late may as well not come at all."""
LATE_MS = 8.0
BUSY = 97.0
"""% of its core at which the generator may be what is slow."""
KINDS = ("answer", "score", "feed", "ack")


@dataclass(frozen=True, slots=True)
class Level:
    """A window, measured."""

    sessions: int
    us_per_frame: float
    """CPU of the server process, microseconds a frame."""
    system_us: float
    """What of it the kernel took."""
    latency_ms: dict[str, tuple[float, float]]
    """p50 and p99 of each kind that came."""
    cores: dict[str, float]
    """% of a core that each process used."""
    late_ms: float
    """p99 of how much too late the generator was itself."""
    unsettled: int
    troubles: dict[str, int]
    thinned: float = 0.0
    """% of the watched frames that were left out for newer ones."""

    @property
    def worst_ms(self) -> float:
        """The highest p99."""
        return max((p99 for _, p99 in self.latency_ms.values()), default=float("inf"))

    @property
    def lost(self) -> bool:
        """Whether something that was sent had no effect, or a connection was lost."""
        return bool(self.unsettled or self.troubles)

    @property
    def held(self) -> bool:
        """Whether the level was held: nothing lost, and 99 of 100 of each kind within 50 ms."""
        return not self.lost and self.worst_ms < HELD_MS and self.thinned < THINNED

    @property
    def carried(self) -> bool:
        """Whether the server kept up, however late."""
        return not self.lost and self.worst_ms < CARRIED_MS

    @property
    def fault(self) -> str:
        """Why the level was not held, in words; the generator's own fault first."""
        if self.late_ms > LATE_MS or self.cores["generator"] > BUSY:
            busy = self.cores["generator"]
            return (
                f"the generator was the limit, {self.late_ms:.0f} ms late and at {busy:.0f} % of "
                "a core"
            )
        if self.lost:
            troubles = [f"{what} ({count} times)" for what, count in self.troubles.items()]
            return ", ".join([f"{self.unsettled} connections missed something", *troubles])
        slow = [(p99, kind) for kind, (_, p99) in self.latency_ms.items() if p99 >= HELD_MS]
        told = [f"{kind} p99 {p99:.0f} ms" for p99, kind in sorted(slow, reverse=True)]
        if self.thinned >= THINNED:
            told.append(f"{self.thinned:.1f} % of the feed left out")
        return ", ".join(told)


def measure(
    generator: Generator, running: Running, players: int, warm_s: float, seconds: float
) -> Level:
    """Measure a level on a running server."""
    generator.grow(players)
    pids = {"server": running.pid, **running.others, "generator": os.getpid()}
    marks: list[tuple[float, dict[str, cores.Spent]]] = []

    def mark() -> None:
        used = {name: cores.spent(pid) for name, pid in pids.items()}
        marks.append((time.perf_counter(), used))

    window = generator.run(players, warm_s, seconds, mark)
    (begin, before), (end, after) = marks
    used = {name: after[name] - before[name] for name in pids}
    return Level(
        sessions=players,
        us_per_frame=1e6 * used["server"].total / window.frames,
        system_us=1e6 * used["server"].system / window.frames,
        latency_ms=_latencies(window),
        cores={name: 100 * spent.total / (end - begin) for name, spent in used.items()},
        late_ms=1e3 * float(np.percentile(window.late, 99)),
        unsettled=window.unsettled,
        troubles=window.heard.troubles,
        thinned=100 * window.thinned,
    )


def _latencies(window: Window) -> dict[str, tuple[float, float]]:
    found = {}
    for kind in KINDS:
        times = getattr(window.heard, kind)
        if times:
            p50, p99 = np.percentile(times, [50, 99])
            found[kind] = (1e3 * float(p50), 1e3 * float(p99))
    return found
