"""People who use the REST routes of accounts, against the whole server and fakes of the others."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from config.settings import Settings
from handlers.rest.tables import ROUTES
from handlers.routing import Route
from models.accounts.tokens import create_dev_key
from tests.fakes.messengers import (
    SENS_ACCESS,
    SENS_SECRET,
    TWILIO,
    FakeMail,
    FakeMessengers,
    fake_mail,
    fake_messengers,
)
from tests.fakes.vouchers import (
    AUDIENCES,
    KAKAO_ADMIN_KEY,
    KAKAO_APP_ID,
    FakeVouchers,
    fake_vouchers,
)
from tests.serving import Served, serving

GOOD = "rather a long sentence 7"
DEVICE = {"id": "device-0001", "name": "태블릿", "platform": "android"}
RATES = ("sign_in_address", "sign_in_account", "sign_up", "refresh", "code_send", "others")
MANY = dict.fromkeys(RATES, 100_000)


@dataclasses.dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: Any
    headers: Any

    @property
    def code(self) -> str:
        """The error code."""
        return str(self.body["error"]["code"])

    def __getitem__(self, name: str) -> Any:
        return self.body[name]


class Person:
    """Somebody with an app: sends requests, keeps their tokens."""

    def __init__(self, http: aiohttp.ClientSession, url: str, device: str = "device-0001") -> None:
        self._http = http
        self.url = url
        self.device = {**DEVICE, "id": device}
        self.access = ""
        self.refresh_token = ""

    def another(self, device: str) -> "Person":
        """Return another device at the same server, not signed in."""
        return Person(self._http, self.url, device)

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        """Send a request; the token goes along where there is one."""
        headers = dict(more.pop("headers", {}))
        if self.access:
            headers.setdefault("Authorization", f"Bearer {self.access}")
        async with self._http.request(
            method, self.url + path, json=body, headers=headers, **more
        ) as response:
            text = await response.text()
            parsed = await response.json() if text else None
            return Answer(response.status, parsed, response.headers)

    def keep(self, answer: Answer) -> Self:
        """Use the tokens of an answer from now on."""
        assert answer.status in (200, 201), answer.body
        self.access, self.refresh_token = answer["accessToken"], answer["refreshToken"]
        return self

    async def sign_up(self, email: str, password: str = GOOD, **more: Any) -> Answer:
        """Ask for an account."""
        body = {"email": email, "password": password, "device": self.device, **more}
        return await self.call("POST", "/v1/accounts", body)

    async def sign_in(self, email: str, password: str = GOOD, **more: Any) -> Answer:
        """Sign in by a password."""
        body = {"email": email, "password": password, "device": self.device, **more}
        return await self.call("POST", "/v1/sign-ins", body)

    async def social(self, provider: str, **proof: Any) -> Answer:
        """Sign in by a provider."""
        body = {**proof, "device": self.device}
        return await self.call("POST", f"/v1/sign-ins/{provider}", body)

    async def refresh(self, token: str | None = None, device: str | None = None) -> Answer:
        """Exchange a refresh token."""
        body = {
            "refreshToken": token or self.refresh_token,
            "deviceId": device or self.device["id"],
        }
        return await self.call("POST", "/v1/tokens", body)

    async def me(self) -> Answer:
        """Ask for the own account."""
        return await self.call("GET", "/v1/me")


async def patiently(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask again while the answer is to wait, as an app does."""
    async with asyncio.timeout(10):
        while (answer := await ask()).status == 429:
            await asyncio.sleep(answer["error"]["retry_ms"] / 1000)
    return answer


@dataclasses.dataclass(frozen=True)
class Town:
    """The server, everybody it talks to, and somebody to talk to it."""

    served: Served
    vouchers: FakeVouchers
    mail: FakeMail
    messengers: FakeMessengers
    http: aiohttp.ClientSession

    def person(self, device: str = "device-0001") -> Person:
        """Return somebody who is not signed in."""
        return Person(self.http, self.served.url, device)


@asynccontextmanager
async def town(
    settings: Settings,
    folder: Path,
    routes: Sequence[Route] = ROUTES,
    **sections: dict[str, Any],
) -> AsyncIterator[Town]:
    """Run all of it. `sections` override settings."""
    async with AsyncExitStack() as stack:
        vouchers = await stack.enter_async_context(fake_vouchers())
        mail = await stack.enter_async_context(fake_mail())
        messengers = await stack.enter_async_context(fake_messengers())
        apple_key = folder / "apple.pem"
        apple_key.write_bytes(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        given: dict[str, dict[str, Any]] = {
            "rate": MANY,
            "google": {"url": vouchers.url, "client_ids": [AUDIENCES["google"]]},
            "apple": {
                "id_url": vouchers.url,
                "client_ids": [AUDIENCES["apple"]],
                "team_id": "TEAM",
                "key_id": "KEY",
            },
            "kakao": {
                "auth_url": vouchers.url,
                "api_url": vouchers.url,
                "app_keys": [AUDIENCES["kakao"]],
                "app_id": KAKAO_APP_ID,
            },
            "pwned": {"url": messengers.url},
            "twilio": {"url": messengers.url, "service": "VA1"},
            "sens": {"url": messengers.url, "service": "ncp:sms:kr:1", "sender": "0212345678"},
            "mail": {"host": "127.0.0.1", "port": mail.port, "security": "none"},
        }
        for name, new in sections.items():
            given[name] = {**given.get(name, {}), **new}
        update: dict[str, Any] = {
            name: type(getattr(settings, name)).model_validate(
                {**getattr(settings, name).model_dump(), **new}
            )
            for name, new in given.items()
        }
        update |= {
            "apple_key": apple_key,
            "kakao_admin_key": SecretStr(KAKAO_ADMIN_KEY),
            "twilio_account": TWILIO[0],
            "twilio_token": SecretStr(TWILIO[1]),
            "sens_access_key": SENS_ACCESS,
            "sens_secret": SecretStr(SENS_SECRET),
        }
        assert settings.dev_key is not None
        create_dev_key(settings.dev_key)
        served = await stack.enter_async_context(
            serving(settings.model_copy(update=update), routes)
        )
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Town(served, vouchers, mail, messengers, http)
