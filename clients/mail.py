"""Mail: by SMTP (RFC 5321), or into a folder on machines where nobody should get any."""

import asyncio
import re
from dataclasses import dataclass, field
from email.headerregistry import Address
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
_POLICY = re.compile(r"\s*5\.7\.")
"""A refusal for the sake of who sends, not of who gets it (RFC 3463, 3.8)."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to one person. `to` and `text` are secrets: neither is ever logged."""

    to: str = field(repr=False)
    subject: str
    text: str = field(repr=False)


class RecipientRefusedError(UpstreamError):
    """Nobody gets mail at this address: news to nobody but its holder."""

    def __init__(self) -> None:
        super().__init__("mail", "the recipient is refused", retryable=False)


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
            RecipientRefusedError: the server takes nothing for this address (5xx to RCPT).
            UpstreamError: `retryable` unless it refused the mail itself (5xx to DATA), or there
                is no mail to be made of it. What refuses us, as a wrong password, can be mended.
        """
        try:
            to = Address(addr_spec=mail.to)  # refuses what would be decoded into another one
            async with asyncio.timeout(PATIENCE_S):
                await aiosmtplib.send(
                    _message(mail, to, self._sender, mail_id),
                    recipients=[to.addr_spec],
                    sender=parseaddr(self._sender)[1],
                    hostname=self._host,
                    port=self._port,
                    username=self._user,
                    password=self._password,
                    use_tls=self._security == "tls",
                    start_tls=self._security == "starttls",
                    timeout=PATIENCE_S,
                )
        except Exception as error:
            refusal = _refusal_of(error)
            metrics.MAILS.labels("failed" if refusal is None else "refused").inc()
            # Nothing of the error is repeated: it may name the address.
            raise refusal or _failure_of(error) from None
        metrics.MAILS.labels("sent").inc()


class FolderMailer:
    """Writes each mail as a file `.eml` into a folder, for development."""

    def __init__(self, folder: Path, sender: str) -> None:
        self._folder = folder
        self._sender = sender
        self._written = 0

    async def send(self, mail: Mail, mail_id: str | None = None) -> None:
        """Write a mail; the newest has the highest number.

        Raises:
            UpstreamError: the folder cannot be written to, or there is no mail to be made of it.
        """
        self._written += 1
        try:
            name, _, domain = mail.to.partition("@")  # a telephone number has no domain
            message = _message(mail, Address("", name, domain), self._sender, mail_id)
            await asyncio.to_thread(self._write, message, mail.to, self._written)
        except Exception as error:
            metrics.MAILS.labels("failed").inc()
            raise _failure_of(error) from None

    def _write(self, message: EmailMessage, to: str, number: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = re.sub(r"[^\w.@+-]", "_", to)
        path = self._folder / f"{name}-{number:04d}.eml"
        path.write_bytes(message.as_bytes(policy=SMTP))
        metrics.MAILS.labels("written").inc()


def _message(mail: Mail, to: Address, sender: str, mail_id: str | None) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = to
    message["Subject"] = mail.subject
    message["Auto-Submitted"] = "auto-generated"
    if mail_id is not None:
        domain = parseaddr(sender)[1].rpartition("@")[2]
        message["Message-ID"] = f"<{mail_id}@{domain}>"
    message.set_content(mail.text)
    return message


def _refusal_of(error: Exception) -> UpstreamError | None:
    """Return what a server's refusal comes to; None if that was no refusal."""
    match error:
        case aiosmtplib.SMTPRecipientsRefused():
            [one] = error.recipients
            if _is_unknown(one):
                return RecipientRefusedError()
            return UpstreamError("mail", f"status {one.code} to RCPT", retryable=True)
        case aiosmtplib.SMTPDataError():
            return UpstreamError(
                "mail", f"status {error.code} to DATA", retryable=400 <= error.code < 500
            )
        case aiosmtplib.SMTPResponseException():
            return UpstreamError("mail", f"status {error.code}", retryable=True)
    return None


def _is_unknown(refused: aiosmtplib.SMTPRecipientRefused) -> bool:
    """Tell whether an address takes no mail; 530 and policies are about whoever sends."""
    return (
        500 <= refused.code < 600
        and refused.code not in (530, 535)
        and _POLICY.match(refused.message) is None
    )


def _failure_of(error: Exception) -> UpstreamError:
    passes = isinstance(error, (aiosmtplib.SMTPException, OSError))
    return UpstreamError("mail", type(error).__name__, retryable=passes)
