"""The canary: whatever people send and are sent, none of it is in any log line."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.logs import QUIET, RedactingFormatter
from config.settings import Settings
from tests.flows.people import town

EMAIL, PASSWORD, NAME = "canary.bird@example.com", "canary sentence 99", "카나리아"
NUMBER = "+82 10-9876-5432"


class Sink(logging.Handler):
    """Keeps every record: as it came, and as it is written."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.raw: list[str] = []
        self.written: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "mail.log":
            return  # of the fake mail server, which is not ours
        self.raw.append(logging.Formatter().format(record))
        self.written.append(RedactingFormatter().format(record))


@pytest.fixture
def sink() -> Iterator[Sink]:
    root = logging.getLogger()
    handler, level = Sink(), root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    quiet = [logging.getLogger(name) for name in QUIET]
    for logger in quiet:
        logger.setLevel(logging.WARNING)
    yield handler
    for logger in quiet:
        logger.setLevel(logging.NOTSET)
    root.removeHandler(handler)
    root.setLevel(level)


async def test_no_secret_of_accounts_is_logged(
    settings: Settings, tmp_path: Path, sink: Sink
) -> None:
    secrets = {EMAIL, PASSWORD, NAME, "1098765432", "10-9876-5432", "apple-refresh-canary"}
    async with town(settings, tmp_path) as here:
        one = here.person()
        one.keep(await one.sign_up(EMAIL, PASSWORD, name=NAME))
        secrets |= {one.access, one.refresh_token}
        code = await here.mail.code(EMAIL)
        secrets |= {code, code.replace("-", "")}
        await one.call("POST", "/v1/me/email/confirmation", {"code": code})
        await one.sign_in(EMAIL, "wrong canary 00")
        await one.sign_in(EMAIL, PASSWORD)
        await one.sign_up(EMAIL, PASSWORD)
        old = one.refresh_token
        one.keep(await one.refresh())
        secrets |= {one.access, one.refresh_token, "wrong canary 00"}
        await one.call("POST", "/v1/me/phone/code", {"number": NUMBER})
        texted = here.messengers.code_to("01098765432")
        await one.call("PUT", "/v1/me/phone", {"number": NUMBER, "code": texted})
        await one.me()
        here.vouchers.codes = {"apple-code-canary": "apple-refresh-canary"}
        token = here.vouchers.token("apple", email="other.bird@example.com", email_verified=True)
        await one.social("apple", idToken=token, code="apple-code-canary")
        here.vouchers.status = 500
        kakao = here.vouchers.token("kakao")
        await one.social("kakao", idToken=kakao)
        here.messengers.status = 500
        await one.call("POST", "/v1/me/phone/code", {"number": "+1 212 555 0177"})
        here.mail.replies = [f"554 5.7.1 <{EMAIL}> is not wanted"]
        secrets |= {token, kakao, "apple-code-canary", "other.bird@example.com", "12125550177"}
        await one.call("POST", "/v1/password-resets", {"email": "other.bird@example.com"})
        await one.refresh(old, device="device-6666")
        async with asyncio.timeout(5):
            while here.mail.replies or len(here.mail.taken) < 1:
                await asyncio.sleep(0.01)
    assert len(sink.raw) > 10
    for line in [*sink.raw, *sink.written]:
        for secret in secrets:
            assert secret not in line


@pytest.mark.parametrize(
    "secret",
    [
        "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1In0.c2lnbmF0dXJl",
        "canary.bird@example.com",
        "+82 10-9876-5432",
        "010-9876-5432",
        "f" * 64,
        "hunter2hunter2",
    ],
)
@pytest.mark.parametrize(
    "line",
    [
        'the body was {{"password": "{}", "a": 1}}',
        "asked for /x?token={}&b=2",
        "Authorization: Bearer {}",
        "connects to mongodb://user:{}@db.example:27017/",
        "POST https://discord.example/api/webhooks/12/{}",
    ],
)
def test_what_a_library_lets_slip_is_hidden(line: str, secret: str) -> None:
    record = logging.LogRecord("lib", logging.WARNING, "f", 1, "%s", (line.format(secret),), None)
    written = RedactingFormatter().format(record)
    assert secret not in written
    assert written.split()[0] == line.split(maxsplit=1)[0]  # the rest stays


def test_a_trace_is_hidden_too() -> None:
    try:
        raise ValueError("no mailbox canary.bird@example.com")
    except ValueError as error:
        record = logging.LogRecord(
            "lib", logging.ERROR, "f", 1, "failed", (), (type(error), error, error.__traceback__)
        )
    written = RedactingFormatter().format(record)
    assert "canary" not in written.splitlines()[-1]
    assert "no mailbox" in written


@pytest.mark.parametrize(
    "line",
    [
        "session s_kJf02 sealed after 3.2 s: 12 chunks",
        "job flush failed; it starts again",
        "2026-11-22T15:00:00.123Z INFO server: serving 127.0.0.1:8080",
        "sign-in 0123456789abcdef0123456789abcdef ends",
        "node n-0a1b2c3d took 8 streams",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    record = logging.LogRecord("lib", logging.INFO, "f", 1, line, (), None)
    assert RedactingFormatter().format(record) == line
