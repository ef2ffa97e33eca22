"""Somebody with an account who lets simulated children play: signed in by HTTP, and kept so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from server.simulation.line import LineLostError

DEVICE: Final = {"id": "gemgem-simulate", "name": "gemgem simulate", "platform": "other"}
RENEW_SHARE: Final = 0.6
"""A token is replaced when this share of its life is over, before connections ask for another."""
AGAIN_S: Final = 2.0
WAIT: Final = aiohttp.ClientTimeout(total=10.0)


class SignInError(Exception):
    """The server did not let somebody in. The text says why."""


class Member:
    """A guardian who is signed in. `token` is what connections are given."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url
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
        body = {"email": email, "password": password, "device": DEVICE}
        self._keep(await self._ask("POST", "/v1/sign-ins", body))

    async def children(self) -> list[str]:
        """Return the ids of the children whose guardian this is; errors as `sign_in`."""
        answer = await self._ask("GET", "/v1/children", None)
        return [child["id"] for child in answer["items"]]

    async def stay(self) -> None:
        """Replace the token before it ends, for ever."""
        wait = self._seconds * RENEW_SHARE
        while True:
            await asyncio.sleep(wait)
            body = {"refreshToken": self._refresh, "deviceId": DEVICE["id"]}
            try:
                self._keep(await self._ask("POST", "/v1/tokens", body))
                wait = self._seconds * RENEW_SHARE
            except LineLostError:
                wait = AGAIN_S

    def _keep(self, answer: dict[str, Any]) -> None:
        self._access, self._refresh = answer["accessToken"], answer["refreshToken"]
        self._seconds = float(answer["expiresIn"])

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._access}"} if body is None else {}
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
async def signed_in(url: str, email: str, password: str) -> AsyncIterator[Member]:
    """Yield somebody signed in for as long as the block runs; errors as `Member.sign_in`."""
    async with aiohttp.ClientSession() as http:
        member = Member(http, url)
        await member.sign_in(email, password)
        staying = asyncio.create_task(member.stay())
        try:
            yield member
        finally:
            staying.cancel()
            await asyncio.gather(staying, return_exceptions=True)
