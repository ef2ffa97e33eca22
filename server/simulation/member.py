"""Somebody with an account, or a child's device: signed in by HTTP, and kept so."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from server.simulation.line import LineLostError

Device = Mapping[str, str]
"""What a sign-in names: id, name, platform."""

DEVICE: Final[Device] = {"id": "gemgem-simulate", "name": "gemgem simulate", "platform": "other"}
RENEW_SHARE: Final = 0.6
"""A token is replaced when this share of its life is over, before connections ask for another."""
AGAIN_S: Final = 2.0
WAIT: Final = aiohttp.ClientTimeout(total=10.0)


class SignInError(Exception):
    """The server did not let somebody in. The text says why."""


class Member:
    """Somebody who is signed in. `token` is what connections are given."""

    def __init__(self, http: aiohttp.ClientSession, url: str, device: Device = DEVICE) -> None:
        self._http = http
        self._url = url
        self._device = device
        self._access = ""
        self._refresh = ""
        self._seconds = 0.0

    def token(self) -> str:
        """Return an access token that holds for a while yet."""
        return self._access

    async def sign_in(self, email: str, password: str) -> None:
        """Sign in.

        Raises:
            SignInError: the server refused.
            LineLostError: nobody answers.
        """
        body = {"email": email, "password": password, "device": self._device}
        self._keep(await self._ask("POST", "/v1/sign-ins", body))

    async def children(self) -> list[str]:
        """Return the ids of the children whose guardian this is; errors as `sign_in`."""
        answer = await self._ask("GET", "/v1/children", None)
        return [child["id"] for child in answer["items"]]

    def tokens(self) -> dict[str, Any]:
        """Return the tokens as the server gives them, and the device that may renew them."""
        return {
            "accessToken": self._access,
            "refreshToken": self._refresh,
            "expiresIn": round(self._seconds),
            "deviceId": self._device["id"],
        }

    @asynccontextmanager
    async def tablet(self, child_id: str) -> AsyncIterator["Member"]:
        """Let in a device that plays one child of this guardian; yield it, kept signed in.

        Errors as `sign_in`.
        """
        device = {"id": f"tablet-{child_id}", "name": "simulated tablet", "platform": "other"}
        path = f"/v1/children/{child_id}/devices"
        tablet = Member(self._http, self._url, device)
        tablet._keep(await self._ask("POST", path, {"device": device}))
        async with staying(tablet):
            yield tablet

    async def stay(self) -> None:
        """Replace the token before it ends, for ever."""
        wait = self._seconds * RENEW_SHARE
        while True:
            await asyncio.sleep(wait)
            body = {"refreshToken": self._refresh, "deviceId": self._device["id"]}
            try:
                self._keep(await self._ask("POST", "/v1/tokens", body))
                wait = self._seconds * RENEW_SHARE
            except LineLostError:
                wait = AGAIN_S

    def _keep(self, answer: dict[str, Any]) -> None:
        self._access, self._refresh = answer["accessToken"], answer["refreshToken"]
        self._seconds = float(answer["expiresIn"])

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        # A sign-in that renews itself asks as nobody: its own token may have ended.
        open_to_all = path in ("/v1/sign-ins", "/v1/tokens")
        headers = {} if open_to_all else {"Authorization": f"Bearer {self._access}"}
        try:
            async with self._http.request(
                method, self._url + path, json=body, headers=headers, timeout=WAIT
            ) as answer:
                said: dict[str, Any] = await answer.json()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as failure:
            raise LineLostError(f"nobody answers at {self._url}") from failure
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise LineLostError(f"{self._url} cannot answer now")
        if status >= HTTPStatus.BAD_REQUEST:
            raise SignInError(said["error"]["message"])
        return said


@asynccontextmanager
async def staying(member: Member) -> AsyncIterator[None]:
    """Keep somebody signed in for as long as the block runs."""
    task = asyncio.create_task(member.stay())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def signed_in(url: str, email: str, password: str) -> AsyncIterator[Member]:
    """Yield somebody signed in for as long as the block runs; errors as `Member.sign_in`."""
    async with aiohttp.ClientSession() as http:
        member = Member(http, url)
        await member.sign_in(email, password)
        async with staying(member):
            yield member
