"""What it does to an account when a provider says that somebody cut their link to us."""

from typing import Final

from models.accounts.records import USABLE, Provider, User
from models.accounts.repo import AccountRepo
from models.accounts.sign_ins import SignIns
from models.cipher import FieldCipher
from models.inbox import Kind, News
from models.withdrawal.actions import Withdrawals

TRIES: Final = 3
"""An account's other ways in may come and go meanwhile."""


class ChangedError(Exception):
    """The account changed each time it was looked at; try again."""


class Cuts:
    """Acts on news. Acting again on the same news, or on old ones, changes nothing.

    The way in is taken from the account. The last one stays: the withdrawal begins instead, and
    who comes back through the provider within its week finds everything and may undo it.
    """

    def __init__(
        self,
        accounts: AccountRepo,
        sign_ins: SignIns,
        withdrawals: Withdrawals,
        cipher: FieldCipher,
    ) -> None:
        self._accounts = accounts
        self._sign_ins = sign_ins
        self._withdrawals = withdrawals
        self._cipher = cipher

    async def act(self, news: News) -> bool:
        """Act on news; False if they concern nobody here, or are over.

        Raises:
            ChangedError: it must be tried again.
            AppError: `busy`, where Redis cannot tell the workers.
        """
        if news.kind is not Kind.CUT:
            off = news.kind is Kind.MAIL_OFF
            return await self._accounts.switch_mail(news.key, off=off, at=news.at) is not None
        for _ in range(TRIES):
            user = await self._accounts.find_by_method(news.key)
            if user is None or not _concerns(user, news):
                return False
            if len(user.methods) == 1:
                await self._withdraw(user, news)
                return True
            # First: whoever is cut off after the way in is gone would never come to this again.
            await self._sign_ins.end_everything(user.id, "provider_cut")
            if await self._accounts.cut_method(user.id, news.key, news.at) is not None:
                return True
        raise ChangedError("the account has other ways in each time")

    async def _withdraw(self, user: User, news: News) -> None:
        withdrawal_id = f"w_{self._cipher.index(news.id, 'withdrawal')[:24]}"
        await self._withdrawals.ask(withdrawal_id, user, cut_by=news.source)


def _concerns(user: User, news: News) -> bool:
    method = user.method(Provider(news.source))
    if method is None or user.status not in USABLE:
        return False
    return news.at >= max(method.linked_at, method.vouched_at or method.linked_at)
