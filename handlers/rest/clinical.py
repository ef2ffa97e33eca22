"""What therapists and admins record of a child: diagnoses, grade, part in a trial."""

from datetime import UTC, date, datetime
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, TypeAdapter

from handlers.routing import Body, Call, ChildId, Id, Page, PageQuery, Policy, Query, Routes, View
from models.accounts.records import Role
from models.children.records import Grade, Hands
from models.clinic.actions import NewDiagnosis
from models.clinic.records import Attribute, AttributeType, ClinicalTrial, Diagnosis
from models.errors import AppError, ErrorCode

routes = Routes("/v1", tag="clinical")

DIAGNOSIS_PLACE: Final = TypeAdapter(tuple[date, AwareDatetime, Id])
"""Where a diagnosis stands in the list: its date, when it was written, its id."""
GRADE_PLACE: Final = TypeAdapter(tuple[Annotated[int, Field(ge=0, lt=2**31)]])
READ: Final = Policy({Role.GUARDIAN, Role.THERAPIST, Role.ADMIN}, child="child_id")
WRITE: Final = Policy({Role.THERAPIST, Role.ADMIN}, child="child_id", purpose="clinical")
TRIAL: Final = Policy({Role.ADMIN}, child="child_id", purpose="trial")
ATTRIBUTES: Final = 200
Why = Annotated[str, Field(min_length=3, max_length=200)]
Short = Annotated[str, Field(min_length=1, max_length=80)]


class DiagnosisBody(Body):
    """A diagnosis as it was made."""

    system: Literal["icd10", "kcd8", "other"]
    code: Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[A-Za-z0-9.+*/-]+$")]
    label: Short
    affected_hand: Hands
    diagnosed_on: date = Field(description="Between the child's birth and today.")
    institution: Short | None = None
    note: Annotated[str, Field(min_length=1, max_length=4000)] | None = None
    supersedes: Id | None = Field(default=None, description="The record that this one puts right.")


class DiagnosisView(View):
    """A diagnosis as it was recorded."""

    id: str
    system: Literal["icd10", "kcd8", "other"]
    code: str
    label: str
    affected_hand: Hands
    diagnosed_on: date
    institution: str | None
    note: str | None
    author: str
    at: datetime
    valid: bool = Field(description="Neither put right by another nor deleted.")
    supersedes: str | None
    superseded_by: str | None
    deleted_at: datetime | None
    delete_reason: str | None


class WhyQuery(Query):
    """Why something ends."""

    why: Why


class GradeBody(Body):
    """A child's new grade."""

    grade: Grade
    why: Why


class GradeChangeView(View):
    """One change of a child's grade."""

    before: Grade
    after: Grade
    source: Literal["therapist", "admin"]
    reason: str
    by: str
    at: datetime


class GradeSetView(View):
    """A child's grade after a change, and the change, if there was one."""

    grade: Grade
    change: GradeChangeView | None


class TrialBody(Body):
    """A child's part in a clinical trial."""

    trial: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
    site: Id = Field(description="The clinic that is the trial site.")
    arm: Annotated[str, Field(min_length=1, max_length=32)]
    subject_no: Annotated[str, Field(min_length=1, max_length=32)]
    protocol_version: Annotated[str, Field(min_length=1, max_length=32)]
    valid_from: AwareDatetime | None = Field(default=None, description="Now unless given.")
    valid_to: AwareDatetime | None = None


class TrialView(View):
    """A child's part in a clinical trial."""

    trial: str
    site: str
    arm: str | None = Field(description="For admins alone.")
    subject_no: str
    protocol_version: str


class AttributeView(View):
    """Something that holds of a child for a time."""

    id: str
    type: AttributeType
    value: TrialView
    valid_from: datetime
    valid_to: datetime | None
    holds: bool
    set_by: str
    close_reason: str | None


class AttributesView(View):
    """What holds or held of a child, the newest first."""

    items: list[AttributeView]


@routes.post(
    "/children/{child_id}/diagnoses",
    policy=WRITE,
    status=201,
    idempotent=True,
    errors={ErrorCode.CONFLICT},
)
async def add_diagnosis(call: Call, child_id: ChildId, body: DiagnosisBody) -> DiagnosisView:
    """Record a diagnosis; one that was wrong is put right by another."""
    said = NewDiagnosis(**body.model_dump())
    today = call.deps.children.today(call.child)
    done = await call.deps.clinical.add_diagnosis(
        call.new_id("dx"), call.child, said, today, call.who.user_id
    )
    return _diagnosis(call, done)


