"""A child's diagnoses, as therapists and admins record them."""

from datetime import date, datetime
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, TypeAdapter

from handlers.routing import Body, Call, ChildId, Id, Page, PageQuery, Policy, Query, Routes, View
from models.accounts.records import Role
from models.children.records import Hands
from models.clinic.actions import NewDiagnosis
from models.clinic.records import Diagnosis
from models.errors import ErrorCode

routes = Routes("/v1", tag="clinical")

DIAGNOSIS_PLACE: Final = TypeAdapter(tuple[date, AwareDatetime, Id])
"""Where a diagnosis stands in the list: its date, when it was written, its id."""
READ: Final = Policy({Role.GUARDIAN, Role.THERAPIST, Role.ADMIN}, child="child_id")
WRITE: Final = Policy({Role.THERAPIST, Role.ADMIN}, child="child_id", purpose="clinical")
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
