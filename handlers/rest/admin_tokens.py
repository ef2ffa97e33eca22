"""Tokens by which an admin sees, or does, what somebody else may: 15 minutes, written down."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import AwareDatetime, Field, TypeAdapter

from handlers.routing import Body, Call, Id, Limit, Page, PageQuery, Policy, Routes, View
from models.accounts.records import Role
from models.admin.forced import FORCED_SECONDS
from models.admin.records import Scope
from models.errors import ErrorCode

routes = Routes("/v1/admin", tag="admin")

ADMIN: Final = Policy({Role.ADMIN}, reason=True)
TOKEN_PLACE: Final = TypeAdapter(tuple[AwareDatetime, Id])
"""Where a token stands in the list: when it was made, and its id."""


class ForcedBody(Body):
    """Why a token is needed, and for what."""

    reason: Annotated[str, Field(min_length=10, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    scope: Annotated[Scope, Field(strict=False)] = Field(
        default=Scope.READ, description="`read` takes GET and `/watch` alone."
    )


class ForcedView(View):
    """What is kept of a forced token."""

    id: str
    user_id: str
    admin_id: str
    scope: Scope
    reason: str
    at: datetime
    ends_at: datetime
    revoked_at: datetime | None
    revoked_by: str | None


class ForcedTokenView(ForcedView):
    """A forced token. It is told here alone."""

    access_token: str
    expires_in: int = Field(description="Seconds it lives. It cannot be renewed.")


@routes.post(
    "/users/{user_id}/tokens",
    policy=Policy({Role.ADMIN}),
    limit=Limit.SIGN_IN,
    status=201,
    errors={ErrorCode.NOT_FOUND, ErrorCode.CONFLICT},
)
async def force_token(call: Call, user_id: Id, body: ForcedBody) -> ForcedTokenView:
    """Make a token in somebody's name. Operators are told; admins' own names are taken by nobody.

    What is done by it is written down under both names, and the family sees looks at a child. It
    ends with the sign-in of the admin. It opens no `/game`, gives no consent and changes nothing
    about how its person signs in.
    """
    token, kept = await call.deps.admin.forced.issue(
        call.new_id("ft"), user_id, call.who, body.scope, body.reason
    )
    fields = {name: getattr(kept, name) for name in ForcedView.model_fields}
    return ForcedTokenView(**fields, access_token=token, expires_in=FORCED_SECONDS)


@routes.get("/users/{user_id}/tokens", policy=ADMIN)
async def list_forced_tokens(call: Call, user_id: Id, page: PageQuery) -> Page[ForcedView]:
    """List who was let act in somebody's name, the newest first."""
    found = await call.deps.admin.forced.list_of(user_id, page.limit, page.after(TOKEN_PLACE))
    place = (found[-1].at.isoformat(), found[-1].id) if found else None
    return Page[ForcedView].of([ForcedView.model_validate(f) for f in found], page.limit, place)


@routes.delete("/users/{user_id}/tokens/{token_id}", policy=ADMIN, errors={ErrorCode.NOT_FOUND})
async def revoke_forced_token(call: Call, user_id: Id, token_id: Id) -> None:
    """Revoke a token; any admin may. Its connections end within 2 s."""
    await call.deps.admin.forced.revoke(user_id, token_id, call.who.user_id)
