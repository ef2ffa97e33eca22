"""What a forced token may do: the one place that says it, for REST and live alike."""

from models.accounts.records import Principal
from models.errors import AppError, ErrorCode

READ, ACT = "read", "act"
"""Scopes of a forced token. Whatever else it says, one without `act` only reads."""


def check_forced(who: Principal, *, changes: bool, in_person: bool) -> None:
    """Refuse what an admin may not do in somebody else's name; pure.

    Args:
        changes: whether anything is changed by it.
        in_person: whether only the person themselves may do it: their consents, their
            credentials, what their child plays.

    Raises:
        AppError: `forbidden`.
    """
    if who.actor is None:
        return
    if in_person:
        raise AppError(
            ErrorCode.FORBIDDEN, "Nobody does this in somebody else's name, admins neither."
        )
    if changes and ACT not in who.scopes:
        raise AppError(
            ErrorCode.FORBIDDEN, "This token only reads; ask for one of the scope `act`."
        )
