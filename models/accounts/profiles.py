"""What an account says of its person: a name, a language, a time zone."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from zoneinfo import available_timezones

from config.clock import Clock
from models.accounts.records import Role, SignInMethod, User
from models.accounts.repo import AccountRepo
from models.cipher import Context, FieldCipher
from models.errors import AppError, ErrorCode

WasHere = Callable[[Sequence[str]], Awaitable[bool]]
"""Tells whether somebody known by one of these keys left lately."""


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What is known of somebody before there is an account."""

    id: str
    """Made at the source: the same request makes the same account."""
    name: str | None = field(repr=False)
    locale: str
    zone: str


class Profiles:
    """Makes accounts, reads and changes what they say of their person. Names are sealed."""

    def __init__(self, accounts: AccountRepo, cipher: FieldCipher, clock: Clock) -> None:
        self._accounts = accounts
        self._cipher = cipher
        self._clock = clock

    def account(
        self,
        new: NewAccount,
        method: SignInMethod,
        *,
        email: str | None,
        verified: bool,
        returning: bool,
    ) -> User:
        """Return the account of a guardian, not stored yet.

        Raises:
            AppError: `invalid`, an unknown time zone.
        """
        check_zone(new.zone)
        return User(
            id=new.id,
            roles=(Role.GUARDIAN,),
            methods=(method,),
            locale=new.locale,
            zone=new.zone,
            created_at=self._clock.now(),
            email=email,
            email_verified=verified,
            name_sealed=None if new.name is None else self._seal(new.name, new.id),
            returning=returning,
        )

    def name_of(self, user: User) -> str | None:
        """Return the name."""
        if user.name_sealed is None:
            return None
        return self._cipher.open(user.name_sealed, _place(user.id))

    async def find(self, user_id: str) -> User:
        """Return an account.

        Raises:
            AppError: `unauthenticated`: a token outlived its account, or speaks for nobody.
        """
        user = await self._accounts.find(user_id)
        if user is None:
            raise AppError(ErrorCode.UNAUTHENTICATED, "The token belongs to no account.")
        return user

    async def change(
        self, user: User, *, name: str | None, locale: str | None, zone: str | None
    ) -> User:
        """Store what is given; None stays as it is.

        Raises:
            AppError: `invalid`, an unknown time zone.
        """
        fields: dict[str, str] = {}
        if name is not None:
            fields["name_sealed"] = self._seal(name, user.id)
        if locale is not None:
            fields["locale"] = locale
        if zone is not None:
            check_zone(zone)
            fields["zone"] = zone
        if not fields:
            return user
        return await self._accounts.change_profile(user.id, fields) or user

    def _seal(self, name: str, user_id: str) -> str:
        return self._cipher.seal(name, _place(user_id))


def _place(user_id: str) -> Context:
    return Context("users", "name", user_id)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def check_zone(zone: str) -> None:
    """Refuse what is no IANA time zone.

    Raises:
        AppError: `invalid`.
    """
    if zone not in _zones():
        raise AppError(
            ErrorCode.INVALID,
            "`zone` is not the IANA name of a time zone, such as Asia/Seoul.",
            details={"field": "zone"},
        )
