"""Who somebody is: roles, and the principal that a verified token speaks for."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What somebody is to the product."""

    GUARDIAN = "guardian"
    CHILD = "child"
    THERAPIST = "therapist"
    ADMIN = "admin"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Principal:
    """The person or device behind a connection or a request. Fixed for the connection."""

    user_id: str
    sign_in: str
    """The sign-in (`sid`) the token belongs to."""
    roles: frozenset[Role]
    expires_at: int
    """Unix time in seconds at which the token ends."""
    child_id: str | None = None
    """Of a device token of role `child`: the one child it is bound to."""
    granted: frozenset[str] = frozenset()
    """Children granted by the token itself; only the development key may grant. `*` is all."""
    signed_in_at: int = 0
    """Unix time in seconds at which credentials were given for the sign-in; 0 is not known."""
    scopes: frozenset[str] = frozenset()
    """What a principal of role service was granted."""
