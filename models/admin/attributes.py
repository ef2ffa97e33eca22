"""What admins say of an account for a time."""

from datetime import datetime

from models.accounts.records import User
from models.accounts.repo import AccountRepo
from models.attributes.actions import Attributes
from models.attributes.records import Attribute, ChildrenLimit
from models.errors import AppError, ErrorCode


class AccountAttributes:
    """The attributes of accounts."""

    def __init__(self, accounts: AccountRepo, attributes: Attributes) -> None:
        self._accounts = accounts
        self._attributes = attributes

    async def set(
        self,
        attribute_id: str,
        user_id: str,
        value: ChildrenLimit,
        valid_from: datetime,
        valid_to: datetime | None,
        by: str,
        reason: str,
    ) -> Attribute:
        """Let something hold of an account; the same id again changes nothing.

        Raises:
            AppError: `invalid`; `not_found`; `conflict` where one of this type is open, or the
                account is being erased.
        """
        await self._find(user_id)
        return await self._attributes.set(
            attribute_id, user_id, value, valid_from, valid_to, by, reason
        )

    async def close(self, user_id: str, attribute_id: str, by: str, reason: str) -> Attribute:
        """Let an attribute end now; doing it again changes nothing.

        Raises:
            AppError: `not_found`.
        """
        await self._find(user_id)
        return await self._attributes.close(user_id, attribute_id, by, reason)

    async def list_of(self, user_id: str, limit: int) -> list[Attribute]:
        """Return the attributes of an account, the newest first.

        Raises:
            AppError: `not_found`.
        """
        await self._find(user_id)
        return await self._attributes.list_of(user_id, limit)

    async def _find(self, user_id: str) -> User:
        """Return an account: what holds of children is reached by the guarded door alone."""
        user = await self._accounts.find(user_id)
        if user is None:
            raise AppError(ErrorCode.NOT_FOUND, "There is no such account.")
        return user
