"""Who somebody is: roles, accounts and how they are signed in to, and the principal of a token."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self


class Role(StrEnum):
    """What somebody is to the product."""

    GUARDIAN = "guardian"
    CHILD = "child"
    THERAPIST = "therapist"
    ADMIN = "admin"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Actor:
    """The admin behind a forced token."""

    user_id: str
    sign_in: str
    """The admin's own: when it ends, so does the token."""
    version: int
    """Token version of the admin's account when the token was made."""
    reason: str
    """Why, in the admin's words."""


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
    """What a principal of role service was granted; of a forced token `read` or `act`."""
    version: int = 1
    """Token version (`tv`) of the account when the token was made."""
    actor: Actor | None = None
    """Of a forced token: the admin who acts in the account's name."""

    @property
    def answerable(self) -> str:
        """Who is counted and written down for what is done: of a forced token the admin."""
        return self.user_id if self.actor is None else self.actor.user_id


class Provider(StrEnum):
    """Who vouches for somebody."""

    LOCAL = "local"
    GOOGLE = "google"
    APPLE = "apple"
    KAKAO = "kakao"


class UserStatus(StrEnum):
    """Where an account stands; `withdrawing` can be undone, the last two cannot."""

    ACTIVE = "active"
    WITHDRAWING = "withdrawing"
    ERASING = "erasing"
    WITHDRAWN = "withdrawn"


USABLE = frozenset({UserStatus.ACTIVE, UserStatus.WITHDRAWING})
"""Accounts that can be signed in to."""


@dataclass(frozen=True, slots=True)
class SignInMethod:
    """One way into an account. Of each provider an account has at most one."""

    provider: Provider
    subject: str
    """The provider's own id of the person; of `local` the canonical e-mail."""
    linked_at: datetime
    password_hash: str | None = field(default=None, repr=False)
    """Of `local`: the encoded Argon2id hash."""
    refresh_sealed: str | None = field(default=None, repr=False)
    """Of Apple: the sealed refresh token, which withdrawing what was granted needs."""
    client_id: str | None = None
    """Of Apple: the app the refresh token is of."""
    vouched_at: datetime | None = None
    """When the provider vouched last; news from before that are over."""
    mail_off: bool = False
    """Of Apple: mail to the hidden address is not passed on."""

    @property
    def key(self) -> str:
        """What the unique index compares."""
        return method_key(self.provider, self.subject)

    def document(self) -> dict[str, Any]:
        """Return what is stored."""
        fields = {
            "key": self.key,
            "provider": self.provider.value,
            "subject": self.subject,
            "linked_at": self.linked_at,
            "password_hash": self.password_hash,
            "refresh_sealed": self.refresh_sealed,
            "client_id": self.client_id,
            "vouched_at": self.vouched_at,
        }
        return {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """Return what a stored document says."""
        return cls(
            provider=Provider(document["provider"]),
            subject=document["subject"],
            linked_at=document["linked_at"],
            password_hash=document.get("password_hash"),
            refresh_sealed=document.get("refresh_sealed"),
            client_id=document.get("client_id"),
            vouched_at=document.get("vouched_at"),
            mail_off=document.get("mail_off", False),
        )


def method_key(provider: Provider, subject: str) -> str:
    """Return what the unique index of sign-in methods compares."""
    return f"{provider.value}:{subject}"


def email_key(email: str) -> str:
    """Return what an e-mail is known by after its account is gone."""
    return f"email:{email}"


def phone_key(number: str) -> str:
    """Return what a telephone number is known by after its account is gone."""
    return f"phone:{number}"


@dataclass(frozen=True, slots=True)
class User:
    """An account."""

    id: str
    roles: tuple[Role, ...]
    methods: tuple[SignInMethod, ...]
    locale: str
    """`ko` or `en`."""
    zone: str
    """IANA name of the time zone."""
    created_at: datetime
    email: str | None = field(default=None, repr=False)
    """Canonical; unique among accounts."""
    email_verified: bool = False
    name_sealed: str | None = field(default=None, repr=False)
    status: UserStatus = UserStatus.ACTIVE
    version: int = 1
    """Token version: raised when everything signed in must end."""
    is_test: bool = False
    returning: bool = False
    """Somebody with one of these ways in, this e-mail or this number left lately: what a person
    is given once, they had."""
    phone_sealed: str | None = field(default=None, repr=False)
    phone_verified_at: datetime | None = None

    def method(self, provider: Provider) -> SignInMethod | None:
        """Return the way in through one provider."""
        return next((m for m in self.methods if m.provider is provider), None)

    @property
    def providers(self) -> list[str]:
        """The ways in, by name."""
        return sorted(method.provider.value for method in self.methods)

    def document(self) -> dict[str, Any]:
        """Return what is stored."""
        fields = {
            "_id": self.id,
            "roles": [role.value for role in self.roles],
            "methods": [method.document() for method in self.methods],
            "locale": self.locale,
            "zone": self.zone,
            "created_at": self.created_at,
            "email": self.email,
            "email_verified": self.email_verified,
            "name_sealed": self.name_sealed,
            "status": self.status.value,
            "version": self.version,
            "is_test": self.is_test,
            "returning": self.returning or None,
        }
        return {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """Return what a stored document says."""
        phone = document.get("phone", {})
        return cls(
            id=document["_id"],
            roles=tuple(Role(role) for role in document["roles"]),
            methods=tuple(SignInMethod.of(method) for method in document["methods"]),
            locale=document["locale"],
            zone=document["zone"],
            created_at=document["created_at"],
            email=document.get("email"),
            email_verified=document["email_verified"],
            name_sealed=document.get("name_sealed"),
            status=UserStatus(document["status"]),
            version=document["version"],
            is_test=document["is_test"],
            returning=document.get("returning", False),
            phone_sealed=phone.get("sealed"),
            phone_verified_at=phone.get("verified_at"),
        )


@dataclass(frozen=True, slots=True)
class Device:
    """What somebody signs in from, in its own words."""

    id: str
    """Made by the app at its first start and kept: a lost answer is asked for again with it."""
    name: str
    platform: str


@dataclass(frozen=True, slots=True)
class SignIn:
    """Somebody signed in on a device: a family of refresh tokens, each good once."""

    id: str
    """The `sid` of its access tokens."""
    user_id: str
    roles: tuple[Role, ...]
    device: Device
    version: int
    """The account's token version it was begun at."""
    signed_in_at: datetime
    """When credentials were given last."""
    used_at: datetime
    ends_at: datetime
    """Whatever happens, it is over then."""
    child_id: str | None = None
    """Of a child's device: the one child."""

    def document(self) -> dict[str, Any]:
        """Return what is stored of one that begins."""
        fields = {
            "_id": self.id,
            "user_id": self.user_id,
            "roles": [role.value for role in self.roles],
            "device": {
                "id": self.device.id,
                "name": self.device.name,
                "platform": self.device.platform,
            },
            "version": self.version,
            "signed_in_at": self.signed_in_at,
            "used_at": self.used_at,
            "ends_at": self.ends_at,
            "child_id": self.child_id,
            "active": True,
        }
        return {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """Return what a stored document says."""
        return cls(
            id=document["_id"],
            user_id=document["user_id"],
            roles=tuple(Role(role) for role in document["roles"]),
            device=Device(**document["device"]),
            version=document["version"],
            signed_in_at=document["signed_in_at"],
            used_at=document["used_at"],
            ends_at=document["ends_at"],
            child_id=document.get("child_id"),
        )
