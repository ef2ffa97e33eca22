"""Several workers and a flusher of its own, as somebody runs them; rolled while children play."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import aiohttp
import pytest
from redis.asyncio import Redis

from config.clock import SystemClock
from models.accounts.tokens import create_dev_key
from models.db import Mongo
from models.play.keys import PlayKeys
from models.play.repo import PlayRepo
from server.app import ROOT
from server.simulation.audit import audit
from server.simulation.crowd import Crowd, Script
from server.simulation.ledger import FileLedger
from server.simulation.performance import Manner
from server.simulation.served import free_port
from tests.factories import event_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers share a port on Linux")

STOP_S = 15.0


class Commands:
    """Runs commands of ours as processes, on stores of the test's own."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self._log = log
        self._running: list[asyncio.subprocess.Process] = []

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "server", *arguments),
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        self._running.append(process)
        return process

    async def log_says(self, words: str, times: int = 1) -> str:
        """Wait for words in the log; return the whole of it."""
        for _ in range(1200):
            text = self._log.read_text()
            if text.count(words) >= times:
                return text
            await asyncio.sleep(0.05)
        raise TimeoutError(f"the log never says {words!r}: {self._log.read_text()[-3000:]}")

    async def stop_all(self) -> None:
        for process in self._running:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "dev-key.pem"
    create_dev_key(path)
    return path


@pytest.fixture
async def commands(
    tmp_path: Path,
    key: Path,
    mongo_url: str,
    redis_url: str,
    mongo_database: str,
    redis_prefix: str,
) -> AsyncIterator[Commands]:
    environment = {
        "GEMGEM_MONGO_URL": mongo_url,
        "GEMGEM_REDIS_URL": redis_url,
        "GEMGEM_DEV_KEY": str(key),
        "GEMGEM_STORE__MONGO_DATABASE": mongo_database,
        "GEMGEM_STORE__REDIS_PREFIX": redis_prefix,
        "GEMGEM_NODE": "rolled",
    }
    commands = Commands(environment, tmp_path / "log")
    yield commands
    await commands.stop_all()


async def _stopped(process: asyncio.subprocess.Process) -> None:
    """Stop a process as an operator does; it ends in order and in time."""
    process.terminate()
    async with asyncio.timeout(STOP_S):
        assert await process.wait() == 0


@pytest.mark.alone
@pytest.mark.timeout(120)
async def test_a_roll_under_load_loses_nothing(
    commands: Commands, key: Path, mongo_url: str, mongo_database: str, tmp_path: Path
) -> None:
    port = free_port("127.0.0.1", None, 0)
    serving = await commands.start("serve", "--workers", "2", "--port", str(port))
    await commands.log_says("with 2 workers")
    ledger = tmp_path / "ledger.jsonl"
    script = Script(
        url=f"http://127.0.0.1:{port}",
        key=key,
        children=6,
        seconds=None,
        seed=3,
        manner=Manner(motions=("tap",), noise_mm=0.5),
        watchers=2,
        watch_all=True,
        patience_s=30.0,
    )
    with FileLedger(ledger, SystemClock()) as noted:
        crowd = Crowd(script, SystemClock(), noted)
        playing = asyncio.create_task(crowd.run())
        while crowd.tally.buffered < 60:
            await asyncio.sleep(0.05)
        serving.send_signal(signal.SIGHUP)
        await commands.log_says(" replaces worker ", times=2)
        async with asyncio.timeout(30):
            while crowd.tally.resumes < 6:  # both old workers go, with whoever is on them
                await asyncio.sleep(0.05)
        crowd.stop()
        await playing
    assert list(crowd.faults) == []
    report = crowd.report()
    assert report["reps_true"] == report["reps_scored"] >= 12
    assert report["feed_altered"] == report["feed_disordered"] == 0
    mongo = Mongo(mongo_url, mongo_database)
    try:
        found = (await audit(ledger, PlayRepo(mongo.database))).total
    finally:
        await mongo.close()
    assert found.clean
    assert found.sent == found.found == found.stored > 300
    await _stopped(serving)


@pytest.mark.timeout(90)
async def test_the_jobs_alone_store_what_others_took(
    commands: Commands, mongo_url: str, mongo_database: str, redis_url: str, redis_prefix: str
) -> None:
    port = free_port("127.0.0.1", None, 0)
    working = await commands.start("worker", "--port", str(port))
    await commands.log_says("working; health at")
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        assert await _ready(http)
        async with http.get("/socket.io/") as answer:
            assert answer.status == HTTPStatus.NOT_FOUND
    keys, item = PlayKeys(redis_prefix, 8), event_of("a", 0)
    async with Redis.from_url(redis_url) as redis:
        stream = keys.stream(keys.shard_of("a"))
        await redis.xadd(stream, {item.field(): item.blob()})
        mongo = Mongo(mongo_url, mongo_database)
        try:
            repo = PlayRepo(mongo.database)
            for _ in range(200):
                stored = [event["seq"] async for event in repo.iter_events("a")]
                if stored:
                    break
                await asyncio.sleep(0.05)
        finally:
            await mongo.close()
        assert stored == [0]
        await _stopped(working)
        assert await redis.xlen(stream) == 0


async def _ready(http: aiohttp.ClientSession) -> bool:
    for _ in range(200):
        async with http.get("/ready") as answer:
            if answer.status == HTTPStatus.OK:
                return True
        await asyncio.sleep(0.05)
    return False


async def test_what_is_wrong_is_said_at_once(commands: Commands) -> None:
    port = free_port("127.0.0.1", None, 0)
    del commands._environment["GEMGEM_DEV_KEY"]
    serving = await commands.start("serve", "--workers", "2", "--port", str(port))
    async with asyncio.timeout(30):
        assert await serving.wait() == 2
    await commands.log_says("GEMGEM_DEV_KEY")
