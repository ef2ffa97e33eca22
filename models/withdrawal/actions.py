"""Leaving the product, changing one's mind, and the receipt of it."""

import hmac
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from config import metrics
from config.clock import Clock
from models.accounts.records import Provider, User
from models.accounts.repo import AccountRepo
from models.cipher import FieldCipher
from models.db import Session
from models.errors import AppError, ErrorCode
from models.withdrawal.notices import Notices
from models.withdrawal.records import State, Step, Withdrawal
from models.withdrawal.repo import WithdrawalRepo
from models.withdrawal.saga import Saga


class Withdrawals:
    """What somebody can do about their own withdrawal.

    Args:
        undo: how long it can be undone.
    """

    def __init__(
        self,
        repo: WithdrawalRepo,
        accounts: AccountRepo,
        saga: Saga,
        notices: Notices,
        cipher: FieldCipher,
        clock: Clock,
        undo: timedelta,
    ) -> None:
        self._repo = repo
        self._accounts = accounts
        self._saga = saga
        self._notices = notices
        self._cipher = cipher
        self._clock = clock
        self._undo = undo

    async def ask(
        self, withdrawal_id: str, user: User, *, cut_by: Provider | None = None
    ) -> tuple[Withdrawal, str]:
        """Begin to withdraw an account, tell its owner, and sign it out everywhere.

        Asked again it is the same withdrawal, whatever its id was to be.

        Args:
            cut_by: the provider at which the last way in was cut; None where they asked us.

        Returns:
            The withdrawal, and the secret that shows its receipt.

        Raises:
            AppError: `busy` where Redis cannot tell the workers: asking again is safe.
        """
        erase_at = self._clock.now() + self._undo

        async def tell(session: Session) -> None:
            await self._notices.begun(user, withdrawal_id, erase_at, cut_by, session)

        found = await self._begun(withdrawal_id, user, erase_at, tell)
        return found, self.secret(found.id)

    async def _begun(
        self,
        withdrawal_id: str,
        user: User,
        erase_at: datetime,
        tell: Callable[[Session], Awaitable[None]],
    ) -> Withdrawal:
        now = self._clock.now()
        found = await self._repo.begin(withdrawal_id, user.id, user.locale, now, erase_at, tell)
        if found is None:
            found = await self._repo.find_under_way(user.id)
            if found is None:
                raise AppError(ErrorCode.BUSY, "The account is changing; ask again.", retry_ms=500)
        else:
            metrics.WITHDRAWALS.labels("asked").inc()
        # Once it is being erased that is its worker's to do, in its turn.
        if found.state is State.WITHDRAWING and not found.is_done(Step.SIGN_OUT):
            await self._saga.do(found, Step.SIGN_OUT)
        return found

    async def undo(self, user_id: str) -> None:
        """Stay after all; doing it again changes nothing.

        Raises:
            AppError: `conflict`; it is too late.
        """
        user = await self._accounts.find(user_id)

        async def tell(withdrawal_id: str, session: Session) -> None:
            if user is not None:
                await self._notices.undone(user, withdrawal_id, session)

        if await self._repo.undo(user_id, self._clock.now(), tell):
            metrics.WITHDRAWALS.labels("undone").inc()
            return
        if await self._repo.find_under_way(user_id) is not None:
            raise AppError(ErrorCode.CONFLICT, "It is too late: the data is being erased.")

    async def receipt(self, withdrawal_id: str, secret: str) -> Withdrawal:
        """Return a withdrawal to whoever has its secret.

        Raises:
            AppError: `not_found`, alike for an unknown one and a wrong secret.
        """
        right = hmac.compare_digest(self.secret(withdrawal_id).encode(), secret.encode())
        found = await self._repo.find(withdrawal_id)
        if found is None or not right:
            raise AppError(ErrorCode.NOT_FOUND, "There is no such receipt.")
        return found

    def secret(self, withdrawal_id: str) -> str:
        """Return what shows a receipt: made from our key, stored nowhere."""
        return self._cipher.index(withdrawal_id, "receipt")

    async def hasten(self, user: User, withdrawal_id: str) -> Withdrawal:
        """Withdraw an account without waiting, for an operator who was asked to."""
        # Not due before it is signed out: a server that erases meanwhile would be told of it anew.
        erase_at = self._clock.now() + self._undo
        found = await self._begun(withdrawal_id, user, erase_at, _nothing)  # the end is told alone
        await self._repo.hasten(found.id, self._clock.now())
        return await self._repo.find(found.id) or found


async def _nothing(_: Session) -> None:
    """Tell nobody."""
