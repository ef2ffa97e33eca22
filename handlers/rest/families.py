"""Families: guardians invite each other, and read who looked at their child."""

from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from handlers.rest.children import ChildView, view_of
from handlers.rest.devices import end_devices
from handlers.routing import Body, Call, ChildId, Id, Page, PageQuery, Policy, Routes, View
from models.accounts.records import Role
from models.errors import AppError, ErrorCode

routes = Routes("/v1", tag="families")

LOOK_PLACE: Final = TypeAdapter(
    tuple[Annotated[int, Field(ge=0, lt=2**63)], Annotated[int, Field(ge=0, lt=2**63)]]
)
"""Where a look stands in the list: its time and its number."""
FAMILY: Final = Policy({Role.GUARDIAN, Role.ADMIN}, child="child_id", purpose="family")
OWN: Final = Policy({Role.GUARDIAN}, child="child_id", purpose="family")
Code = Annotated[
    str,
    Field(min_length=12, max_length=32, pattern=r"^[0-9A-Za-z -]+$", examples=["4F7K-9Q2M-XB3T"]),
]


class GuardianView(View):
    """A guardian of a child."""

    user_id: str
    own: bool = Field(description="Whether it is the caller.")


class InviteView(View):
    """An invitation that can still be taken."""

    id: str
    until: datetime


class GuardiansView(View):
    """Who a child's guardians are, and who is invited."""

    guardians: list[GuardianView]
    invites: list[InviteView]


class NewInviteView(InviteView):
    """A fresh invitation. Its code is told here alone."""

    code: str
    link: str = Field(description="Opens the app with the code.")


class CodeBody(Body):
    """The code of an invitation, as it was told."""

    code: Code


class LookView(View):
    """One look of one member of staff."""

    at: datetime
    user_id: str
    acting_for: str | None = Field(description="In whose name an admin looked.")
    role: str = Field(description="As what they looked: therapist, admin or service.")
    action: str = Field(description="The route or event.")
    via: str = Field(description="`rest` or `live`.")
    reason: str | None


@routes.get("/children/{child_id}/guardians", policy=FAMILY)
async def list_guardians(call: Call, child_id: ChildId) -> GuardiansView:
    """List a child's guardians and the open invitations."""
    invites = await call.deps.children.list_invites(child_id)
    return GuardiansView(
        guardians=[
            GuardianView(user_id=user_id, own=user_id == call.who.user_id)
            for user_id in call.child.guardians
        ],
        invites=[InviteView.model_validate(invite) for invite in invites],
    )


@routes.post(
    "/children/{child_id}/guardian-invites",
    policy=OWN,
    status=201,
    idempotent=True,
    errors={ErrorCode.CONFLICT},
)
async def invite_guardian(call: Call, child_id: ChildId) -> NewInviteView:
    """Invite somebody to be a guardian too; who has the code may accept, once."""
    invite = await call.deps.children.invite_guardian(call.new_id("gi"), child_id, call.who.user_id)
    code = invite.code or ""
    link = call.deps.settings.care.guardian_link + code
    return NewInviteView(id=invite.id, until=invite.until, code=code, link=link)


@routes.delete("/children/{child_id}/guardian-invites/{invite_id}", policy=FAMILY)
async def withdraw_guardian_invite(call: Call, child_id: ChildId, invite_id: Id) -> None:
    """Withdraw an invitation that nobody took."""
    await call.deps.children.withdraw_invite(child_id, invite_id)


@routes.post(
    "/guardian-invites/accept",
    policy=Policy({Role.GUARDIAN}),
    errors={ErrorCode.NOT_FOUND, ErrorCode.CONFLICT},
)
async def accept_guardian_invite(call: Call, body: CodeBody) -> ChildView:
    """Become a guardian by the code of an invitation."""
    return view_of(call, await call.deps.children.accept_invite(body.code, call.who.user_id))


@routes.delete(
    "/children/{child_id}/guardians/{user_id}", policy=FAMILY, errors={ErrorCode.CONFLICT}
)
async def remove_guardian(call: Call, child_id: ChildId, user_id: Id) -> None:
    """Stop being a guardian; an admin may take away another. The last one stays."""
    if user_id != call.who.user_id and Role.ADMIN not in call.who.roles:
        raise AppError(ErrorCode.FORBIDDEN, "A guardian leaves by themselves.")
    await call.deps.children.leave(child_id, user_id)
    await end_devices(call, child_id, user_id)


@routes.get("/children/{child_id}/looks", policy=FAMILY)
async def list_looks(call: Call, child_id: ChildId, page: PageQuery) -> Page[LookView]:
    """List who of the staff looked at the child's data, the newest first."""
    found = await call.deps.looks.list_looks(child_id, page.limit, page.after(LOOK_PLACE))
    views = [
        LookView(**{**entry, "at": datetime.fromtimestamp(entry["at_us"] / 1e6, UTC)})
        for entry in found
    ]
    place = (found[-1]["at_us"], found[-1]["seq"]) if found else None
    return Page[LookView].of(views, page.limit, place)
