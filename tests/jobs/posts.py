"""An outbox over a real database, and a mail server on loopback."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from clients.mail import Mail, Mailer, SmtpMailer
from config import metrics
from config.services import OutboxSettings
from jobs.outbox import Postman, Relay
from models.cipher import FieldCipher, KeyRing
from models.db import Mongo
from models.mails import Mails
from models.outbox import Kind, Outbox
from tests.factories import ManualClock
from tests.fakes.messengers import FakeMail

Rows = Any
MAIL = Mail("minjun@example.com", "인증번호", "인증번호: ABCD-EFGH\n")
CIPHER = FieldCipher(KeyRing({"k": bytes(32)}, "k", bytes(32)))


@dataclass
class Post:
    """An outbox, whoever delivers from it, and what is seen of both."""

    mongo: Mongo
    outbox: Outbox
    mails: Mails
    clock: ManualClock
    fake: FakeMail
    rows: Rows
    alarms: list[str] = field(default_factory=list)

    def relay(
        self, mailer: Mailer | None = None, attempts: int = 3, look_seconds: float = 0.01
    ) -> Relay:
        """Return somebody who delivers, by the mail server unless another way is given."""
        return Relay(
            self.outbox,
            {Kind.MAIL: Postman(mailer or smtp(self.fake.port))},
            self.clock,
            self.alarms.append,
            OutboxSettings(attempts=attempts, look_seconds=look_seconds),
        )

    async def post(self, key: str = "k", **more: Any) -> None:
        """Post the mail."""
        await self.mails.post(MAIL, key=key, about="u_1", **more)

    def fails(self) -> int:
        """Return how often the one that failed most did."""
        pending = self.rows.find({"status": "pending"})
        return max((one["attempts"] for one in pending), default=0)

    def row(self) -> dict[str, Any]:
        """Return the one row there is."""
        [row] = self.rows.find({})
        return {
            name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
            for name, value in row.items()
        }


def smtp(port: int) -> SmtpMailer:
    """Return a client of the mail server."""
    return SmtpMailer("127.0.0.1", port, "none", "gemgem <no-reply@example.com>", None, None)


def counted(outcome: str) -> float:
    """Return how many parcels came to this."""
    return metrics.OUTBOX.labels("mail", outcome)._value.get()
