"""Care: a guardian invites a therapist or a clinic, which accept; clinics and their therapists."""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from handlers.rest.families import CodeBody
from handlers.routing import Body, Call, ChildId, Id, Page, PageQuery, Policy, Routes, View
from models.accounts.records import Role
from models.clinic.records import Assignment, CareStatus, Clinic, EndReason
from models.errors import AppError, ErrorCode

routes = Routes("/v1", tag="care")

CLINIC_PLACE: Final = TypeAdapter(tuple[Id])
LISTED: Final = 200
"""Assignments of one child that are shown, the newest."""
FAMILY: Final = Policy({Role.GUARDIAN, Role.ADMIN}, child="child_id", purpose="family")
ADMIN: Final = Policy({Role.ADMIN}, reason=True)


class CareInvite(Body):
    """Who is invited, and for how long."""

    clinic_id: Id | None = Field(
        default=None, description="A clinic with all its therapists; else who has the code."
    )
    days: Annotated[int, Field(ge=1, le=3660)] | None = Field(
        default=None, description="How long the care lasts once accepted."
    )


class AssignmentView(View):
    """A child in somebody's care, or to be."""

    id: str
    child_id: str
    status: CareStatus
    therapist_id: str | None
    clinic_id: str | None
    invited_at: datetime
    invite_until: datetime
    care_days: int
    accepted_by: str | None
    accepted_at: datetime | None
    until: datetime | None = Field(description="End of the care, once accepted.")
    ended_at: datetime | None
    end_reason: EndReason | None


class InvitedView(View):
    """A fresh invitation. Its code is told here alone."""

    assignment: AssignmentView
    code: str
    link: str = Field(description="Opens the therapist's app with the code.")


class AssignmentsView(View):
    """Who has, had or may take a child into care, the newest first."""

    items: list[AssignmentView]


class NewClinic(Body):
    """A clinic or a trial site."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    kind: Literal["clinic", "trial_site"]


class ClinicView(View):
    """A clinic or a trial site."""

    id: str
    name: str
    kind: Literal["clinic", "trial_site"]
    therapists: list[str] | None = Field(description="For admins alone.")


@routes.post(
    "/children/{child_id}/care",
    policy=Policy({Role.GUARDIAN}, child="child_id", purpose="family"),
    status=201,
    idempotent=True,
    errors={ErrorCode.CONFLICT},
)
async def invite_care(call: Call, child_id: ChildId, body: CareInvite) -> InvitedView:
    """Invite a therapist, who sees the child once they accept and viewing is consented to."""
    settings = call.deps.settings.care
    days = settings.care_days if body.days is None else body.days
    if days > settings.care_days_most:
        raise AppError(ErrorCode.INVALID, f"body.days: at most {settings.care_days_most}.")
    assignment, code = await call.deps.care.invite(
        call.new_id("ca"), child_id, body.clinic_id, days, call.who.user_id
    )
    return InvitedView(
        assignment=AssignmentView.model_validate(assignment),
        code=code,
        link=settings.care_link + code,
    )


@routes.get("/children/{child_id}/care", policy=FAMILY)
async def list_care(call: Call, child_id: ChildId) -> AssignmentsView:
    """List who has, had or may take the child into care."""
    found: list[Assignment] = await call.deps.care.list_of_child(child_id, LISTED)
    return AssignmentsView(items=[AssignmentView.model_validate(one) for one in found])


@routes.delete("/children/{child_id}/care/{assignment_id}", policy=FAMILY)
async def end_care(call: Call, child_id: ChildId, assignment_id: Id) -> None:
    """End care or withdraw its invitation; what the therapist sees ends within two seconds."""
    admin = call.who.user_id not in call.child.guardians
    await call.deps.care.end_by_family(child_id, assignment_id, call.who.user_id, admin)


@routes.post(
    "/care/accept",
    policy=Policy({Role.THERAPIST}),
    errors={ErrorCode.NOT_FOUND, ErrorCode.CONFLICT},
)
async def accept_care(call: Call, body: CodeBody) -> AssignmentView:
    """Take a child into care by the code of its guardian."""
    done = await call.deps.care.accept(body.code, call.who.user_id)
    return AssignmentView.model_validate(done)


@routes.delete(
    "/care/{assignment_id}", policy=Policy({Role.THERAPIST}), errors={ErrorCode.NOT_FOUND}
)
async def give_up_care(call: Call, assignment_id: Id) -> None:
    """Give a child out of one's own care."""
    await call.deps.care.end_by_therapist(assignment_id, call.who.user_id)


@routes.post("/clinics", policy=ADMIN, status=201, idempotent=True)
async def add_clinic(call: Call, body: NewClinic) -> ClinicView:
    """Add a clinic or a trial site."""
    done = await call.deps.care.add_clinic(
        call.new_id("cl"), body.name, body.kind, call.who.user_id
    )
    return _view(call, done)


@routes.get("/clinics", policy=Policy({Role.GUARDIAN, Role.THERAPIST, Role.ADMIN}))
async def list_clinics(call: Call, page: PageQuery) -> Page[ClinicView]:
    """List the clinics a child's care can be given to."""
    place = page.after(CLINIC_PLACE)
    found = await call.deps.care.list_clinics(place[0] if place else "", page.limit)
    views = [_view(call, one) for one in found]
    return Page[ClinicView].of(views, page.limit, (found[-1].id,) if found else None)


@routes.put(
    "/clinics/{clinic_id}/therapists/{user_id}",
    policy=ADMIN,
    errors={ErrorCode.NOT_FOUND, ErrorCode.CONFLICT},
)
async def add_therapist(call: Call, clinic_id: Id, user_id: Id) -> ClinicView:
    """Let a therapist work at a clinic."""
    return _view(call, await call.deps.care.add_therapist(clinic_id, user_id))


@routes.delete(
    "/clinics/{clinic_id}/therapists/{user_id}", policy=ADMIN, errors={ErrorCode.NOT_FOUND}
)
async def remove_therapist(call: Call, clinic_id: Id, user_id: Id) -> ClinicView:
    """Let a therapist leave a clinic; what they see through it ends within two seconds."""
    return _view(call, await call.deps.care.remove_therapist(clinic_id, user_id))


def _view(call: Call, clinic: Clinic) -> ClinicView:
    shown = list(clinic.therapists) if Role.ADMIN in call.who.roles else None
    return ClinicView(id=clinic.id, name=clinic.name, kind=clinic.kind, therapists=shown)
