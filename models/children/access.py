"""The guarded door to everything about a child."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from models.accounts.records import Principal, Role
from models.errors import AppError, ErrorCode

_ANIMALS = ("다람쥐", "토끼", "여우", "수달", "고래", "펭귄", "판다", "사슴", "참새", "나비",
            "거북이", "코알라", "햄스터", "돌고래", "부엉이", "고슴도치")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Visit:
    """How somebody comes to a child's data: what is kept of those who looked."""

    purpose: str
    """`read`, `write`, or what the route says."""
    what: str
    """The route or event."""
    reason: str | None
    """Why, in the words of an admin."""
    address: str | None
    request_id: str
    at: datetime


async def open_door(who: Principal, child_id: str, visit: Visit) -> None:  # noqa: ARG001 - nobody keeps visits yet
    """Let somebody through to a child.

    Raises:
        AppError: `not_found`, alike for a child that does not exist and one that is not theirs.
    """
    access_child(who, child_id)


def access_child(who: Principal, child_id: str) -> str:
    """Return `child_id` if `who` may reach that child.

    Raises:
        AppError: `not_found`, alike for a child that does not exist and one that is not theirs.
    """
    if may_reach(who, child_id):
        return child_id
    raise AppError(ErrorCode.NOT_FOUND, "There is no such child, or it is not yours to see.")


def may_reach(who: Principal, child_id: str) -> bool:
    """Tell whether `who` may reach the child, for lists that leave the others out."""
    if Role.CHILD in who.roles:
        return who.child_id == child_id
    return child_id in who.granted or "*" in who.granted


def alias_of(child_id: str) -> str:
    """Return the name a live list shows until the guardian chooses one: never the child's own."""
    digest = hashlib.sha256(child_id.encode()).digest()
    return f"{_ANIMALS[digest[0] % len(_ANIMALS)]} {digest[1] % 90 + 10}"
