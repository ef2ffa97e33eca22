"""Carry out a plan while children play, then look into MongoDB."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.clock import Clock
from models.db import Mongo
from models.play.repo import PlayRepo
from server.chaos.plan import Fault, Plan
from server.chaos.recovery import Recoveries, Recovery
from server.chaos.rig import Rig
from server.simulation.audit import Finding, compare, read_ledger
from server.simulation.crowd import Crowd
from server.simulation.verify import rescores_equal

BEGIN_S = 60.0
"""How long the first session may take to open, seconds."""


@dataclass(frozen=True, slots=True)
class Incident:
    """A fault that was carried out."""

    fault: Fault
    began_s: float
    """Seconds from the beginning of the play."""
    ended_s: float
    recovery: Recovery


@dataclass(frozen=True, slots=True)
class Findings:
    """What MongoDB holds of what the children were promised."""

    total: Finding
    faulty: Mapping[str, Finding]
    """Sessions where something is lost, duplicated, altered or out of order."""
    sessions: int
    sealed: int
    different: tuple[str, ...]
    """Sealed sessions whose records come out otherwise when they are scored again."""

    @property
    def whole(self) -> bool:
        """Whether nothing is lost, duplicated, altered or out of order, and all re-scores."""
        return self.sealed > 0 and self.total.clean and not self.different


async def carry_out(
    plan: Plan, rig: Rig, crowd: Crowd, recoveries: Recoveries, clock: Clock
) -> list[Incident]:
    """Let everything of a plan go wrong at its time, from the first session on."""
    async with asyncio.timeout(BEGIN_S):
        while not crowd.sessions:  # noqa: ASYNC110 - the crowd tells nobody else
            await asyncio.sleep(0.05)
    began = clock.monotonic()
    incidents: list[Incident] = []

    async def one(fault: Fault) -> None:
        await asyncio.sleep(max(0.0, began + fault.at_s - clock.monotonic()))
        at = clock.monotonic() - began
        recovery = recoveries.begin()
        await rig.do(fault)
        recoveries.end(recovery)
        incidents.append(Incident(fault, at, clock.monotonic() - began, recovery))

    async with asyncio.TaskGroup() as group:
        for fault in plan.faults:
            group.create_task(one(fault))
    return sorted(incidents, key=lambda incident: incident.began_s)


async def look(ledger: Path, mongo: Mongo) -> Findings:
    """Compare a ledger with MongoDB, and score again what was sealed.

    All that was ever called buffered has to be there, of sessions that are not closed as well:
    a store that loses its last second gets it again from the child.
    """
    repo = PlayRepo(mongo.database)
    total = Finding()
    faulty: dict[str, Finding] = {}
    different: list[str] = []
    sittings = read_ledger(ledger)
    sealed = 0
    marks = sum(sitting.stored + 1 for sitting in sittings.values())
    for session_id, sitting in sittings.items():
        sitting.stored = max(sitting.stored, sitting.buffered)
        finding = await compare(sitting, session_id, repo)
        total.add(finding)
        if not finding.clean:
            faulty[session_id] = finding
        if sitting.result is not None:
            sealed += 1
            if not await rescores_equal(repo, session_id):
                different.append(session_id)
    total.stored = marks
    return Findings(total, faulty, len(sittings), sealed, tuple(different))
