"""Deciding on a child's grade: by a therapist or an admin, of their own or on a proposal."""

from datetime import date
from functools import partial
from typing import Literal

from config import metrics
from config.clock import Clock
from models.attributes.actions import Attributes
from models.children.records import Child, Grade
from models.clinic.grade_records import (
    GradeChange,
    Proposal,
    ProposalStatus,
    change_of,
    proposal_of,
)
from models.clinic.grade_repo import GradeRepo
from models.errors import AppError, ErrorCode

Decider = Literal["therapist", "admin"]


class Grades:
    """The grades of children as people read and change them."""

    def __init__(self, repo: GradeRepo, attributes: Attributes, clock: Clock) -> None:
        self._repo = repo
        self._attributes = attributes
        self._clock = clock

    async def set(
        self, child: Child, grade: Grade, source: Decider, reason: str, by: str
    ) -> GradeChange | None:
        """Change a child's grade; None when it is that already.

        Raises:
            AppError: `conflict`; somebody else changed it meanwhile.
        """
        if child.grade == grade:
            return None
        change = GradeChange(
            child_id=child.id,
            n=child.grade_n + 1,
            before=child.grade,
            after=grade,
            source=source,
            reason=reason,
            by=by,
            at=self._clock.now(),
        )
        if not await self._repo.add_change(change):
            raise AppError(ErrorCode.CONFLICT, "The grade was changed meanwhile: look again.")
        return change

    async def list_changes(
        self, child_id: str, limit: int, before: int | None = None
    ) -> list[GradeChange]:
        """Return the changes of a child's grade, the newest first."""
        return [change_of(row) for row in await self._repo.list_changes(child_id, limit, before)]

    async def list_proposals(
        self, child_id: str, limit: int, before: date | None = None
    ) -> list[Proposal]:
        """Return what the rule proposed, the newest first, for weeks before one."""
        found = await self._repo.list_proposals(child_id, limit, before)
        return [proposal_of(row) for row in found]

    async def decide(
        self, child: Child, proposal_id: str, *, accept: bool, source: Decider, reason: str, by: str
    ) -> Proposal:
        """Accept or decline a proposal; deciding the same again changes nothing.

        Raises:
            AppError: `not_found`; `conflict` for one that was withdrawn or decided otherwise.
        """
        found = await self._find(child.id, proposal_id)
        if found.status is not ProposalStatus.OPEN:
            return _as_decided(found, accept=accept)
        now = self._clock.now()
        if not accept:
            done = await self._repo.decline(found, by, reason, now)
        else:
            change = GradeChange(
                child_id=child.id,
                n=found.grade_n + 1,
                before=found.before,
                after=found.after,
                source=source,
                reason=reason,
                by=by,
                at=now,
                proposal=found.id,
            )
            pinned = partial(self._attributes.pins_difficulty, child.id)
            done = await self._repo.accept(found, change, pinned)
        settled = await self._find(child.id, proposal_id)
        if done:
            metrics.GRADE_PROPOSALS.labels(settled.status.value).inc()
        return _as_decided(settled, accept=accept)

    async def _find(self, child_id: str, proposal_id: str) -> Proposal:
        found = await self._repo.find_proposal(child_id, proposal_id)
        if found is None:
            raise AppError(ErrorCode.NOT_FOUND, "There is no such proposal.")
        return proposal_of(found)


def _as_decided(proposal: Proposal, *, accept: bool) -> Proposal:
    """Return a proposal that was decided so; raises `conflict` for any other."""
    wanted = ProposalStatus.ACCEPTED if accept else ProposalStatus.DECLINED
    if proposal.status is not wanted:
        raise AppError(
            ErrorCode.CONFLICT,
            "The proposal is not open any more: list them again.",
            details={"status": proposal.status.value, "why": proposal.reason},
        )
    return proposal
