"""Accounts for tests, made and deleted by the batch. Nothing of theirs leaves the server."""

from typing import Annotated, Final

from pydantic import Field

from handlers.routing import Body, Call, Id, Policy, Routes, View
from models.accounts.records import Role
from models.admin.test_accounts import Template
from models.errors import ErrorCode

routes = Routes("/v1/admin", tag="admin")

ADMIN: Final = Policy({Role.ADMIN}, reason=True)
MOST: Final = 200
"""Accounts of one batch."""


class NewBatch(Body):
    """How many accounts, of what kind, and the key that gives the same set again."""

    batch_key: Id
    count: Annotated[int, Field(ge=1, le=MOST)]
    template: Annotated[Template, Field(strict=False)] = Field(
        default=Template.FAMILY,
        description="`guardian`: an account; `family`: and a child with consents; `played`: and "
        "a session that it played.",
    )


class TestAccountView(View):
    """One account."""

    user_id: str
    email: str
    child_id: str | None


class BatchView(View):
    """A batch. Its accounts sign in by e-mail and this password."""

    key: str
    template: Template
    password: str
    accounts: list[TestAccountView]


class DeletedView(View):
    """How many documents were deleted, by collection."""

    deleted: dict[str, int]


@routes.post("/test-accounts", policy=ADMIN, status=201, errors={ErrorCode.CONFLICT})
async def make_test_accounts(call: Call, body: NewBatch) -> BatchView:
    """Make accounts for tests; the same key gives the same set."""
    batch = await call.deps.admin.tests.make(
        body.batch_key, body.count, body.template, call.who.user_id
    )
    return BatchView.model_validate(batch)


@routes.delete("/test-accounts/{batch_key}", policy=ADMIN)
async def delete_test_accounts(call: Call, batch_key: Id) -> DeletedView:
    """Delete the accounts of a key with everything of theirs; again deletes nothing more."""
    return DeletedView(deleted=await call.deps.admin.tests.delete(batch_key))
