"""A mail server, Twilio Verify, SENS and Pwned Passwords on loopback."""

import asyncio
import base64
import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP

from tests.fakes.mood import Moody

SENS_ACCESS, SENS_SECRET = "sens-access", "sens-secret"
TWILIO = ("AC1", "twilio-secret")


class FakeMail:
    """A real SMTP conversation; keeps what it took."""

    def __init__(self) -> None:
        self.port = 0
        self.taken: list[tuple[str, EmailMessage]] = []
        self.replies: list[str] = []
        """Answers to the next DATA, then 250."""
        self.rcpt_replies: list[str] = []
        """Answers to the next RCPT, then 250."""

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if self.rcpt_replies:
            return self.rcpt_replies.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 known"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.replies:
            return self.replies.pop(0)
        message = BytesParser(EmailMessage, policy=default).parsebytes(envelope.content)
        self.taken.append((envelope.rcpt_tos[0], message))
        return "250 taken"

    async def code(self, to: str, nth: int = 1) -> str:
        """Return the code in the nth mail to somebody, waiting for it."""
        text = await self.text(to, nth)
        found = re.search(r": ([0-9A-Z-]{9})\s", text)
        assert found, text
        return found[1]

    async def text(self, to: str, nth: int = 1) -> str:
        """Return the text of the nth mail to somebody, waiting for it."""
        async with asyncio.timeout(5):
            while len(mails := [m for rcpt, m in self.taken if rcpt == to]) < nth:
                await asyncio.sleep(0.01)
        return str(mails[nth - 1].get_content())


@asynccontextmanager
async def fake_mail() -> AsyncIterator[FakeMail]:
    """Run it on a free port."""
    fake = FakeMail()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(fake, enable_SMTPUTF8=True, loop=loop), "127.0.0.1", 0
    )
    fake.port = server.sockets[0].getsockname()[1]
    yield fake
    server.close()
    await server.wait_closed()


class FakeMessengers(Moody):
    """Twilio, SENS and Pwned Passwords."""

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.texts: list[tuple[str, str]] = []
        self.codes: dict[str, str] = {}
        self.checks: dict[str, int] = {}
        self.breached: set[str] = set()
        self.ranges: list[str] = []

    def code_to(self, digits: str) -> str:
        """Return the code in the last text message to somebody."""
        text = [content for to, content in self.texts if to == digits][-1]
        found = re.search(r"\d{6}", text)
        assert found
        return found[0]

    async def _sms(self, request: web.Request) -> web.Response:
        timestamp = request.headers["x-ncp-apigw-timestamp"]
        message = f"POST {request.path_qs}\n{timestamp}\n{SENS_ACCESS}"
        right = base64.b64encode(
            hmac.new(SENS_SECRET.encode(), message.encode(), hashlib.sha256).digest()
        ).decode()
        if request.headers["x-ncp-apigw-signature-v2"] != right:
            return web.json_response({"error": "signature"}, status=401)
        body = await request.json()
        assert body["countryCode"] == "82"
        self.texts.append((body["messages"][0]["to"], body["content"]))
        return web.json_response({"requestId": "r", "statusCode": "202"}, status=202)

    def _known(self, request: web.Request) -> bool:
        wanted = base64.b64encode(":".join(TWILIO).encode()).decode()
        return request.headers.get("Authorization") == f"Basic {wanted}"

    async def _verify(self, request: web.Request) -> web.Response:
        if not self._known(request):
            return web.json_response({"code": 20003}, status=401)
        form = await request.post()
        self.codes[str(form["To"])] = "246810"
        self.checks[str(form["To"])] = 0
        return web.json_response({"status": "pending"}, status=201)

    async def _check(self, request: web.Request) -> web.Response:
        form = await request.post()
        to = str(form["To"])
        if to not in self.codes:
            return web.json_response({"code": 20404}, status=404)
        self.checks[to] += 1
        if self.checks[to] > 5:
            return web.json_response({"code": 60202}, status=429)
        if self.codes[to] != form["Code"]:
            return web.json_response({"status": "pending"})
        del self.codes[to]
        return web.json_response({"status": "approved"})

    async def _range(self, request: web.Request) -> web.Response:
        assert request.headers["Add-Padding"] == "true"
        prefix = request.match_info["prefix"]
        self.ranges.append(prefix)
        lines = [f"{'0' * 34}{n}:0" for n in range(5)]
        for password in self.breached:
            digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
            if digest.startswith(prefix):
                lines.append(f"{digest[5:]}:42")
        return web.Response(text="\r\n".join(lines))


@asynccontextmanager
async def fake_messengers() -> AsyncIterator[FakeMessengers]:
    """Run it on a free port."""
    fake = FakeMessengers()
    app = fake.application()
    app.router.add_post("/sms/v2/services/{service}/messages", fake._sms)
    app.router.add_post("/v2/Services/{service}/Verifications", fake._verify)
    app.router.add_post("/v2/Services/{service}/VerificationCheck", fake._check)
    app.router.add_get("/range/{prefix}", fake._range)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}"
    yield fake
    await runner.cleanup()
