"""The comparison: turns of all servers in rounds, each alone, and the medians of what they gave."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from tests.load.transport import cores
from tests.load.transport.child import ServerError
from tests.load.transport.generator import WATCH_EVERY, Generator
from tests.load.transport.level import Level, measure
from tests.load.transport.motion import Motion
from tests.load.transport.servers import Peer, Running
from tests.load.transport.stores import Stores
from tests.load.transport.wire import WireError

FIRST_IDLE = 50
"""Connections before memory is looked at first."""
IDLE_SETTLE_S = 1.0
STEP = 1.3
"""By what a level that was held is exceeded next."""
CLOSE = 1.08
"""The search ends when the least level that was not held is at most this times the best."""
MOST_STEPS = 7
MOST = 3500
"""Sessions the search does not go beyond: our server's own limits begin there."""
BROKEN = (OSError, WireError, ServerError)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    levels: tuple[int, ...]
    warm_s: float
    seconds: float
    rounds: int
    idle: int
    """Idle connections that memory is counted over; with none it is not."""
    search: bool
    until: float
    """Monotonic time at which no further round is begun."""
    end: float
    """Monotonic time at which the search is to be over."""
    frames: int = 1
    """Of a message."""
    watch_every: int = WATCH_EVERY
    """One session in so many is watched, 0 for none."""


@dataclass(slots=True)
class Result:
    """What one server gave."""

    levels: dict[int, list[Level]] = field(default_factory=dict)
    kb: list[float] = field(default_factory=list)
    best: int | None = None
    limit: str | None = None
    """Why the last level that was tried in vain was not held."""
    notes: list[str] = field(default_factory=list)

    def us(self, sessions: int) -> float | None:
        """Return the median CPU a frame at a level, None where the server did not keep up."""
        found = self.levels.get(sessions, [])
        carried = [level.us_per_frame for level in found if level.carried]
        return median(carried) if 2 * len(carried) > self._rounds else None

    def middle(self, sessions: int, name: str) -> float | None:
        """Return the median of an attribute at a level, None where nothing was measured."""
        found = [float(getattr(level, name)) for level in self.levels.get(sessions, [])]
        return median(found) if found else None

    def latency(self, sessions: int) -> dict[str, tuple[float, float]]:
        """Return the medians of p50 and p99, ms, of each kind."""
        found = [level.latency_ms for level in self.levels.get(sessions, [])]
        kinds = {kind: None for one in found for kind in one}
        return {
            kind: (
                median(one[kind][0] for one in found if kind in one),
                median(one[kind][1] for one in found if kind in one),
            )
            for kind in kinds
        }

    def cores(self, sessions: int) -> dict[str, float]:
        """Return the medians of what each process used, % of a core."""
        found = [level.cores for level in self.levels.get(sessions, [])]
        return {name: median(one[name] for one in found) for name in (found[0] if found else {})}

    def held(self, sessions: int) -> bool:
        """Tell whether most rounds held a level."""
        found = self.levels.get(sessions, [])
        return 2 * sum(level.held for level in found) > self._rounds

    @property
    def _rounds(self) -> int:
        # A level above one that broke in a round has fewer.
        return max((len(found) for found in self.levels.values()), default=0)


class Turn:
    """One server running, and the generator that plays against it; started anew when it broke."""

    def __init__(self, peer: Peer, stores: Stores, motion: Motion, watch_every: int) -> None:
        self._watch_every = watch_every
        self._peer = peer
        self._stores = stores
        self._motion = motion
        self._stack = ExitStack()
        self._running: Running | None = None
        self._generator: Generator | None = None

    def level(self, sessions: int, plan: Plan) -> Level:
        """Measure a level."""
        running, generator = self._ready()
        level = measure(generator, running, sessions, plan.warm_s, plan.seconds)
        if level.lost:
            self.close()
        return level

    def kb_per_connection(self, connections: int) -> float:
        """Return the memory that each of many idle connections takes."""
        running, generator = self._ready()
        generator.idle(FIRST_IDLE)
        generator.pump(IDLE_SETTLE_S)
        before = cores.rss_kb(running.pid)
        generator.idle(connections)
        generator.pump(IDLE_SETTLE_S)
        grown = cores.rss_kb(running.pid) - before
        self._stop_generator()
        return grown / connections

    def _ready(self) -> tuple[Running, Generator]:
        if self._running is None:
            self._running = self._stack.enter_context(self._peer.running(self._stores))
        if self._generator is None:
            self._generator = Generator(self._running.door, self._motion, self._watch_every)
        return self._running, self._generator

    def _stop_generator(self) -> None:
        if self._generator is not None:
            self._generator.close()
            self._generator = None

    def close(self) -> None:
        """Hang up and stop the server."""
        self._stop_generator()
        self._running = None
        self._stack.close()


