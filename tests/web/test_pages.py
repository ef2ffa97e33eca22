"""The served pages: their policy, their files, and nothing beside them."""

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from handlers.rest.pages import VENDOR, add_pages
from tests.web.runtime import ROOT, WEB

Client = TestClient[web.Request, web.Application]
Serve = Callable[[Path], Awaitable[Client]]


@pytest.fixture
def serve(aiohttp_client: Callable[[web.Application], Awaitable[Client]]) -> Serve:
    """Return a function that serves the pages of a repository."""

    async def start(root: Path) -> Client:
        app = web.Application()
        add_pages(app, root)
        return await aiohttp_client(app)

    return start


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a repository whose packages are installed, each file holding its own path."""
    shutil.copytree(WEB / "console", tmp_path / "web" / "console")
    for path in VENDOR.values():
        file = tmp_path / "web" / "node_modules" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    return tmp_path


async def test_home_leads_to_the_console(serve: Serve, installed: Path) -> None:
    client = await serve(installed)
    for path in ("/", "/console/"):
        async with client.get(path, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "/console")


async def test_the_console_allows_its_own_files_and_its_import_map_alone(
    serve: Serve, installed: Path
) -> None:
    client = await serve(installed)
    async with client.get("/console") as answer:
        text = await answer.text()
        assert answer.status == 200
        assert answer.content_type == "text/html"
        headers = answer.headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    inline = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", text, re.DOTALL)
    assert len(inline) == 1
    digest = base64.b64encode(hashlib.sha256(inline[0].encode()).digest()).decode()
    assert policy == {
        "default-src": "'none'",
        "script-src": f"'self' 'sha256-{digest}'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "style=" not in text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)


async def test_every_module_the_page_asks_for_is_served(serve: Serve, installed: Path) -> None:
    client = await serve(installed)
    index = (WEB / "console" / "index.html").read_text()
    imports = json.loads(re.findall(r"importmap\">(.*?)</script>", index, re.DOTALL)[0])["imports"]
    wanted = {*re.findall(r'(?:src|href)="(/[^"]+)"', index), *imports.values()}
    for module in sorted((WEB / "console").rglob("*.js")):
        for name in re.findall(r'^(?:import|export)[^;]*?from "([^"]+)"', module.read_text(), re.M):
            if name.startswith("."):
                target = (module.parent / name).resolve().relative_to(WEB / "console")
                wanted.add(f"/console/{target.as_posix()}")
            else:
                assert name in imports, f"{module.name} imports {name}, which is not in the map"
    assert len(wanted) > 15
    for path in sorted(wanted):
        async with client.get(path) as answer:
            assert answer.status == 200, path
            expected = "text/css" if path.endswith(".css") else "text/javascript"
            assert answer.content_type == expected, path
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/console", "/console/main.js", "/vendor/preact.js"])
async def test_a_file_the_browser_has_is_not_sent_again(
    serve: Serve, installed: Path, path: str
) -> None:
    client = await serve(installed)
    async with client.get(path) as first:
        tag = first.headers["ETag"]
        assert first.headers["Cache-Control"] == "no-cache"
    async with client.get(path, headers={"If-None-Match": tag}) as again:
        assert (again.status, await again.read()) == (304, b"")
    async with client.get(path, headers={"If-None-Match": '"another"'}) as other:
        assert other.status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/console/index.htm",
        "/console/nothing.js",
        "/console/..%2Fpackage.json",
        "/console/..%2Fnode_modules%2Fpreact%2Fdist%2Fpreact.mjs",
        "/console/%2Fetc%2Fpasswd",
        "/vendor/..%2Fpackage.json",
        "/vendor/preact",
        "/vendor/socket.io-client%2Fpackage.json",
    ],
)
async def test_nothing_else_is_served(serve: Serve, installed: Path, path: str) -> None:
    (installed / "web" / "package.json").write_text("{}")
    client = await serve(installed)
    async with client.get(path) as answer:
        assert answer.status == 404
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_without_packages_the_page_says_what_to_run(serve: Serve, installed: Path) -> None:
    (installed / "web" / "node_modules" / VENDOR["uplot.js"]).unlink()
    client = await serve(installed)
    async with client.get("/console") as answer:
        assert answer.status == 503
        assert "./scripts/setup" in await answer.text()
        assert answer.headers["Cache-Control"] == "no-store"
    async with client.get("/vendor/uplot.js") as answer:
        assert answer.status == 404
    (installed / "web" / "node_modules" / VENDOR["uplot.js"]).write_text("now it is")
    async with client.get("/console") as answer:
        assert answer.status == 200


def test_a_page_with_a_second_inline_script_is_refused_at_start(installed: Path) -> None:
    index = installed / "web" / "console" / "index.html"
    index.write_text(index.read_text().replace('<script type="importmap">', "<script>"))
    with pytest.raises(ValueError, match="exactly one import map"):
        add_pages(web.Application(), installed)


def test_the_lock_file_names_no_place_and_every_package_has_a_digest() -> None:
    lock: dict[str, Any] = json.loads((WEB / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert all("resolved" not in entry for entry in packages.values())
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())
    served = {path.split("/", 1)[0] for path in VENDOR.values()}
    assert {f"node_modules/{name}" for name in served} <= packages.keys()
    assert (ROOT / "web" / ".npmrc").read_text().startswith("omit-lockfile-registry-resolved=true")
