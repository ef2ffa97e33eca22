"""Accounts for tests: made by the batch, the same again by the same key, and gone without trace."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from redis.exceptions import RedisError

from config.clock import Clock
from models.accounts.passwords import Hasher
from models.accounts.records import Provider, Role, SignInMethod, User
from models.accounts.repo import AccountRepo, TakenError
from models.accounts.revocations import Revocations
from models.admin.test_repo import TestAccountRepo
from models.canonical import sha256
from models.children.actions import Children, Profile
from models.children.localday import DEFAULT_ZONE
from models.children.records import Consent
from models.cipher import FieldCipher
from models.consent.actions import Consents
from models.consent.records import documents
from models.errors import AppError, ErrorCode

DOMAIN: Final = "test.gemgem.invalid"
"""Of their e-mails: no mail reaches a domain that ends so (RFC 2606)."""
PASSWORD_LENGTH: Final = 24
_CHILD: Final = Profile(
    "시험 아이", date(2018, 3, 4), "other", "right", "right", "ko", DEFAULT_ZONE, "시험 기린"
)


class Template(StrEnum):
    """What is made with an account."""

    GUARDIAN = "guardian"
    """Nothing."""
    FAMILY = "family"
    """A child that may play and be seen by therapists."""
    PLAYED = "played"
    """Such a child, and a session that it played."""


@dataclass(frozen=True, slots=True)
class TestAccount:
    """One account of a batch."""

    user_id: str
    email: str
    child_id: str | None


@dataclass(frozen=True, slots=True)
class TestBatch:
    """A batch, and the password of all its accounts."""

    key: str
    template: Template
    password: str = field(repr=False)
    accounts: tuple[TestAccount, ...]


class TestAccounts:
    """Makes and deletes test accounts.

    Args:
        play: stores a session that each of some children played at a time, once.
    """

    def __init__(
        self,
        repo: TestAccountRepo,
        accounts: AccountRepo,
        hasher: Hasher,
        children: Children,
        consents: Consents,
        revocations: Revocations,
        cipher: FieldCipher,
        clock: Clock,
        play: Callable[[Sequence[str], datetime], Awaitable[None]],
    ) -> None:
        self._repo = repo
        self._accounts = accounts
        self._hasher = hasher
        self._children = children
        self._consents = consents
        self._revocations = revocations
        self._cipher = cipher
        self._clock = clock
        self._play = play

    async def make(self, batch_key: str, count: int, template: Template, by: str) -> TestBatch:
        """Return the accounts of a key, made unless they are there.

        Raises:
            AppError: `conflict`: the key was used for another count or template.
        """
        asked = await self._repo.begin(batch_key, count, template, by, self._clock.now())
        if (asked["count"], asked["template"]) != (count, template):
            raise AppError(
                ErrorCode.CONFLICT,
                "This batchKey made another set: take a new key, or delete the set first.",
                details={"count": asked["count"], "template": asked["template"]},
            )
        # Both follow from the key: whoever asks again is told the same.
        password = self._cipher.index(batch_key, "test account")[:PASSWORD_LENGTH]
        begin = _prefix(batch_key)
        there = set(await self._repo.list_accounts(f"u_{begin}"))
        stored = await self._hasher.hash(password) if len(there) < count else ""
        made = []
        for n in range(count):
            one = _account(begin, n, template)
            if one.user_id not in there:
                await self._add(one, stored)
            if one.child_id is not None:
                await self._add_child(one.child_id, one.user_id)
            made.append(one)
        if template is Template.PLAYED:
            # At the time of the first request: whatever was cut off then fits what is made now.
            await self._play([one.child_id for one in made if one.child_id], asked["made_at"])
        return TestBatch(batch_key, template, password, tuple(made))

    async def _add(self, one: TestAccount, stored: str) -> None:
        now = self._clock.now()
        user = User(
            id=one.user_id,
            roles=(Role.GUARDIAN,),
            methods=(SignInMethod(Provider.LOCAL, one.email, now, password_hash=stored),),
            locale="ko",
            zone=DEFAULT_ZONE,
            created_at=now,
            email=one.email,
            email_verified=True,
            is_test=True,
        )
        try:
            await self._accounts.insert(user)
        except TakenError:
            return  # somebody else asked at the same time: it is the same account

    async def _add_child(self, child_id: str, user_id: str) -> None:
        await self._children.add(child_id, user_id, _CHILD)
        for purpose in (Consent.PLAY_DATA, Consent.THERAPIST_VIEWING):
            newest = documents()[purpose][-1].version
            await self._consents.give(child_id, purpose, newest, "ko", user_id)

    async def delete(self, batch_key: str) -> dict[str, int]:
        """Delete the accounts of a key and what is theirs; return how many of what.

        Doing it again deletes what is left, nothing as a rule.

        Raises:
            AppError: `busy` where Redis cannot tell the workers: asking again is safe.
        """
        user_ids = await self._repo.list_accounts(f"u_{_prefix(batch_key)}")
        sign_ins = await self._repo.list_sign_ins(user_ids)
        try:
            await self._revocations.withdraw(sign_ins)
        except (RedisError, OSError) as error:
            raise AppError(
                ErrorCode.BUSY, "Not known to every server yet; ask again.", retry_ms=1000
            ) from error
        counts = await self._repo.delete(user_ids, sign_ins)
        await self._repo.forget(batch_key)
        return counts


def _prefix(batch_key: str) -> str:
    return f"test_{sha256(batch_key)[:16]}_"


def _account(begin: str, n: int, template: Template) -> TestAccount:
    child_id = None if template is Template.GUARDIAN else f"c_{begin}{n:03d}"
    return TestAccount(f"u_{begin}{n:03d}", f"{begin}{n:03d}@{DOMAIN}", child_id)
