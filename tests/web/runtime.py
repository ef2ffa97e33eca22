"""The outside programs of these tests, Node.js and Chromium: found here, or the test is skipped."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web"
SCRIPTS = Path(__file__).resolve().parent
ARTIFACTS = ROOT / "artifacts"

REQUIRE = "GEMGEM_REQUIRE_BROWSER"
"""Set, for instance in CI: a test that cannot run fails instead of being skipped."""

_BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def node() -> str:
    """Return the path of a Node.js, the environment's own or the machine's."""
    beside = Path(sys.executable).with_name("node")
    found = str(beside) if beside.exists() else shutil.which("node")
    return found or _missing("no Node.js: run ./scripts/setup")


def packages() -> Path:
    """Return the folder of the page's installed packages."""
    folder = WEB / "node_modules"
    if not all(
        (folder / name).is_dir() for name in ("socket.io-client", "socket.io-msgpack-parser")
    ):
        _missing("the page's packages are not installed: run ./scripts/setup")
    return folder


def chromium() -> str:
    """Return the path of a Chromium; `CHROMIUM` names another than the usual ones."""
    for name in (os.environ.get("CHROMIUM"), *_BROWSERS):
        found = shutil.which(name) if name else None
        if found:
            return found
    return _missing("no Chromium on this machine: install the package chromium")


def run_node(*arguments: str, seconds: float = 60) -> str:
    """Run Node.js to its end and return what it printed; its complaints fail the test."""
    done = subprocess.run(
        [node(), *arguments], capture_output=True, text=True, timeout=seconds, cwd=ROOT, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


async def run_told(
    *command: str | Path, plan: dict[str, Any], seconds: float = 60
) -> dict[str, Any]:
    """Run a program that reads a plan and prints what came of it, both JSON."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate(json.dumps(plan).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    told: dict[str, Any] = json.loads(out)
    return told


async def play_told(plan: dict[str, Any]) -> dict[str, Any]:
    """Let the JavaScript client play a plan; return what came of it."""
    return await run_told(node(), SCRIPTS / "player.mjs", plan=plan, seconds=40)


def _missing(reason: str) -> NoReturn:
    if os.environ.get(REQUIRE):
        pytest.fail(f"{REQUIRE} is set, but there is {reason}")
    pytest.skip(reason)
