"""`serve --embedded` as a process: what it prints, what the other commands make of it, its end."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.flows.client import connected
from tests.flows.test_play import fist, start_of

ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def command(*words: str, **env: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command of gemgem; it is killed if the test did not end it."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GEMGEM_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "server",
        *words,
        cwd=ROOT,
        env={**clean, **env},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def exports_of(process: asyncio.subprocess.Process) -> dict[str, str]:
    """Read the lines that `serve --embedded` prints for the other commands."""
    assert process.stdout is not None
    found: dict[str, str] = {}
    async with asyncio.timeout(40):
        while "GEMGEM_URL" not in found:
            line = (await process.stdout.readline()).decode()
            match = re.fullmatch(r"export (GEMGEM_\w+)='?([^'\n]+)'?\n", line)
            assert match, f"not an export line: {line!r}"
            found[match[1]] = match[2]
    return found


async def run(*words: str, **env: str) -> tuple[int, str, str]:
    """Run a command to its end."""
    async with command(*words, **env) as process:
        out, err = await asyncio.wait_for(process.communicate(), 30)
        return process.returncode or 0, out.decode(), err.decode()


async def test_what_it_prints_is_what_the_other_commands_need(tmp_path: Path) -> None:
    async with command("serve", "--embedded", "--data", str(tmp_path), "--port", "0") as server:
        env = await exports_of(server)
        status, token, _ = await run("token", "--role", "guardian", "--child", "kid", **env)
        assert status == 0
        async with connected(env["GEMGEM_URL"], "/game", token.strip()) as client:
            session_id = (await client.open("kid"))["session_id"]
            played = fist(1)
            await client.ok("set:start", 0, start_of(played))
            sent = played.messages(2)
            for n, message in enumerate(sent):
                await client.say("frames", n + 1, message.payload)
            await client.ok("set:end", len(sent) + 1, {"set_no": 1})
            await client.ok("session:close", len(sent) + 2, {"reason": "done"})
        status, out, err = await run("rescore", session_id, "--json", **env)
        assert status == 0, err
        assert '"equal": true' in out
        server.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(server.wait(), 20) == 0
    # The data is kept: what was played is still there the next time.
    async with command("serve", "--embedded", "--data", str(tmp_path), "--port", "0") as server:
        env = await exports_of(server)
        headers = {"Authorization": f"Bearer {token.strip()}"}
        url = f"{env['GEMGEM_URL']}/v1/children/kid/results"
        async with aiohttp.ClientSession(headers=headers) as http, http.get(url) as answer:
            assert [r["sessionId"] for r in (await answer.json())["items"]] == [session_id]
        server.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(server.wait(), 20) == 0


@pytest.mark.parametrize(
    ("words", "env", "said"),
    [
        (("serve",), {}, "GEMGEM_MONGO_URL"),
        (("serve",), {"GEMGEM_HTTP__PORT": "many"}, "setting http.port"),
        (
            ("serve",),
            {"GEMGEM_MONGO_URL": "mongodb://127.0.0.1:9", "GEMGEM_REDIS_URL": "redis://x"},
            "GEMGEM_DEV_KEY",
        ),
        (("token", "--role", "guardian"), {}, "GEMGEM_DEV_KEY"),
        (("rescore", "s_x"), {}, "GEMGEM_MONGO_URL"),
    ],
)
async def test_what_is_missing_is_said_in_one_line(
    words: tuple[str, ...], env: dict[str, str], said: str
) -> None:
    status, out, err = await run(*words, **env)
    assert status == 2
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


async def test_a_childs_token_is_bound_to_one_child(tmp_path: Path) -> None:
    status, _, err = await run("token", "--role", "child", GEMGEM_DEV_KEY=str(ROOT / "README.md"))
    assert status == 2
    assert "exactly one --child" in err
