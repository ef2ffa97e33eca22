"""Redis or MongoDB away: not ready, nothing lost that was acknowledged, no crash."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from config.settings import Settings
from models.play.repo import PlayRepo
from server.embedded import Mongod, ValkeyServer
from tests.flows.client import connected
from tests.flows.test_play import fist, play, start_of
from tests.serving import serving, settings_of


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[ValkeyServer]:
    """Run a Valkey that the test may kill."""
    server = ValkeyServer(tmp_path / "valkey", temporary=False)
    await server.start()
    yield server
    await server.stop()


async def ready(url: str) -> bool:
    """Tell whether the server says it is ready."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/ready") as answer:
        return answer.status == 200


async def until_ready(url: str, wanted: bool, seconds: float = 15.0) -> None:
    """Wait until the server is (not) ready."""
    async with asyncio.timeout(seconds):
        while await ready(url) is not wanted:
            await asyncio.sleep(0.1)


async def test_it_starts_without_its_stores_and_takes_them_when_they_come(
    mongo_url: str, mongo_database: str, tmp_path: Path, valkey: ValkeyServer
) -> None:
    url = valkey.url
    await valkey.stop()
    settings = settings_of(mongo_url, url, mongo_database, "away", tmp_path / "key.pem")
    async with serving(settings) as served:
        assert not await ready(served.url)
        async with aiohttp.ClientSession() as http, http.get(f"{served.url}/live") as answer:
            assert answer.status == 200
        async with connected(served.url, "/game", served.token("guardian", "child-1")) as client:
            answer = await client.ask(
                "session:open",
                {
                    "child_id": "child-1",
                    "kind": "free",
                    "space": "world",
                    "fps": 30.0,
                    "app_version": "1",
                    "client_key": "0d1f9d7a-6a5e-4f43-9a80-5a0cf2b7a001",
                },
            )
            assert answer["error"]["code"] == "busy"
            assert answer["error"]["retry_ms"] > 0
        await valkey.start()
        await until_ready(served.url, True)
        async with connected(served.url, "/game", served.token("guardian", "child-1")) as client:
            await client.open()
            seq, _ = await play(client, fist(1), 0)
            await client.ok("session:close", seq, {"reason": "done"})


async def test_a_killed_redis_loses_nothing_acknowledged(
    mongo_url: str,
    mongo_database: str,
    tmp_path: Path,
    valkey: ValkeyServer,
    repo_of: Callable[[Settings], PlayRepo],
) -> None:
    settings = settings_of(mongo_url, valkey.url, mongo_database, "killed", tmp_path / "key.pem")
    played = fist(2)
    sent = [m.payload for m in played.messages(2)]
    async with serving(settings) as served:
        await until_ready(served.url, True)
        async with connected(served.url, "/game", served.token("guardian", "child-1")) as client:
            session_id = (await client.open())["session_id"]
            await client.ok("set:start", 0, start_of(played))
            for n, payload in enumerate(sent[:40]):
                await client.say("frames", n + 1, payload)
            await client.until("ack", lambda a: a["buffered"] == 40)
            await asyncio.sleep(1.2)  # `everysec`: what was acknowledged is on disk by then
            valkey.kill()
            for n, payload in enumerate(sent[40:60]):
                await client.say("frames", n + 41, payload)
            await until_ready(served.url, False)
            await valkey.restart()
            await until_ready(served.url, True)
            for n, payload in enumerate(sent[60:]):
                await client.say("frames", n + 61, payload)
            record = (await client.ok("set:end", len(sent) + 1, {"set_no": 1}))["record"]
            assert record["metrics"]["reps_full"] + record["metrics"]["reps_partial"] == 2
            await client.ok("session:close", len(sent) + 2, {"reason": "done"})
    repo = repo_of(settings)
    assert [p async for _, p in repo.iter_frames(session_id, merged=False)] == sent


async def test_play_goes_on_while_mongodb_is_away(
    redis_url: str, redis_prefix: str, tmp_path: Path, repo_of: Callable[[Settings], PlayRepo]
) -> None:
    mongod = Mongod(tmp_path / "mongod", temporary=False)
    await mongod.start()
    try:
        settings: Settings = settings_of(
            mongod.url, redis_url, "away", redis_prefix, tmp_path / "key.pem"
        )
        played = fist(1)
        async with serving(settings) as served:
            await until_ready(served.url, True)
            async with connected(served.url, "/game", served.token("guardian", "c-1")) as client:
                session_id = (await client.open("c-1"))["session_id"]
                mongod.kill()
                await until_ready(served.url, False)
                seq, _ = await play(client, played, 0)
                assert await client.code("session:close", seq, {"reason": "done"}) == "busy"
                await mongod.restart()
                await until_ready(served.url, True, 30)
                for _ in range(10):
                    answer = await client.ask("session:close", seq, {"reason": "done"})
                    if "ok" in answer:
                        break
                assert answer["ok"]["sealed"] == "closed"
            repo = repo_of(settings)
            assert len([p async for _, p in repo.iter_frames(session_id, merged=False)]) == seq - 2
    finally:
        await mongod.stop()
