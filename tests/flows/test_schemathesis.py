"""Every route against made-up requests: none fails, none answers what its document does not say.

The routes are read from the document the server serves: one that is added is tried by itself.
"""

import asyncio
import sys
from pathlib import Path

import pytest

from config.settings import Settings
from handlers.rest.tables import ROUTES
from handlers.routing import PUBLIC, PublicCall, Routes
from models.accounts.records import Role
from models.errors import AppError, ErrorCode
from tests.flows.people import town
from tests.handlers.routing.sample import Notes
from tests.serving import Served, serving

TRIED = 8
"""Requests made up for each route, besides those at the edges of its schema."""
CONFIG = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]
"""
"""503 is what a part that is away looks like: here the services of other companies."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "ignored_auth",
    "unsupported_method",
    "allow_header_conformance",
)
EVERYBODY = (Role.GUARDIAN, Role.THERAPIST, Role.ADMIN, Role.SERVICE)


async def tried(served: Served, tmp_path: Path) -> tuple[int, str]:
    """Let schemathesis loose on the server; return its exit status and what it found."""
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    token = served.token(Role.GUARDIAN, "*", roles=EVERYBODY, scope="notes:read")
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{served.url}/openapi.json",
        f"--header=Authorization: Bearer {token}",
        f"--checks={','.join(CHECKS)}",
        "--phases=examples,coverage,fuzzing",
        f"--max-examples={TRIED}",
        "--seed=1",
        "--generation-deterministic",
        "--suppress-health-check=all",
        "--no-color",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


@pytest.mark.timeout(180)
async def test_no_request_is_answered_otherwise_than_documented(
    unlimited: Settings, tmp_path: Path
) -> None:
    # With everybody they ask: a provider that is not there is a 503, which would hide others.
    async with town(unlimited, tmp_path, (*ROUTES, *Notes().routes())) as here:
        status, found = await tried(here.served, tmp_path)
    assert status == 0, found


@pytest.mark.timeout(180)
async def test_a_code_that_is_not_declared_is_found(unlimited: Settings, tmp_path: Path) -> None:
    routes = Routes("/v1", tag="broken")

    @routes.get("/broken", policy=PUBLIC)
    async def refuse(call: PublicCall) -> None:
        """Refuse with a code that the route does not name."""
        raise AppError(ErrorCode.CONFLICT, "No.")

    async with serving(unlimited, routes.rows) as served:
        status, found = await tried(served, tmp_path)
    assert status == 1
    assert "409" in found
    assert "Undocumented" in found
