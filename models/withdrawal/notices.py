"""What somebody who leaves is written: it was asked for, it was undone, it is done."""

import logging
from datetime import datetime

from models.accounts.letters import (
    cut_mail,
    erased_mail,
    leaving_mail,
    staying_mail,
)
from models.accounts.records import Provider, User
from models.cipher import Context, FieldCipher, UnsealError
from models.db import Session
from models.mails import Mails
from models.withdrawal.records import Withdrawal

log = logging.getLogger(__name__)


class Notices:
    """Posts the mails of a withdrawal, each once.

    Raises:
        models.db.DatabaseError: from every method that waits.
    """

    def __init__(self, mails: Mails, cipher: FieldCipher) -> None:
        self._mails = mails
        self._cipher = cipher

    async def begun(
        self,
        user: User,
        withdrawal_id: str,
        erase_at: datetime,
        cut_by: Provider | None,
        session: Session,
    ) -> None:
        """Tell that an account will be erased.

        Args:
            cut_by: the provider at which the last way in was cut; None where they asked us.
        """
        to = address_of(user)
        if to is None:
            return
        if cut_by is None:
            mail = leaving_mail(to, user.locale, erase_at, user.zone)
        else:
            mail = cut_mail(to, user.locale, cut_by, erase_at, user.zone)
        await self._mails.post(
            mail, key=f"withdrawal:{withdrawal_id}:begun", about=user.id, session=session
        )

    async def undone(self, user: User, withdrawal_id: str, session: Session) -> None:
        """Tell that an account stays."""
        to = address_of(user)
        if to is not None:
            key = f"withdrawal:{withdrawal_id}:undone"
            mail = staying_mail(to, user.locale)
            await self._mails.post(mail, key=key, about=user.id, session=session)

    def sealed_address(self, user: User, withdrawal_id: str) -> str | None:
        """Return where the last mail goes, sealed: by then there is no account to ask."""
        to = address_of(user)
        return None if to is None else self._cipher.seal(to, _place(withdrawal_id))

    async def done(self, withdrawal: Withdrawal) -> None:
        """Tell that everything is erased."""
        if withdrawal.mail_to is None or withdrawal.user_id is None:
            return
        try:
            to = self._cipher.open(withdrawal.mail_to, _place(withdrawal.id))
        except UnsealError as error:  # it keeps nobody from being erased
            log.error("withdrawal %s: its end is not told: %s", withdrawal.id, error)
            return
        await self._mails.post(
            erased_mail(to, withdrawal.locale, withdrawal.id),
            key=f"withdrawal:{withdrawal.id}:done",
            about=withdrawal.user_id,
        )


def address_of(user: User) -> str | None:
    """Return where somebody may be written to: an address of their own that takes mail."""
    if user.is_test or not user.email_verified or any(method.mail_off for method in user.methods):
        return None
    return user.email


def _place(withdrawal_id: str) -> Context:
    return Context("withdrawals", "mail_to", withdrawal_id)
