"""A server that is killed while a mail is on its way: whoever runs next sends it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pymongo
import pytest

from models.accounts.tokens import create_dev_key
from server.app import ROOT
from server.simulation.served import free_port
from tests.fakes.messengers import fake_mail
from tests.flows.people import Person


@asynccontextmanager
async def running(environment: dict[str, str], *arguments: str) -> AsyncIterator[str]:
    """Run a command of ours as a process; yield where it answers, and kill it."""
    port = free_port("127.0.0.1", None, 0)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", *arguments, "--port", str(port)),
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as http, asyncio.timeout(30):
            while True:
                try:
                    async with http.get(f"{url}/ready") as answer:
                        if answer.status == 200:
                            break
                except aiohttp.ClientError:
                    assert process.returncode is None, "it ended"
                await asyncio.sleep(0.05)
        yield url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.timeout(90)
async def test_a_mail_that_was_promised_comes_though_the_server_is_killed(
    mongo_url: str,
    redis_url: str,
    mongo_database: str,
    redis_prefix: str,
    tmp_path: Path,
    mongo_admin: pymongo.MongoClient[dict[str, object]],
) -> None:
    key = tmp_path / "dev-key.pem"
    create_dev_key(key)
    rows = mongo_admin[mongo_database]["outbox"]
    async with fake_mail() as mail:
        # A mail server that takes the connection and says nothing.
        loop = asyncio.get_running_loop()
        deaf = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        environment = {
            "GEMGEM_MONGO_URL": mongo_url,
            "GEMGEM_REDIS_URL": redis_url,
            "GEMGEM_DEV_KEY": str(key),
            "GEMGEM_STORE__MONGO_DATABASE": mongo_database,
            "GEMGEM_STORE__REDIS_PREFIX": redis_prefix,
            "GEMGEM_PWNED__URL": "",
            "GEMGEM_MAIL__HOST": "127.0.0.1",
            "GEMGEM_MAIL__SECURITY": "none",
        }
        at = {"GEMGEM_MAIL__PORT": str(deaf.sockets[0].getsockname()[1])}
        async with running({**environment, **at}, "serve") as url, aiohttp.ClientSession() as http:
            person = Person(http, url)
            person.keep(await person.sign_up("jiu@example.com"))
            async with asyncio.timeout(10):
                while not rows.count_documents({"lease_until": {"$exists": True}}):
                    await asyncio.sleep(0.02)
        deaf.close()
        assert not mail.taken
        rows.update_many({}, {"$set": {"lease_until": datetime.now(UTC)}})  # its time is over
        at = {"GEMGEM_MAIL__PORT": str(mail.port)}
        async with running({**environment, **at}, "worker"):
            code = await mail.code("jiu@example.com")
            async with asyncio.timeout(10):
                while rows.count_documents({"status": "done"}) < 1:
                    await asyncio.sleep(0.02)
    assert len(code) == 9
    assert len(mail.taken) == 1
    assert rows.count_documents({}) == 1
