"""Mail: taken by a real mail server, or refused in words that say whether to try again."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clients.base import UpstreamError
from clients.mail import FolderMailer, Mail, SmtpMailer
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
