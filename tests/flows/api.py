"""Somebody who uses the REST API: a token, and calls that answer status and body."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aiohttp

from models.accounts.records import Role
from server.lifespan import PARTS
from tests.serving import Served

CHILD = {"name": "김지우", "birthDate": "2018-03-04", "affectedHand": "right", "zone": "Asia/Seoul"}
REASON = {"X-Reason": "a test looks"}


class Api:
    """One signed-in person."""

    def __init__(self, http: aiohttp.ClientSession, served: Served, role: Role | str, sub: str,
                 **more: Any) -> None:  # fmt: skip
        self.id = sub
        self.token = served.token(role, sub=sub, **more)
        self._http = http
        self._url = served.url
        self._headers = REASON if role == Role.ADMIN else {}

    async def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        """Ask, and return the status and what was answered; the error's code of a refusal."""
        head = {"Authorization": f"Bearer {self.token}", **self._headers, **headers}
        async with self._http.request(
            method, f"{self._url}/v1{path}", json=body, headers=head
        ) as answer:
            if answer.status == 204:
                return 204, None
            said = await answer.json()
            return answer.status, said["error"]["code"] if answer.status >= 400 else said

    async def ok(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Ask for what must be granted."""
        status, said = await self.ask(method, path, body, **headers)
        assert status < 300, (method, path, status, said)
        return said

    async def refused(self, method: str, path: str, body: Any = None, **headers: str) -> str:
        """Ask for what must be refused, and return the code."""
        status, said = await self.ask(method, path, body, **headers)
        assert status >= 400, (method, path, said)
        return str(said)

    # -- what many stories need

    async def add_child(self, **more: Any) -> str:
        """Add a child and return its id."""
        return str((await self.ok("POST", "/children", {**CHILD, **more}))["id"])

    async def consent(self, child_id: str, purpose: str, *, given: bool = True) -> None:
        """Give or withdraw a consent."""
        body = {"given": given, "locale": "ko", **({"version": 1} if given else {})}
        await self.ok("PUT", f"/children/{child_id}/consents/{purpose}", body)

    async def take_into_care(self, child_id: str, therapist: "Api", **more: Any) -> str:
        """Let a therapist take the child into care, and return the assignment's id."""
        invited = await self.ok("POST", f"/children/{child_id}/care", more)
        done = await therapist.ok("POST", "/care/accept", {"code": invited["code"]})
        assert done["status"] == "active"
        return str(done["id"])


class People:
    """Makes people who use one server."""

    def __init__(self, http: aiohttp.ClientSession, served: Served) -> None:
        self._http = http
        self.served = served

    def one(self, role: Role | str, sub: str | None = None, **more: Any) -> Api:
        """Return somebody, new unless named."""
        return Api(self._http, self.served, role, sub or f"u_{uuid4().hex[:12]}", **more)

    def guardian(self, sub: str | None = None) -> Api:
        """Return a guardian."""
        return self.one(Role.GUARDIAN, sub)

    def therapist(self, sub: str | None = None) -> Api:
        """Return a therapist."""
        return self.one(Role.THERAPIST, sub)

    def admin(self) -> Api:
        """Return an admin, who gives a reason each time."""
        return self.one(Role.ADMIN)


@asynccontextmanager
async def people_of(served: Served) -> AsyncIterator[People]:
    """Return people who use a server."""
    async with asyncio.timeout(20):
        await served.app[PARTS].background.indexes.made.wait()
    async with aiohttp.ClientSession() as http:
        yield People(http, served)
