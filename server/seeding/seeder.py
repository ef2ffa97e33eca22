"""Makes accounts, children, consents and care as people themselves would, and each only once."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from config.clock import Clock
from config.settings import Settings
from models.accounts.profiles import NewAccount
from models.accounts.records import Device, Provider, Role, User
from models.children.actions import Profile
from models.children.records import Consent
from models.cipher import FieldCipher
from models.consent.records import documents
from server.background import build_background
from server.keyring import ConfigurationError
from server.parts.accounts import AccountParts
from server.parts.families import Families
from server.stores import open_stores

CARE_DAYS: Final = 180
DEVICE: Final = Device("gemgem-seed", "gemgem seed", "server")
ZONE: Final = "Asia/Seoul"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is to have an account."""

    id: str
    role: Role
    name: str
    email: str


class Seeder:
    """Makes what is not there yet; what is there stays as it is."""

    def __init__(self, people: AccountParts, families: Families, cipher: FieldCipher) -> None:
        self._people = people
        self._families = families
        self._cipher = cipher

    def password(self, email: str) -> str:
        """Return the password of a new account: always the same here, and no other server's."""
        digits = self._cipher.index(email, "seed password")[:16]
        return "-".join(digits[n : n + 4] for n in range(0, 16, 4))

    async def person(self, wanted: Person) -> User:
        """Return an account with its e-mail verified and its role, made unless it is there.

        Raises:
            AppError: `conflict` and others of the services.
        """
        user = await self._people.repo.find_by_email(wanted.email)
        user = await self._sign_up(wanted) if user is None else user
        if not user.email_verified:
            user = await self._people.repo.confirm_email(user.id, wanted.email) or user
        # One that somebody gave other roles meanwhile keeps them.
        if user.roles == (Role.GUARDIAN,) and wanted.role is not Role.GUARDIAN:
            await self._people.accounts.sign_ins.change_roles(user.id, [wanted.role])
            user = await self._people.accounts.profiles.find(user.id)
        return user

    async def _sign_up(self, wanted: Person) -> User:
        accounts = self._people.accounts
        new = NewAccount(wanted.id, wanted.name, "ko", ZONE)
        tokens = await accounts.local.sign_up(
            new, wanted.email, self.password(wanted.email), DEVICE
        )
        user_id = tokens.sign_in.user_id
        await accounts.sign_ins.end(user_id, tokens.sign_in.id)
        return await accounts.profiles.find(user_id)

    async def has_password(self, user: User) -> bool:
        """Tell whether an account still has the password it was made with."""
        local = user.method(Provider.LOCAL)
        stored = None if local is None else local.password_hash
        return await self._people.hasher.verify(stored, self.password(user.email or ""))

    async def child(self, child_id: str, guardians: Sequence[User], said: Profile) -> None:
        """Add a child to the family of its first guardian, who invites the others.

        Raises:
            AppError: `conflict` when it was removed, and others of the services.
        """
        children = self._families.children
        child = await children.add(child_id, guardians[0].id, said)
        for other in guardians[1:]:
            if other.id not in child.guardians:
                invite = await children.invite_guardian(
                    f"gi_{secrets.token_hex(12)}", child_id, guardians[0].id
                )
                await children.accept_invite(invite.code or "", other.id)

    async def consents(self, child_id: str, guardian: User, purposes: Sequence[Consent]) -> None:
        """Give those consents of a child that nobody gave or withdrew yet."""
        rows = await self._families.consents.history(child_id, 1000)
        settled = {row.purpose for _, row in rows}
        for purpose in purposes:
            if purpose not in settled:
                version = documents()[purpose][-1].version
                await self._families.consents.give(child_id, purpose, version, "ko", guardian.id)

    async def clinic(self, clinic_id: str, name: str, by: User, therapists: Sequence[User]) -> None:
        """Add a clinic with those who work at it; one that is there keeps who does."""
        care = self._families.care
        clinic = await care.add_clinic(clinic_id, name, "clinic", by.id)
        if not clinic.therapists:
            for therapist in therapists:
                await care.add_therapist(clinic_id, therapist.id)

    async def care(
        self, child_id: str, guardian: User, therapist: User, clinic_id: str | None = None
    ) -> None:
        """Let a therapist take a child into care, unless anybody ever did."""
        care = self._families.care
        known = await care.list_of_child(child_id, 200)
        if not any(one.accepted_by for one in known):
            _, code = await care.invite(
                f"ca_{secrets.token_hex(12)}", child_id, clinic_id, CARE_DAYS, guardian.id
            )
            await care.accept(code, therapist.id)


@asynccontextmanager
async def seeding(settings: Settings, clock: Clock) -> AsyncIterator[Seeder]:
    """Yield a seeder of the stores that the settings name.

    Raises:
        ConfigurationError: no store or key is named, or the settings are those of production.
    """
    if settings.env == "production":
        raise ConfigurationError("Not in production: these people are nobody's.")
    # The passwords are random, so nobody else's list is asked for them.
    alone = settings.model_copy(update={"pwned": settings.pwned.model_copy(update={"url": ""})})
    background = build_background(open_stores(alone, clock, "seed"), flush=False, muted=True)
    try:
        for part in background.families.indexed:
            await part.ensure_indexes()
        yield Seeder(background.people, background.families, background.stores.cipher)
    finally:
        await background.close()