@routes.get("/children/{child_id}/diagnoses", policy=READ)
async def list_diagnoses(call: Call, child_id: ChildId, page: PageQuery) -> Page[DiagnosisView]:
    """List a child's diagnoses, the newest first, valid or not."""
    place = page.after(DIAGNOSIS_PLACE)
    before = None if place is None else (place[0].isoformat(), place[1], place[2])
    found = await call.deps.clinical.list_diagnoses(child_id, page.limit, before)
    end = found[-1] if found else None
    last = None if end is None else (end.diagnosed_on.isoformat(), end.at.isoformat(), end.id)
    return Page[DiagnosisView].of([_diagnosis(call, one) for one in found], page.limit, last)


@routes.delete(
    "/children/{child_id}/diagnoses/{diagnosis_id}", policy=WRITE, errors={ErrorCode.CONFLICT}
)
async def delete_diagnosis(
    call: Call, child_id: ChildId, diagnosis_id: Id, query: WhyQuery
) -> DiagnosisView:
    """Mark a diagnosis as deleted; it stays in the list, with the reason."""
    done = await call.deps.clinical.delete_diagnosis(
        child_id, diagnosis_id, call.who.user_id, query.why
    )
    return _diagnosis(call, done)


def _diagnosis(call: Call, one: Diagnosis) -> DiagnosisView:
    fields = {name: getattr(one, name) for name in DiagnosisView.model_fields if name != "note"}
    return DiagnosisView(**fields, note=call.deps.clinical.note(one))


@routes.put("/children/{child_id}/grade", policy=WRITE, errors={ErrorCode.CONFLICT})
async def set_grade(call: Call, child_id: ChildId, body: GradeBody) -> GradeSetView:
    """Change a child's grade."""
    source: Literal["therapist", "admin"] = (
        "therapist" if Role.THERAPIST in call.who.roles else "admin"
    )
    done = await call.deps.clinical.set_grade(
        call.child, body.grade, source, body.why, call.who.user_id
    )
    return GradeSetView(
        grade=body.grade, change=None if done is None else GradeChangeView.model_validate(done)
    )


@routes.get("/children/{child_id}/grades", policy=READ)
async def list_grades(call: Call, child_id: ChildId, page: PageQuery) -> Page[GradeChangeView]:
    """List the changes of a child's grade, the newest first."""
    place = page.after(GRADE_PLACE)
    found = await call.deps.clinical.list_grades(
        child_id, page.limit, None if place is None else place[0]
    )
    views = [GradeChangeView.model_validate(one) for one in found]
    return Page[GradeChangeView].of(views, page.limit, (found[-1].n,) if found else None)


@routes.post(
    "/children/{child_id}/trials",
    policy=TRIAL,
    status=201,
    idempotent=True,
    errors={ErrorCode.CONFLICT},
)
async def enrol(call: Call, child_id: ChildId, body: TrialBody) -> AttributeView:
    """Let a child take part in a clinical trial; one at a time."""
    site = await call.deps.care.find_clinic(body.site)
    if site.kind != "trial_site":
        raise AppError(ErrorCode.INVALID, "body.site is a clinic, not a trial site.")
    trial = ClinicalTrial(**body.model_dump(exclude={"valid_from", "valid_to"}))
    done = await call.deps.clinical.enrol(
        call.new_id("at"),
        child_id,
        trial,
        (body.valid_from or call.now).astimezone(UTC),
        body.valid_to and body.valid_to.astimezone(UTC),
        call.who.user_id,
    )
    return _attribute(call, done)


@routes.get("/children/{child_id}/attributes", policy=READ)
async def list_attributes(call: Call, child_id: ChildId) -> AttributesView:
    """List what holds or held of a child besides its profile."""
    found = await call.deps.clinical.list_attributes(child_id, ATTRIBUTES)
    return AttributesView(items=[_attribute(call, one) for one in found])


@routes.delete("/children/{child_id}/attributes/{attribute_id}", policy=TRIAL)
async def close_attribute(
    call: Call, child_id: ChildId, attribute_id: Id, query: WhyQuery
) -> AttributeView:
    """Let an attribute end now."""
    done = await call.deps.clinical.close_attribute(
        child_id, attribute_id, call.who.user_id, query.why
    )
    return _attribute(call, done)


def _attribute(call: Call, one: Attribute) -> AttributeView:
    value = one.value.model_dump()
    if Role.ADMIN not in call.who.roles:
        value["arm"] = None  # who treats or plays may not know it
    return AttributeView(
        id=one.id,
        type=one.type,
        value=TrialView(**value),
        valid_from=one.valid_from,
        valid_to=one.valid_to,
        holds=one.holds(call.deps.clock.now()),
        set_by=one.set_by,
        close_reason=one.close_reason,
    )
