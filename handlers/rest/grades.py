"""A child's grade from 1 to 5: its changes, and what the weekly rule proposes."""

from datetime import date, datetime
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from handlers.rest.children import GradeView, grade_view
from handlers.rest.clinical import READ, WRITE, Why
from handlers.routing import Body, Call, ChildId, Id, Page, PageQuery, Routes, View
from models.accounts.records import Role
from models.children.records import Grade
from models.clinic.grade_records import Proposal, ProposalStatus, Says, Source
from models.clinic.grade_rules import explained
from models.errors import ErrorCode

routes = Routes("/v1", tag="grades")

CHANGE_PLACE: Final = TypeAdapter(tuple[Annotated[int, Field(ge=0, lt=2**31)]])
PROPOSAL_PLACE: Final = TypeAdapter(tuple[date])
"""Where a proposal stands in the list: the Monday of its newer week."""


class GradeBody(Body):
    """A child's new grade."""

    grade: Grade
    why: Why


class GradeChangeView(View):
    """One change of a child's grade."""

    before: Grade
    after: Grade
    source: Source
    reason: str
    by: str | None = Field(description="Null for the rule.")
    at: datetime
    proposal: str | None = Field(description="The proposal it came of.")


class GradeSetView(View):
    """A child's grade after a change, and the change, if there was one."""

    grade: Grade
    change: GradeChangeView | None


class WeekView(View):
    """What a child played in one local week."""

    monday: date
    sets: int = Field(description="Finished sets that count.")
    left_out: int = Field(description="Sets broken off, seen badly, or that asked for nothing.")
    days: int = Field(description="Days with a set that counts.")
    completion: float | None = Field(description="Mean share done of what was asked, 0 to 1.")
    quality: float | None = Field(description="Mean share of the frames that were good, 0 to 1.")
    says: Says | None = Field(description="Null when it was too little to say anything.")


class LimitsView(View):
    """When a week says what, as it was then."""

    sets: int
    days: int
    quality: float
    up: float
    down: float


class ProposalView(View):
    """That the rule would change a grade, or did."""

    id: str
    before: GradeView
    after: GradeView
    status: ProposalStatus = Field(
        description="`applied` where nobody had to be asked; `withdrawn` when it became untrue."
    )
    weeks: list[WeekView] = Field(description="What it rests on: two weeks, the older one first.")
    limits: LimitsView
    explanation_ko: str
    explanation_en: str
    made_at: datetime
    settled_at: datetime | None
    settled_by: str | None
    reason: str | None = Field(
        description="In the words of who decided; of a withdrawn one `grade_changed`, "
        "`week_disagrees`, `trial` or `consent_withdrawn`."
    )


class DecisionBody(Body):
    """What somebody decides on a proposal."""

    accept: bool
    why: Why


@routes.put("/children/{child_id}/grade", policy=WRITE, errors={ErrorCode.CONFLICT})
async def set_grade(call: Call, child_id: ChildId, body: GradeBody) -> GradeSetView:
    """Change a child's grade; a proposal that is open is withdrawn by it."""
    done = await call.deps.grades.set(
        call.child, body.grade, _source(call), body.why, call.who.user_id
    )
    return GradeSetView(
        grade=body.grade, change=None if done is None else GradeChangeView.model_validate(done)
    )


@routes.get("/children/{child_id}/grades", policy=READ)
async def list_grades(call: Call, child_id: ChildId, page: PageQuery) -> Page[GradeChangeView]:
    """List the changes of a child's grade, the newest first."""
    place = page.after(CHANGE_PLACE)
    found = await call.deps.grades.list_changes(
        child_id, page.limit, None if place is None else place[0]
    )
    views = [GradeChangeView.model_validate(one) for one in found]
    return Page[GradeChangeView].of(views, page.limit, (found[-1].n,) if found else None)


@routes.get("/children/{child_id}/grade-proposals", policy=READ)
async def list_grade_proposals(
    call: Call, child_id: ChildId, page: PageQuery
) -> Page[ProposalView]:
    """List what the weekly rule proposed for a child, the newest first, with what it rests on."""
    place = page.after(PROPOSAL_PLACE)
    found = await call.deps.grades.list_proposals(
        child_id, page.limit, None if place is None else place[0]
    )
    last = (found[-1].weeks[-1].monday.isoformat(),) if found else None
    return Page[ProposalView].of([_proposal(call, one) for one in found], page.limit, last)


@routes.put(
    "/children/{child_id}/grade-proposals/{proposal_id}/decision",
    policy=WRITE,
    errors={ErrorCode.CONFLICT},
)
async def decide_grade_proposal(
    call: Call, child_id: ChildId, proposal_id: Id, body: DecisionBody
) -> ProposalView:
    """Accept or decline a proposal. The same again changes nothing; it is decided once."""
    done = await call.deps.grades.decide(
        call.child,
        proposal_id,
        accept=body.accept,
        source=_source(call),
        reason=body.why,
        by=call.who.user_id,
    )
    return _proposal(call, done)


def _source(call: Call) -> Literal["therapist", "admin"]:
    return "therapist" if Role.THERAPIST in call.who.roles else "admin"


def _proposal(call: Call, one: Proposal) -> ProposalView:
    said = explained(one.weeks)
    return ProposalView(
        id=one.id,
        before=grade_view(call, one.before),
        after=grade_view(call, one.after),
        status=one.status,
        weeks=[WeekView.model_validate(week) for week in one.weeks],
        limits=LimitsView.model_validate(one.limits),
        explanation_ko=said["ko"],
        explanation_en=said["en"],
        made_at=one.made_at,
        settled_at=one.settled_at,
        settled_by=one.settled_by,
        reason=one.reason,
    )
