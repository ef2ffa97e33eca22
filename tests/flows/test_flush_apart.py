"""A server that leaves the flush to a worker beside it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from config.clock import SystemClock
from config.settings import Settings
from models.play.repo import PlayRepo
from server.worker import build_worker
from tests.flows.client import connected
from tests.flows.test_play import fist, play
from tests.serving import serving, settings_of


async def test_what_a_server_keeps_is_stored_by_a_worker_alone(
    mongo_url: str,
    redis_url: str,
    mongo_database: str,
    redis_prefix: str,
    tmp_path: Path,
    repo_of: Callable[[Settings], PlayRepo],
) -> None:
    settings = settings_of(
        mongo_url,
        redis_url,
        mongo_database,
        redis_prefix,
        tmp_path / "key.pem",
        store={"flush": False},
    )
    repo = repo_of(settings)
    async with (
        serving(settings) as served,
        connected(served.url, "/game", served.token("guardian", "c-1")) as client,
    ):
        session_id = (await client.open("c-1"))["session_id"]
        seq, _ = await play(client, fist(1), 0)
        # It was appended, which is all that this server does about it.
        assert await client.code("session:close", seq, {"reason": "done"}) == "busy"
    assert [p async for _, p in repo.iter_frames(session_id, merged=False)] == []
    runner = web.AppRunner(build_worker(settings, SystemClock()))
    await runner.setup()
    try:
        async with asyncio.timeout(10):
            while len([p async for _, p in repo.iter_frames(session_id, merged=False)]) < seq - 2:
                await asyncio.sleep(0.02)
    finally:
        await runner.cleanup()
