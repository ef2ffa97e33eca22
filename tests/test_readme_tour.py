"""The tour of the README, run for real: every command, in its order, against `serve --embedded`."""

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest

from tests.server.test_serve import ROOT, command, exports_of

TOUR_S = 150
GEMGEM = 'gemgem() { .venv/bin/python -m server "$@"; }\n'


def tour_of(page: str) -> str:
    """Return the commands of a page's tour."""
    found: list[str] = re.findall(r"```sh tour\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert len(found) == 1
    return found[0]


@pytest.mark.timeout(TOUR_S + 60)
async def test_every_command_of_the_tour_does_what_it_says(tmp_path: Path) -> None:
    cheap = {"GEMGEM_ACCOUNT__HASH_MEMORY_KIB": "19456", "GEMGEM_PWNED__URL": ""}
    async with command(
        "serve", "--embedded", "--data", str(tmp_path), "--port", "0", **cheap
    ) as server:
        env = {**await exports_of(server), **cheap, "GEMGEM_DATA": str(tmp_path)}
        clean = {k: v for k, v in os.environ.items() if not k.startswith("GEMGEM_")}
        shell = await asyncio.create_subprocess_exec(
            "bash",
            "-euo",
            "pipefail",
            "-c",
            GEMGEM + tour_of("README.md"),
            cwd=ROOT,
            env={**clean, **env},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(shell.communicate(), TOUR_S)
        finally:
            if shell.returncode is None:
                shell.kill()
                await shell.communicate()
        said = out.decode()
        assert shell.returncode == 0, said + err.decode()
        assert '"emailVerified":true' in said
        assert '"status":"active"' in said
        assert '"role":"therapist"' in said
        assert '"sessionId":"s_' in said
        assert '"errors": 0' in err.decode()
        assert said.endswith("404\n")
        server.send_signal(signal.SIGTERM)
        await asyncio.wait_for(server.wait(), 20)


def test_both_languages_have_the_same_tour() -> None:
    assert tour_of("README.md") == tour_of("README.ko.md")
