"""What will go wrong and when: a plan is data, and the same seed makes the same plan."""

import json
import random
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Kind(StrEnum):
    """A fault. Those that last are undone at their end."""

    REDIS_KILL = "redis kill"
    REDIS_FREEZE = "redis freeze"
    REDIS_SCRIPTS = "redis scripts"
    REDIS_FULL = "redis full"
    MONGO_KILL = "mongo kill"
    MONGO_FREEZE = "mongo freeze"
    WORKER_KILL = "worker kill"
    WORKER_FREEZE = "worker freeze"
    WORKER_HANG = "worker hang"
    FLUSHER_KILL = "flusher kill"
    FLUSHER_FREEZE = "flusher freeze"
    LINE_RESET = "line reset"
    LINE_SILENCE = "line silence"
    LINE_DELAY = "line delay"
    LINE_THROTTLE = "line throttle"
    ROLL = "roll"


MEANING: dict[Kind, str] = {
    Kind.REDIS_KILL: "SIGKILL, then a restart",
    Kind.REDIS_FREEZE: "SIGSTOP, then SIGCONT",
    Kind.REDIS_SCRIPTS: "scripts flushed, clients cut",
    Kind.REDIS_FULL: "writes refused: no memory",
    Kind.MONGO_KILL: "SIGKILL, then a restart",
    Kind.MONGO_FREEZE: "SIGSTOP, then SIGCONT",
    Kind.WORKER_KILL: "SIGKILL of one",
    Kind.WORKER_FREEZE: "SIGSTOP, then SIGCONT",
    Kind.WORKER_HANG: "SIGSTOP, killed by its parent",
    Kind.FLUSHER_KILL: "SIGKILL",
    Kind.FLUSHER_FREEZE: "SIGSTOP beyond its leases",
    Kind.LINE_RESET: "a share reset",
    Kind.LINE_SILENCE: "a share passes nothing on",
    Kind.LINE_DELAY: "200 ms more, either way",
    Kind.LINE_THROTTLE: "8 kB/s, either way",
    Kind.ROLL: "workers replaced one by one",
}

SETTLE_S = 15.0
"""At the end of a plan nothing goes wrong for this long."""
_LASTS_S: dict[Kind, float] = {
    Kind.REDIS_KILL: 2.0,
    Kind.REDIS_FREEZE: 5.0,
    Kind.REDIS_FULL: 3.0,
    Kind.MONGO_KILL: 3.0,
    Kind.MONGO_FREEZE: 5.0,
    Kind.WORKER_FREEZE: 24.0,
    Kind.FLUSHER_FREEZE: 12.0,
    Kind.LINE_SILENCE: 4.0,
    Kind.LINE_DELAY: 5.0,
    Kind.LINE_THROTTLE: 5.0,
}
_TAKES_S = {Kind.ROLL: 8.0, Kind.WORKER_FREEZE: 10.0, Kind.WORKER_HANG: 8.0}
"""Time until the next fault where it differs: a roll ends when it is done, a hang when
the parent sees it, and other things go wrong while a worker is frozen for longer than its clients
wait."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    at_s: float
    """Seconds from the beginning of the play."""
    kind: Kind
    lasts_s: float = 0.0
    share: float = 0.5
    """Of the connections, where it is about some of them."""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {**asdict(self), "kind": self.kind.value}


@dataclass(frozen=True, slots=True)
class Plan:
    """Faults in the order of their time, and how long the children play."""

    faults: tuple[Fault, ...]
    seconds: float

    def as_json(self) -> str:
        """Return it as it is written and read."""
        faults = [fault.as_json() for fault in self.faults]
        return json.dumps({"seconds": self.seconds, "faults": faults}, indent=1)


def written(path: Path) -> Plan:
    """Read a plan that `Plan.as_json` wrote, or somebody by hand.

    Raises:
        ValueError: it is no plan; the text says why.
    """
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        faults = [Fault(**{**fault, "kind": Kind(fault["kind"])}) for fault in plan["faults"]]
        return Plan(tuple(sorted(faults, key=lambda fault: fault.at_s)), float(plan["seconds"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is no plan: {type(error).__name__}: {error}") from error


SHORT = Plan(
    faults=(
        Fault(3.0, Kind.WORKER_KILL),
        Fault(7.0, Kind.REDIS_KILL, 0.5),
        Fault(11.0, Kind.LINE_RESET),
        Fault(13.0, Kind.REDIS_SCRIPTS),
        Fault(14.5, Kind.MONGO_KILL, 0.5),
        Fault(17.0, Kind.LINE_SILENCE, 1.0),
        Fault(19.5, Kind.REDIS_FULL, 1.0),
        Fault(22.0, Kind.FLUSHER_KILL),
        Fault(24.0, Kind.WORKER_FREEZE, 2.0),
    ),
    seconds=32.0,
)


def full(minutes: float, seed: int) -> Plan:
    """Return every kind of fault in an order of the seed, again and again until time is up."""
    rng = random.Random(seed)  # noqa: S311 - a plan, not a secret
    seconds = minutes * 60
    faults: list[Fault] = []
    at = 6.0
    while True:
        kinds = list(Kind)
        rng.shuffle(kinds)
        for kind in kinds:
            lasts = _LASTS_S.get(kind, 0.0) * rng.uniform(0.8, 1.2)
            taken = _TAKES_S.get(kind, lasts)
            if at + max(taken, lasts) > seconds - SETTLE_S:
                return Plan(tuple(faults), seconds)
            share = round(rng.uniform(0.3, 0.8), 2)
            faults.append(Fault(round(at, 1), kind, round(lasts, 1), share))
            at += taken + rng.uniform(3.0, 5.0)
