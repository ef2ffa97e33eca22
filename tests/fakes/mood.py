"""How a fake of another company misbehaves."""

import asyncio
from typing import Any

from aiohttp import web


class Moody:
    """Base of the fakes: one that stalls, or answers everything with an error, until it is told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        """Paths, in the order they were asked for."""
        self.status = 200
        self.stall_seconds = 0.0

    def application(self) -> web.Application:
        """Return an application whose every answer depends on the mood."""
        return web.Application(middlewares=[self._mood])

    @web.middleware
    async def _mood(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path)
        if self.stall_seconds:
            await asyncio.sleep(self.stall_seconds)
        if self.status != 200:
            return web.json_response({"error": "no"}, status=self.status)
        answer: web.StreamResponse = await handler(request)
        return answer