@contextmanager
def _turn(peer: Peer, plan: Plan, stores: Stores, motion: Motion) -> Iterator[Turn]:
    turn = Turn(peer, stores, motion, plan.watch_every)
    try:
        yield turn
    finally:
        turn.close()


def compare(peers: Sequence[Peer], plan: Plan, stores: Stores, say: Say) -> dict[str, Result]:
    """Measure all of them; `say` is told what is done now."""
    motion = Motion(frames=plan.frames)
    results = {peer.name: Result() for peer in peers}
    for number in range(plan.rounds):
        if number and time.monotonic() > plan.until:
            say(f"the time is over: {number} rounds of {plan.rounds}")
            break
        # Each round begins with another, so that nobody is always the one after the same.
        shift = number % len(peers)
        for peer in [*peers[shift:], *peers[:shift]]:
            where = f"round {number + 1} of {plan.rounds}: {peer.name}"
            with _turn(peer, plan, stores, motion) as turn:
                _round(turn, results[peer.name], plan, partial(_tell, say, where))
    if plan.search:
        for n, peer in enumerate(peers):
            left = plan.end - time.monotonic()
            until = time.monotonic() + left / (len(peers) - n)
            with _turn(peer, plan, stores, motion) as turn:
                _search(turn, results[peer.name], plan, until, partial(_tell, say, peer.name))
    return results


def _tell(say: Say, where: str, what: str) -> None:
    say(where + what)


def _round(turn: Turn, result: Result, plan: Plan, say: Say) -> None:
    try:
        if plan.idle:
            say(", memory")
            result.kb.append(turn.kb_per_connection(plan.idle))
        for sessions in plan.levels:
            say(f", {sessions} sessions")
            level = turn.level(sessions, plan)
            result.levels.setdefault(sessions, []).append(level)
            if not level.carried:
                break  # what comes above would only be refused for longer
    except BROKEN as error:
        result.notes.append(f"{type(error).__name__}: {error}")


def _search(turn: Turn, result: Result, plan: Plan, until: float, say: Say) -> None:
    """Look for the highest level that is held, up from the best so far, then in between."""
    held = [n for n in plan.levels if result.held(n)]
    best = max(held, default=0)
    beyond = [n for n in plan.levels if n > best]
    worst = min(beyond, default=None)
    for _ in range(MOST_STEPS):
        wanted = best * STEP if worst is None else (best + worst) / 2
        sessions = min(round(wanted / 10) * 10, MOST)
        if sessions <= best or (worst is not None and worst <= best * CLOSE):
            break
        if time.monotonic() > until:
            where = f"above {best}" if worst is None else f"between {best} and {worst}"
            result.notes.append(f"the search was cut short {where} sessions")
            break
        say(f", is {sessions} held?")
        if _is_held(turn, result, sessions, plan):
            best = sessions
        else:
            worst = sessions
    result.best = best
    if result.limit is not None:
        result.notes.append(result.limit)


def _is_held(turn: Turn, result: Result, sessions: int, plan: Plan) -> bool:
    """Try a level, a second time if it was not held: one disturbance is not the server's."""
    level = None
    for _ in range(2):
        try:
            level = turn.level(sessions, plan)
        except BROKEN as error:
            turn.close()
            result.notes.append(f"{sessions} sessions: {type(error).__name__}: {error}")
            continue
        if level.held:
            return True
    if level is not None:
        result.limit = f"{sessions} sessions were not held: {level.fault}"
    return False


def ratios(
    results: dict[str, Result], ours: str, levels: Iterable[int]
) -> dict[str, dict[str, float]]:
    """Return what a frame costs one of ours, in times of what it costs each of the others."""
    found: dict[str, dict[str, float]] = {}
    for sessions in levels:
        mine = results[ours].us(sessions) if ours in results else None
        for name, result in results.items():
            theirs = result.us(sessions)
            if mine is not None and theirs and not name.startswith("gemgem"):
                found.setdefault(str(sessions), {})[name] = round(mine / theirs, 2)
    return found
