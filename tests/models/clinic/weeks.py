"""A child whose weeks pass when they are told to, its therapist, and the job that looks."""

from datetime import date
from typing import Final

from models.children.records import Child, Consent, child_of
from models.clinic.grade_records import WEEK, Proposal
from models.play.repo import PlayRepo
from tests.models.families import Stores
from tests.models.played import at, look_at_all, play_week, rounds_of

FIRST: Final = date(2026, 6, 1)
"""A Monday."""


class Clinic:
    """A child, its therapist when there is one, and the job."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self.families = stores.families
        self.clock = stores.clock
        self.play = PlayRepo(stores.mongo.database)
        self.rounds = rounds_of(stores.mongo, stores.clock)

    async def add(self, child_id: str = "c_1", *, therapist: bool = False) -> None:
        """Add a child that may play."""
        await self.stores.add(child_id, "u_1")
        await self.families.consents.give(child_id, Consent.PLAY_DATA, 1, "ko", "u_1")
        if therapist:
            await self.take_into_care(child_id)

    async def take_into_care(self, child_id: str = "c_1", number: int = 1) -> None:
        """Let a therapist have the child."""
        await self.families.consents.give(child_id, Consent.THERAPIST_VIEWING, 1, "ko", "u_1")
        care = self.families.care
        _, code = await care.invite(f"ca_{child_id}_{number}", child_id, None, 180, "u_1")
        await care.accept(code, "t_1")

    async def child(self, child_id: str = "c_1") -> Child:
        """Return the child as it is."""
        found = await self.stores.mongo.database["children"].find_one({"_id": child_id})
        return child_of(found)

    def move_to(self, day: date, hour: int = 12, zone: str = "Asia/Seoul") -> None:
        """Let it be that hour."""
        self.clock.us = round(at(day, hour, zone).timestamp() * 1e6)

    async def week(self, n: int, done: float | None, child_id: str = "c_1") -> None:
        """Let a week be played and be over, and look at it; None plays nothing."""
        if done is not None:
            await play_week(self.play, child_id, FIRST + n * WEEK, done)
        self.move_to(FIRST + (n + 1) * WEEK)
        await look_at_all(self.rounds)

    async def proposals(self, child_id: str = "c_1") -> list[Proposal]:
        """Return what was proposed, the oldest first."""
        return (await self.families.grades.list_proposals(child_id, 50))[::-1]

    async def told(self) -> list[tuple[str, int, int, str | None]]:
        """Return what became of each proposal."""
        return [(p.status.value, p.before, p.after, p.reason) for p in await self.proposals()]

    async def decide(self, proposal: Proposal, *, accept: bool) -> Proposal:
        """Decide as the therapist."""
        return await self.families.grades.decide(
            await self.child(), proposal.id, accept=accept, source="therapist", reason="seen",
            by="t_1",
        )  # fmt: skip
