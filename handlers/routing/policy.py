"""Who may call a route: declared beside it, checked before it runs."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from handlers.deps import Deps
from models.accounts.forced import check_forced
from models.accounts.records import Principal, Role
from models.errors import AppError, ErrorCode

ADMIN_FRESH_SECONDS = 600
"""How recently an admin must have given credentials to change something as an admin."""


@dataclass(frozen=True, slots=True)
class Signed:
    """Whose calls a route takes, none of which is counted or answered 429.

    Args:
        by: the company, in words.
        check: is given the headers and the body; returns what the call tells, for
            `call.told`. Raises AppError `unauthenticated` of a call that is not theirs.
    """

    by: str
    check: Callable[[Deps, Mapping[str, str], bytes], Awaitable[Any]]


@dataclass(frozen=True, slots=True, init=False)
class Policy:
    """Who may call a route.

    Args:
        roles: one of them is enough.
        child: name of the path parameter that names a child: the guarded door is asked for it
            before the handler runs, and answers `not_found` for missing and forbidden alike.
        purpose: what the child is reached for, told to the door; `read` for GET, else `write`,
            unless given.
        reason: whether an admin must say why, in the header `X-Reason`. Always so with `child`.
        fresh_seconds: how long ago the caller may have signed in with their own hands.
        scopes: what a caller of role service must have been granted, all of it.
        in_person: whether no admin may do it in somebody else's name. Always so where a recent
            sign-in is needed, and of what is reached as `consent`.
        signed: of calls by another company: checks that they are theirs, before anything else.
    """

    roles: frozenset[Role]
    child: str | None
    purpose: str | None
    reason: bool
    fresh_seconds: int | None
    scopes: frozenset[str]
    in_person: bool
    signed: Signed | None

    def __init__(
        self,
        roles: Iterable[Role],
        *,
        child: str | None = None,
        purpose: str | None = None,
        reason: bool = False,
        fresh_seconds: int | None = None,
        scopes: Iterable[str] = (),
        in_person: bool = False,
        signed: Signed | None = None,
    ) -> None:
        for name, value in (
            ("roles", frozenset(roles)),
            ("child", child),
            ("purpose", purpose),
            ("reason", Role.ADMIN in roles and (reason or child is not None)),
            ("fresh_seconds", fresh_seconds),
            ("scopes", frozenset(scopes)),
            ("signed", signed),
            ("in_person", in_person or fresh_seconds is not None or purpose == "consent"),
        ):
            object.__setattr__(self, name, value)

    @property
    def public(self) -> bool:
        """Whether nobody has to sign in."""
        return self is PUBLIC or self.signed is not None

    @property
    def admins(self) -> bool:
        """Whether it is for admins alone, and about no child: each call is written down."""
        return self.roles == {Role.ADMIN} and self.child is None

    def max_age(self, *, changes: bool) -> int | None:
        """Return how old the sign-in of a caller may be, in seconds; None is any age.

        An admin who changes something as an admin has given credentials within ten minutes.
        Accounts of their own they change as everybody does.
        """
        as_admin = Role.ADMIN in self.roles and (self.admins or self.reason)
        return ADMIN_FRESH_SECONDS if changes and as_admin else self.fresh_seconds

    def faults(self) -> list[str]:
        """Return what is wrong with the declaration, in words for its author."""
        if self.signed is not None and self.roles:
            return ["a call that another company signs has no role"]
        if self.public:
            return []
        found = [] if self.roles else ["its policy names no role; a route for all is PUBLIC"]
        if (Role.SERVICE in self.roles) != bool(self.scopes):
            found.append("its policy needs `scopes` for role service, and only for that")
        return found

    def admit(
        self, who: Principal, now_s: int, reason: str | None, *, changes: bool = False
    ) -> None:
        """Refuse a caller that the policy does not let in; pure.

        Args:
            now_s: Unix time in seconds.
            reason: what the caller gave as reason.
            changes: whether the request may change something: all but GET and HEAD.

        Raises:
            AppError: `forbidden`, `reauthentication_required`, or `invalid` for want of a reason.
        """
        held = who.roles & self.roles
        if not held:
            raise AppError(ErrorCode.FORBIDDEN, "Your role may not do this.")
        if held == {Role.SERVICE} and not self.scopes <= who.scopes:
            raise AppError(
                ErrorCode.FORBIDDEN,
                f"The key lacks a scope: this needs {', '.join(sorted(self.scopes))}.",
            )
        check_forced(who, changes=changes, in_person=self.in_person)
        age = self.max_age(changes=changes)
        if Role.ADMIN not in held:
            age = self.fresh_seconds
        if age is not None and now_s - who.signed_in_at > age:
            raise AppError(
                ErrorCode.REAUTHENTICATION_REQUIRED,
                "This needs a recent sign-in: sign in again with your credentials.",
                details={"max_age_s": age},
            )
        if self.reason and held == {Role.ADMIN} and reason is None:
            raise AppError(
                ErrorCode.INVALID, "header.X-Reason: an admin says why, in 3 to 200 characters."
            )


PUBLIC = Policy(())
"""For routes that need no sign-in."""
