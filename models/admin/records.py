"""What admins make: tokens in somebody else's name."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from models.accounts.forced import ACT, READ


class Scope(StrEnum):
    """What a forced token may do."""

    READ = READ
    ACT = ACT


@dataclass(frozen=True, slots=True)
class ForcedToken:
    """That an admin was let act in somebody's name. Document of `forced_tokens`, kept."""

    id: str
    """Also the `sid` of the token itself, which is not kept."""
    user_id: str
    admin_id: str
    admin_sign_in: str
    scope: Scope
    reason: str
    at: datetime
    ends_at: datetime
    revoked_at: datetime | None = None
    revoked_by: str | None = None

    def document(self) -> dict[str, Any]:
        """Return what is stored of one that begins."""
        names = [name for name in ForcedToken.__slots__ if name != "id"]
        return {"_id": self.id, **{name: getattr(self, name) for name in names}}


def forced_token_of(document: Mapping[str, Any]) -> ForcedToken:
    """Return the forced token of a document."""
    fields = {name: document[name] for name in ForcedToken.__slots__ if name not in ("id", "scope")}
    return ForcedToken(id=document["_id"], scope=Scope(document["scope"]), **fields)
