"""What routes of accounts take and show."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from handlers.routing import Body, Call, Id, Policy, PublicCall, View
from models.accounts.accounts import Accounts
from models.accounts.profiles import NewAccount
from models.accounts.records import Device, Provider, Role, SignIn, User, UserStatus
from models.accounts.sign_ins import Tokens

PEOPLE = frozenset({Role.GUARDIAN, Role.THERAPIST, Role.ADMIN})
"""Roles of those who have an account of their own; a child's device has not."""
FRESH_SECONDS = 600
"""How recently somebody must have given their credentials to change how they sign in."""
IN_PERSON = Policy(PEOPLE, in_person=True)
"""For how somebody signs in and proves who they are: no admin does it in their name."""

Email = Annotated[str, Field(min_length=3, max_length=320, examples=["minjun@example.com"])]
Password = Annotated[str, Field(min_length=1, max_length=512)]
Code = Annotated[str, Field(min_length=4, max_length=32, examples=["K7M2-9QXF"])]
Name = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$")]
Zone = Annotated[str, Field(min_length=1, max_length=64, examples=["Asia/Seoul"])]
Locale = Literal["ko", "en"]
Social = Literal["google", "apple", "kakao"]
Secret = Annotated[str, Field(min_length=1, max_length=8192, pattern=r"^[\x21-\x7e]+$")]
DEFAULT_ZONE = "Asia/Seoul"


class DeviceBody(Body):
    """The device somebody signs in on."""

    id: Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")] = Field(
        description="Made by the app at its first start and kept.", examples=["d-4f0c2a9e"]
    )
    name: Name = Field(description="What its owner would call it.", examples=["Minjun's tablet"])
    platform: Literal["ios", "android", "web", "other"]

    def record(self) -> Device:
        """Return what is kept."""
        return Device(id=self.id, name=self.name, platform=self.platform)


class NewPerson(Body):
    """What may be told of somebody whose account is made."""

    name: Name | None = None
    locale: Locale | None = Field(default=None, description="As `Accept-Language` unless given.")
    zone: Zone = Field(default=DEFAULT_ZONE, description="IANA name of the time zone.")

    def account(self, call: PublicCall) -> NewAccount:
        """Return the account to be made."""
        locale = self.locale or call.language.value
        return NewAccount(call.new_id("u"), self.name, locale, self.zone)


class TokensView(View):
    """What somebody who signed in is given."""

    access_token: str = Field(description="Goes into `Authorization: Bearer` and `auth.token`.")
    refresh_token: str = Field(description="Good once, for `POST /v1/tokens`.")
    expires_in: int = Field(description="Seconds the access token lives.")
    sign_in_id: str
    user_id: str
    created: bool = Field(description="Whether the account was made by this request.")


def tokens_view(tokens: Tokens, *, created: bool = False) -> TokensView:
    """Return the view of tokens."""
    return TokensView(
        access_token=tokens.access,
        refresh_token=tokens.refresh,
        expires_in=tokens.access_seconds,
        sign_in_id=tokens.sign_in.id,
        user_id=tokens.sign_in.user_id,
        created=created,
    )


class MethodView(View):
    """A way into an account."""

    provider: Provider
    linked_at: datetime


class MeView(View):
    """The caller's own account."""

    id: Id
    email: str | None
    email_verified: bool
    name: str | None
    locale: Locale
    zone: str
    roles: list[Role]
    methods: list[MethodView]
    phone: str | None = Field(description="The verified number, all but its end hidden.")
    created_at: datetime
    status: UserStatus = Field(description="`withdrawing` can be undone.")


def me_view(accounts: Accounts, user: User) -> MeView:
    """Return the view of an account for its owner."""
    return MeView(
        id=user.id,
        email=user.email,
        email_verified=user.email_verified,
        name=accounts.profiles.name_of(user),
        locale="ko" if user.locale == "ko" else "en",
        zone=user.zone,
        roles=list(user.roles),
        methods=[MethodView.model_validate(method) for method in user.methods],
        phone=accounts.phones.masked(user),
        created_at=user.created_at,
        status=user.status,
    )


class SignInView(View):
    """A device that is signed in."""

    id: Id
    device_name: str
    platform: str
    signed_in_at: datetime = Field(description="When credentials were given last.")
    used_at: datetime
    ends_at: datetime = Field(description="It is over then, used or not.")
    current: bool = Field(description="Whether this request comes from it.")
    child_id: str | None = Field(description="Of a child's device: the child.")


def sign_in_view(sign_in: SignIn, current: str) -> SignInView:
    """Return the view of a sign-in."""
    return SignInView(
        id=sign_in.id,
        device_name=sign_in.device.name,
        platform=sign_in.device.platform,
        signed_in_at=sign_in.signed_in_at,
        used_at=sign_in.used_at,
        ends_at=sign_in.ends_at,
        current=sign_in.id == current,
        child_id=sign_in.child_id,
    )


async def holder(call: Call) -> tuple[User, SignIn]:
    """Return the caller's account and sign-in by the database's word, not by the token's.

    Raises:
        AppError: `unauthenticated`.
    """
    sign_in = await call.deps.accounts.sign_ins.require(call.who.sign_in)
    return await call.deps.accounts.profiles.find(call.who.user_id), sign_in
