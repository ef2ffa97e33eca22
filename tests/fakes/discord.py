"""Discord as a small app on loopback: takes notes, fails, asks to wait, as the real one does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


class FakeDiscord:
    """Keeps what it took. `answers` are the statuses of the next requests, then 204."""

    def __init__(self) -> None:
        self.url = ""
        self.taken: list[dict[str, Any]] = []
        self.asked = 0
        self.answers: list[tuple[int, dict[str, str]]] = []

    async def _post(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.answers:
            status, headers = self.answers.pop(0)
            return web.json_response({"message": "no"}, status=status, headers=headers)
        self.taken.append(await request.json())
        return web.Response(status=204)


@asynccontextmanager
async def fake_discord() -> AsyncIterator[FakeDiscord]:
    """Run it on a free port."""
    fake = FakeDiscord()
    app = web.Application()
    app.router.add_post("/api/webhooks/{id}/{token}", fake._post)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}/api/webhooks/1/secret"
    yield fake
    await runner.cleanup()
