"""The nginx configuration, run by a real nginx before a small server."""

import asyncio
import io
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

CONFIGURATION = Path(__file__).parents[1] / "nginx" / "gemgem.conf"
pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configure(folder: Path, workers: int, port: int) -> Path:
    """Write the configuration with the two ports of this test in the place of its own."""
    text = CONFIGURATION.read_text()
    for its, ours in (
        ("server 127.0.0.1:8080;", f"server 127.0.0.1:{workers};"),
        ("listen 80;", f"listen 127.0.0.1:{port};"),
    ):
        assert text.count(its) == 1
        text = text.replace(its, ours)
    (folder / "gateway.conf").write_text(text)
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr;\nevents {{}}\n"
        f"http {{\n{paths}include {folder}/gateway.conf;\n}}\n"
    )
    return main


async def echo(request: web.Request) -> web.StreamResponse:
    if request.headers.get("Upgrade") != "websocket":
        headers = {name.lower(): value for name, value in request.headers.items()}
        return web.json_response({"path": request.path, "headers": headers})
    connection = web.WebSocketResponse()
    await connection.prepare(request)
    async for message in connection:
        await connection.send_bytes(message.data)
    return connection


async def has_started(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[str]:
    app = web.Application(client_max_size=4 << 20)
    app.router.add_route("*", "/{path:.*}", echo)
    async with TestServer(app) as workers:
        assert workers.port is not None
        port = free_port()
        main = configure(tmp_path, workers.port, port)
        nginx = await asyncio.create_subprocess_exec(
            "nginx", "-c", str(main), "-p", str(tmp_path), stderr=subprocess.PIPE
        )
        try:
            async with asyncio.timeout(10):
                while not await has_started(port):
                    assert nginx.returncode is None
                    await asyncio.sleep(0.02)
            yield f"http://127.0.0.1:{port}"
        finally:
            if nginx.returncode is None:
                nginx.terminate()
            await nginx.communicate()


async def test_upgrades_pass_with_the_address_that_nginx_sees(gateway: str) -> None:
    forged = {"X-Forwarded-For": "192.0.2.1"}
    async with aiohttp.ClientSession() as client:
        async with client.ws_connect(f"{gateway}/socket.io/?EIO=4&transport=websocket") as line:
            await line.send_bytes(b"frame")
            assert await line.receive_bytes(timeout=5) == b"frame"
        for path in ("/socket.io/", "/v1/children"):
            async with client.get(f"{gateway}{path}", headers=forged) as response:
                seen = await response.json()
            assert seen["path"] == path
            assert seen["headers"]["x-forwarded-for"] == "127.0.0.1"
            assert seen["headers"]["x-request-id"]
            assert "connection" not in seen["headers"]


async def test_metrics_and_large_bodies_stop_at_the_gateway(gateway: str) -> None:
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{gateway}/metrics") as response:
            assert response.status == 404
        for size, status in ((1 << 20, 200), ((1 << 20) + 1, 413)):
            body = io.BytesIO(bytes(size))
            async with client.post(f"{gateway}/v1/children", data=body) as response:
                assert response.status == status
