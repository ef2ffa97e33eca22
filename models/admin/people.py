"""Finding accounts, and what is known of one."""

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from models.accounts.emails import canonical_email
from models.accounts.phone_numbers import canonical_number
from models.accounts.records import Provider, User, method_key
from models.accounts.repo import AccountRepo
from models.children.repo import ChildRepo
from models.cipher import FieldCipher
from models.clinic.repo import CareRepo
from models.errors import AppError, ErrorCode

PREFIX_LEAST: Final = 3
"""Characters of an e-mail that are looked for: fewer would list everybody."""


class By(StrEnum):
    """What an account is looked for by."""

    ID = "id"
    EMAIL = "email"
    EMAIL_PREFIX = "email_prefix"
    PHONE = "phone"
    GOOGLE = "google"
    APPLE = "apple"
    KAKAO = "kakao"
    CHILD = "child"
    """Id of a child: its guardians."""
    ALIAS = "alias"
    """The name a guardian chose for live lists: the guardians of the children who have it."""


@dataclass(frozen=True, slots=True)
class Known:
    """An account, and what belongs to it."""

    user: User
    children: tuple[str, ...]
    clinics: tuple[str, ...]


class People:
    """Looks accounts up, each way by an index: personal fields are never scanned."""

    def __init__(
        self, accounts: AccountRepo, children: ChildRepo, care: CareRepo, cipher: FieldCipher
    ) -> None:
        self._accounts = accounts
        self._children = children
        self._care = care
        self._cipher = cipher

    async def search(self, by: By, value: str, after: str, limit: int) -> list[User]:
        """Return accounts in the order of `order_of`, behind `after`.

        Raises:
            AppError: `invalid`; the value is none of its kind.
        """
        if by is By.EMAIL_PREFIX:
            return await self._accounts.list_by_email(_prefix(value), after, limit)
        if by in (By.CHILD, By.ALIAS):
            guardians = await self._children.list_guardians(
                {"_id" if by is By.CHILD else "alias": unicodedata.normalize("NFC", value)}
            )
            return await self._accounts.list_some(guardians, after, limit)
        found = await self._one(by, value)
        return [] if found is None or found.id <= after else [found]

    async def _one(self, by: By, value: str) -> User | None:
        if by is By.ID:
            return await self._accounts.find(value)
        if by is By.EMAIL:
            return await self._accounts.find_by_email(canonical_email(value))
        if by is By.PHONE:
            number, _ = canonical_number(value)
            return await self._accounts.find_by_phone(self._cipher.index(number, "phone"))
        return await self._accounts.find_by_method(method_key(Provider(by.value), value))

    async def find(self, user_id: str) -> Known:
        """Return an account and what belongs to it.

        Raises:
            AppError: `not_found`.
        """
        user = await self._accounts.find(user_id)
        if user is None:
            raise AppError(ErrorCode.NOT_FOUND, "There is no such account.")
        return Known(
            user,
            tuple(await self._children.list_of_guardian(user_id)),
            tuple(await self._care.list_of_therapist(user_id)),
        )


def order_of(by: By, user: User) -> str:
    """Return what a list found `by` this is ordered by."""
    return (user.email or "") if by is By.EMAIL_PREFIX else user.id


def _prefix(value: str) -> str:
    prefix = unicodedata.normalize("NFC", value.strip()).lower()
    if len(prefix) < PREFIX_LEAST or not prefix.isascii():
        raise AppError(
            ErrorCode.INVALID, "body.value begins an e-mail: 3 or more ASCII characters."
        )
    return prefix
