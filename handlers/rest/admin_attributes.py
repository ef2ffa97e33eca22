"""What admins say of an account for a time. It adds policy, never a role."""

from typing import Final

from pydantic import Field

from handlers.rest.attributes import MOST, HeldView, Time, held
from handlers.routing import Call, Id, Policy, Routes, View
from models.accounts.records import Role
from models.attributes.records import Attribute, ChildrenLimit, MostChildren
from models.errors import ErrorCode

routes = Routes("/v1/admin", tag="admin")

ADMIN: Final = Policy({Role.ADMIN}, reason=True)


class ChildrenLimitBody(Time):
    """How many children an account may have, for a home or a school."""

    most: MostChildren


class ChildrenLimitView(View):
    """How many children an account may have."""

    most: int


class AccountAttributeView(HeldView):
    """Something that holds of an account for a time."""

    value: ChildrenLimitView
    reason: str | None = Field(description="Why it was set.")


class AccountAttributesView(View):
    """What holds or held of an account, the newest first."""

    items: list[AccountAttributeView]


@routes.post(
    "/users/{user_id}/children-limits",
    policy=ADMIN,
    status=201,
    idempotent=True,
    errors={ErrorCode.NOT_FOUND, ErrorCode.CONFLICT},
)
async def limit_children(call: Call, user_id: Id, body: ChildrenLimitBody) -> AccountAttributeView:
    """Say how many children an account may have, for a time; one limit at a time.

    Children who are there stay, however many.
    """
    done = await call.deps.admin.attributes.set(
        call.new_id("at"),
        user_id,
        ChildrenLimit(most=body.most),
        *body.span(call.now),
        call.who.user_id,
        call.reason or "",
    )
    return _attribute(call, done)


@routes.get("/users/{user_id}/attributes", policy=ADMIN, errors={ErrorCode.NOT_FOUND})
async def list_account_attributes(call: Call, user_id: Id) -> AccountAttributesView:
    """List what holds or held of an account."""
    found = await call.deps.admin.attributes.list_of(user_id, MOST)
    return AccountAttributesView(items=[_attribute(call, one) for one in found])


@routes.delete(
    "/users/{user_id}/attributes/{attribute_id}", policy=ADMIN, errors={ErrorCode.NOT_FOUND}
)
async def close_account_attribute(
    call: Call, user_id: Id, attribute_id: Id
) -> AccountAttributeView:
    """Let an attribute of an account end now; the reason of the request is kept with it."""
    done = await call.deps.admin.attributes.close(
        user_id, attribute_id, call.who.user_id, call.reason or ""
    )
    return _attribute(call, done)


def _attribute(call: Call, one: Attribute) -> AccountAttributeView:
    value = ChildrenLimitView.model_validate(one.value)
    return AccountAttributeView(**held(call, one), value=value, reason=one.reason)
