"""Who is connecting: the token of a connect's auth payload or of a request's header."""

from typing import Any

from models.accounts.forced import check_forced
from models.accounts.records import Principal, Role
from models.accounts.tokens import Verifier
from models.errors import AppError, ErrorCode


def principal_of_connect(
    verifier: Verifier, auth: Any, roles: frozenset[Role], *, in_person: bool
) -> Principal:
    """Return whom a Socket.IO connect speaks for.

    Args:
        auth: the auth payload, whatever the client sent.
        roles: who may enter the namespace; one of them is enough.
        in_person: whether nobody may enter in somebody else's name.

    Raises:
        AppError: `unauthenticated` or `forbidden`.
    """
    token = auth.get("token") if isinstance(auth, dict) else None
    who = require_role(verifier.principal(token), roles)
    check_forced(who, changes=False, in_person=in_person)
    return who


def principal_of_header(verifier: Verifier, header: str | None) -> Principal:
    """Return whom a request speaks for, from its `Authorization: Bearer` header.

    Raises:
        AppError: `unauthenticated`.
    """
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer":
        raise AppError(
            ErrorCode.UNAUTHENTICATED, "Send the access token as `Authorization: Bearer <token>`."
        )
    return verifier.principal(token.strip())


def require_role(who: Principal, roles: frozenset[Role]) -> Principal:
    """Return `who` if one of the roles is theirs.

    Raises:
        AppError: `forbidden`.
    """
    if who.roles & roles:
        return who
    raise AppError(ErrorCode.FORBIDDEN, "Your role may not do this.")
