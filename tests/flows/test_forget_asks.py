"""`gemgem forget` at a terminal: it erases when the id is typed, and never else."""

import asyncio
import os
import pty
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.settings import Settings
from server.app import ROOT
from server.lifespan import PARTS
from tests.flows.people import Town, town


@pytest.fixture
async def here(settings: Settings, tmp_path: Path) -> AsyncIterator[Town]:
    """Run a server."""
    async with town(settings, tmp_path) as running:
        await running.served.app[PARTS].background.indexes.made.wait()
        yield running


async def asked(settings: Settings, user_id: str, typed: bytes) -> tuple[int, str]:
    """Run the command at a terminal of its own, and type; return its status and what it said."""
    assert settings.mongo_url is not None
    assert settings.redis_url is not None
    ours, its = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "forget", user_id),
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "GEMGEM_MONGO_URL": settings.mongo_url.get_secret_value(),
            "GEMGEM_REDIS_URL": settings.redis_url.get_secret_value(),
            "GEMGEM_DEV_KEY": str(settings.dev_key),
            "GEMGEM_STORE__MONGO_DATABASE": settings.store.mongo_database,
            "GEMGEM_STORE__REDIS_PREFIX": settings.store.redis_prefix,
        },
        stdin=its,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    os.close(its)
    os.write(ours, typed)
    try:
        async with asyncio.timeout(40):
            said, _ = await process.communicate()
    finally:
        os.close(ours)
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, said.decode()


@pytest.mark.parametrize(
    ("answer", "erased"),
    [("{id}\n", True), ("yes\n", False), ("\n", False), ("\x04", False)],
    ids=["the id", "yes", "nothing", "end of input"],
)
async def test_an_account_is_erased_when_its_id_is_typed(
    here: Town, answer: str, erased: bool
) -> None:
    person = here.person()
    person.keep(await person.sign_up("jiu@example.com"))
    user_id = (await person.me())["id"]
    typed = answer.replace("{id}", user_id).encode()
    status, said = await asked(here.served.settings, user_id, typed)
    assert f"Erase {user_id} (local)?" in said
    assert "Traceback" not in said
    if erased:
        assert (status, "withdrawn" in said) == (0, True), said
        assert (await person.sign_in("jiu@example.com")).status == 401
    else:
        assert (status, "nothing was erased" in said) == (2, True), said
        assert (await person.me())["status"] == "active"
