"""Mail: taken by a real mail server, or refused in words that say whether to try again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clients.base import UpstreamError
from clients.mail import FolderMailer, Mail, RecipientRefusedError, SmtpMailer
from tests.fakes.messengers import FakeMail, fake_mail

MAIL = Mail("minjun@example.com", "인증번호", "인증번호: ABCD-EFGH\n")


@pytest.fixture
async def fake() -> AsyncIterator[FakeMail]:
    async with fake_mail() as server:
        yield server


def smtp(port: int) -> SmtpMailer:
    return SmtpMailer("127.0.0.1", port, "none", "gemgem <no-reply@example.com>", None, None)


async def test_a_mail_arrives_as_it_was_written(fake: FakeMail) -> None:
    await smtp(fake.port).send(MAIL)
    [(to, message)] = fake.taken
    assert to == MAIL.to
    assert message["Subject"] == MAIL.subject
    assert message["Auto-Submitted"] == "auto-generated"
    assert (await fake.text(MAIL.to)).splitlines() == MAIL.text.splitlines()


@pytest.mark.parametrize(("reply", "retryable"), [("451 later", True), ("554 never", False)])
async def test_a_refusal_says_whether_to_try_again(
    fake: FakeMail, reply: str, retryable: bool
) -> None:
    fake.replies = [reply]
    with pytest.raises(UpstreamError) as refused:
        await smtp(fake.port).send(MAIL)
    assert refused.value.retryable is retryable
    assert MAIL.to not in str(refused.value)


@pytest.mark.parametrize(
    ("reply", "retryable", "unknown"),
    [
        ("450 4.2.0 greylisted, come again", True, False),
        ("550 5.1.1 no such mailbox", False, True),
        ("550 no such mailbox", False, True),
        ("554 5.7.1 relay access denied", True, False),
        ("530 authentication first", True, False),
    ],
)
async def test_only_an_address_that_takes_no_mail_is_the_recipients_matter(
    fake: FakeMail, reply: str, retryable: bool, unknown: bool
) -> None:
    fake.rcpt_replies = [reply]
    with pytest.raises(UpstreamError) as refused:
        await smtp(fake.port).send(MAIL)
    assert refused.value.retryable is retryable
    assert isinstance(refused.value, RecipientRefusedError) is unknown


@pytest.mark.parametrize("command", ["MAIL", "AUTH"])
async def test_what_refuses_us_is_tried_again(command: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            verb = line[:4].decode()
            if verb == command:
                writer.write(b"535 5.7.8 no\r\n" if verb == "AUTH" else b"553 5.1.8 not you\r\n")
            else:
                writer.write(b"250-here\r\n250 AUTH PLAIN\r\n" if verb == "EHLO" else b"250 ok\r\n")
        writer.close()
        over.set()

    over = asyncio.Event()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        user, password = ("u", "wrong") if command == "AUTH" else (None, None)
        with pytest.raises(UpstreamError) as refused:
            await SmtpMailer("127.0.0.1", port, "none", "a@example.com", user, password).send(MAIL)
        await over.wait()
    assert refused.value.retryable
    assert not isinstance(refused.value, RecipientRefusedError)


@pytest.mark.parametrize("word", ["=0d=0ax", "", "=ff", "ceo"])
async def test_an_encoded_word_is_mailed_to_nobody_else(fake: FakeMail, word: str) -> None:
    spelt = f"=?utf-8?q?{word}?=@example.com"
    with pytest.raises(UpstreamError) as refused:
        await smtp(fake.port).send(Mail(spelt, "s", "t"))
    assert not refused.value.retryable
    assert not fake.taken


async def test_no_server_is_an_outage() -> None:
    with pytest.raises(UpstreamError) as away:
        await smtp(9).send(MAIL)
    assert away.value.retryable


async def test_a_server_without_tls_is_told_nothing(fake: FakeMail) -> None:
    mailer = SmtpMailer("127.0.0.1", fake.port, "starttls", "a@example.com", "user", "secret")
    with pytest.raises(UpstreamError):
        await mailer.send(MAIL)
    assert not fake.taken


async def test_the_folder_holds_one_file_a_mail(tmp_path: Path) -> None:
    mailer = FolderMailer(tmp_path / "mails", "a@example.com")
    await mailer.send(MAIL)
    await mailer.send(Mail("../../x@example.com", "s", "t"))
    names = sorted(path.name for path in (tmp_path / "mails").iterdir())
    assert names == [".._.._x@example.com-0002.eml", "minjun@example.com-0001.eml"]


async def test_a_folder_that_cannot_be_written_to_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "mails").touch()
    with pytest.raises(UpstreamError) as away:
        await FolderMailer(tmp_path / "mails", "a@example.com").send(MAIL)
    assert away.value.retryable
    assert MAIL.to not in str(away.value)
