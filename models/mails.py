"""Mails to people who have an account: kept in the outbox until the mail server took them."""

import json
from datetime import timedelta
from typing import Final

from clients.mail import Mail
from config.clock import Clock
from models.db import Session
from models.outbox import Kind, Outbox, Parcel

NOTICE_LIFE: Final = timedelta(days=3)
"""How long it is tried to tell somebody what happened."""


class Mails:
    """Posts mails; the caller waits until they are kept, never until they are sent.

    Args:
        muted: nobody is mailed: for people who are made up.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, outbox: Outbox, clock: Clock, *, muted: bool = False) -> None:
        self._outbox = outbox
        self._clock = clock
        self._muted = muted

    async def post(
        self,
        mail: Mail,
        *,
        key: str,
        about: str,
        life: timedelta = NOTICE_LIFE,
        session: Session | None = None,
    ) -> None:
        """Keep a mail to be sent.

        Args:
            key: the same for the same mail: posted twice it is sent as one.
            about: id of the account.
            life: it is not sent any more after that.
            session: the transaction of what it tells of.
        """
        if not self._muted:
            await self._keep(mail, key, about, life, session=session)

    async def feign(self, mail: Mail, *, key: str, life: timedelta) -> None:
        """Write what `post` writes, and send nothing: no answer tells by its time who is known.

        Args:
            mail: to nobody.
        """
        await self._keep(mail, key, "", life, void=True)

    async def _keep(
        self,
        mail: Mail,
        key: str,
        about: str,
        life: timedelta,
        *,
        void: bool = False,
        session: Session | None = None,
    ) -> None:
        now = self._clock.now()
        payload = json.dumps([mail.to, mail.subject, mail.text], ensure_ascii=False)
        parcel = Parcel(Kind.MAIL, key, payload, about, now + life)
        await self._outbox.put(parcel, now, void=void, session=session)


def mail_of(payload: str) -> Mail:
    """Return the mail of a parcel."""
    to, subject, text = json.loads(payload)
    return Mail(to, subject, text)
