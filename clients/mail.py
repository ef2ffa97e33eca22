"""Mail: by SMTP (RFC 5321), or into a folder on machines where nobody should get any."""

import asyncio
import re
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from pathlib import Path
from typing import Literal, Protocol

import aiosmtplib

from clients.base import UpstreamError
from config import metrics

PATIENCE_S = 20.0
Security = Literal["tls", "starttls", "none"]


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to one person. `to` and `text` are secrets: neither is ever logged."""

    to: str = field(repr=False)
    subject: str
    text: str = field(repr=False)


class Mailer(Protocol):
    """Whatever takes mail."""

    async def send(self, mail: Mail, mail_id: str | None = None) -> None:
        """Hand a mail over.

        Args:
            mail_id: the same when it is handed over again; becomes its `Message-ID`.

        Raises:
            UpstreamError: it was not taken.
        """
        ...


class SmtpMailer:
    """A mail server; one connection a mail.

    Args:
        security: `tls` from the first byte, `starttls` before anything is said, or `none`.
        user, password: both None where the server asks for none.
        sender: address the mails come from.
    """

    def __init__(
        self,
        host: str,
        port: int,
        security: Security,
        sender: str,
        user: str | None,
        password: str | None,
    ) -> None:
        self._host = host
        self._port = port
        self._security = security
        self._sender = sender
        self._user = user
        self._password = password

    async def send(self, mail: Mail, mail_id: str | None = None) -> None:
        """Hand a mail over.

        Raises:
            UpstreamError: `retryable` unless the server refused it for good (5xx).
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                await aiosmtplib.send(
                    _message(mail, self._sender, mail_id),
                    hostname=self._host,
                    port=self._port,
                    username=self._user,
                    password=self._password,
                    use_tls=self._security == "tls",
                    start_tls=self._security == "starttls",
                    timeout=PATIENCE_S,
                )
        except aiosmtplib.SMTPResponseException as error:
            metrics.MAILS.labels("refused").inc()
            raise UpstreamError(
                "mail", f"status {error.code}", retryable=400 <= error.code < 500
            ) from None  # the server's text may repeat the address
        except aiosmtplib.SMTPRecipientsRefused:
            metrics.MAILS.labels("refused").inc()
            raise UpstreamError("mail", "the recipient is refused", retryable=False) from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            metrics.MAILS.labels("failed").inc()
            raise UpstreamError("mail", type(error).__name__, retryable=True) from None
        metrics.MAILS.labels("sent").inc()


class FolderMailer:
    """Writes each mail as a file `.eml` into a folder, for development."""

    def __init__(self, folder: Path, sender: str) -> None:
        self._folder = folder
        self._sender = sender
        self._written = 0

    async def send(self, mail: Mail, mail_id: str | None = None) -> None:
        """Write a mail; the newest has the highest number."""
        self._written += 1
        await asyncio.to_thread(self._write, _message(mail, self._sender, mail_id), self._written)

    def _write(self, message: EmailMessage, number: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = re.sub(r"[^\w.@+-]", "_", message["To"])
        path = self._folder / f"{name}-{number:04d}.eml"
        path.write_bytes(message.as_bytes(policy=SMTP))
        metrics.MAILS.labels("written").inc()


def _message(mail: Mail, sender: str, mail_id: str | None) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message["Auto-Submitted"] = "auto-generated"
    if mail_id is not None:
        domain = parseaddr(sender)[1].rpartition("@")[2]
        message["Message-ID"] = f"<{mail_id}@{domain}>"
    message.set_content(mail.text)
    return message
