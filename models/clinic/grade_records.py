"""A child's grade from 1 to 5: its changes, and what the rule proposes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal

from models.children.records import Grade

WEEK: Final = timedelta(days=7)
Source = Literal["therapist", "admin", "rule"]


@dataclass(frozen=True, slots=True)
class GradeChange:
    """One change of a child's grade. Document of `grade_history`, never changed."""

    child_id: str
    n: int
    before: Grade
    after: Grade
    source: Source
    reason: str
    by: str | None
    """None of the rule."""
    at: datetime
    proposal: str | None = None
    """The proposal it came of."""


def change_document(change: GradeChange) -> dict[str, Any]:
    """Return a change as it lies in the database."""
    return {"_id": f"{change.child_id}:{change.n:06d}", **asdict(change)}


def change_of(document: Mapping[str, Any]) -> GradeChange:
    """Return the change of a document."""
    fields: dict[str, Any] = {name: document.get(name) for name in GradeChange.__slots__}
    return GradeChange(**fields)


class Says(StrEnum):
    """What a week of play says of a grade."""

    UP = "up"
    STAY = "stay"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Limits:
    """When a week says what; kept with each proposal, as they were then."""

    sets: int
    days: int
    quality: float
    up: float
    down: float


@dataclass(frozen=True, slots=True)
class Week:
    """What a child played in one local week, Monday to Sunday."""

    monday: date
    sets: int
    """Finished sets that count."""
    left_out: int
    """Sets that do not: broken off, seen badly, or nothing was asked."""
    days: int
    """Local days with a set that counts."""
    completion: float | None
    """Mean share done of what the sets asked for, 0 to 1; None without sets."""
    quality: float | None
    """Mean share of their frames that were good, 0 to 1."""
    says: Says | None
    """None when it was too little to say anything."""


class ProposalStatus(StrEnum):
    """Where a proposal stands. Of a child one is open at a time."""

    OPEN = "open"
    APPLIED = "applied"
    """There was nobody to ask, from the first or since the care ended."""
    ACCEPTED = "accepted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class Untrue(StrEnum):
    """Why a proposal was withdrawn."""

    GRADE_CHANGED = "grade_changed"
    WEEK_DISAGREES = "week_disagrees"
    TRIAL = "trial"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    """What it rests on may be read no more."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """That the rule would change a grade. Document of `grade_proposals`."""

    id: str
    child_id: str
    before: Grade
    after: Grade
    grade_n: int
    """How often the grade had been changed when it was made."""
    weeks: tuple[Week, Week]
    """What it rests on, the older week first."""
    limits: Limits
    status: ProposalStatus
    made_at: datetime
    settled_at: datetime | None = None
    settled_by: str | None = None
    reason: str | None = None
    """In the words of who decided; of a withdrawn one a value of `Untrue`."""


def proposal_id(child_id: str, monday: date) -> str:
    """Return the id of what is proposed after a week: a child has one."""
    return f"{child_id}:{monday.isoformat()}"


def proposal_document(proposal: Proposal) -> dict[str, Any]:
    """Return a proposal as it lies in the database."""
    fields = asdict(proposal)
    weeks = [{**week, "monday": week["monday"].isoformat()} for week in fields.pop("weeks")]
    opened = {"open": True} if proposal.status is ProposalStatus.OPEN else {}
    return {
        "_id": fields.pop("id"),
        **fields,
        "week": weeks[-1]["monday"],
        "weeks": weeks,
        **opened,
    }


def proposal_of(document: Mapping[str, Any]) -> Proposal:
    """Return the proposal of a document."""
    older, newer = (
        Week(
            **{
                **week,
                "monday": date.fromisoformat(week["monday"]),
                "says": Says(week["says"]) if week["says"] else None,
            }
        )
        for week in document["weeks"]
    )
    return Proposal(
        id=document["_id"],
        child_id=document["child_id"],
        before=document["before"],
        after=document["after"],
        grade_n=document["grade_n"],
        weeks=(older, newer),
        limits=Limits(**document["limits"]),
        status=ProposalStatus(document["status"]),
        made_at=document["made_at"],
        settled_at=document["settled_at"],
        settled_by=document["settled_by"],
        reason=document["reason"],
    )
