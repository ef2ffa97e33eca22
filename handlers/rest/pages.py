"""The browser pages: the live console and the packages it imports, under a strict policy."""

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from aiohttp import web

TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }
)

# What a page may import from web/node_modules, by name in its import map; nothing else goes out.
VENDOR: Mapping[str, str] = MappingProxyType(
    {
        "htm.js": "htm/dist/htm.module.js",
        "preact.js": "preact/dist/preact.mjs",
        "preact-hooks.js": "preact/hooks/dist/hooks.mjs",
        "socket.io.js": "socket.io-client/dist/socket.io.esm.min.js",
        "uplot.css": "uplot/dist/uPlot.min.css",
        "uplot.js": "uplot/dist/uPlot.esm.js",
    }
)

NOT_INSTALLED = (
    "The page's packages are not installed: run ./scripts/setup\n"
    "페이지에 필요한 패키지가 없습니다: ./scripts/setup 을 실행하세요\n"
)

_IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)

_EVERY_ANSWER = MappingProxyType(
    {
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        # Kept by the browser, asked about each time: a new release shows at the next load.
        "Cache-Control": "no-cache",
    }
)


def add_pages(app: web.Application, root: Path) -> None:
    """Serve `/console` and `/vendor` from the repository at `root`; `/` leads to the console.

    The pages are read from `root/web/console`, their packages from `root/web/node_modules`. Without
    the packages the page answers 503 with the command that installs them. Files are listed once,
    here: a request can only name one of them.
    """
    pages = _Pages(root / "web")
    app.router.add_get("/", pages.home)
    app.router.add_get("/console", pages.console)
    app.router.add_get("/console/", pages.home)
    app.router.add_get("/console/{name:.+}", pages.part)
    app.router.add_get("/vendor/{name}", pages.vendor)


class _Pages:
    def __init__(self, web_root: Path) -> None:
        folder = web_root / "console"
        self._parts = {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"))
            if path.suffix in TYPES and path.is_file()
        }
        self._vendor = {name: web_root / "node_modules" / path for name, path in VENDOR.items()}
        index = (folder / "index.html").read_bytes()
        self._index = index
        self._index_tag = hashlib.sha256(index).hexdigest()[:32]
        self._policy = _policy(index.decode())

    async def home(self, _request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/console", headers=_EVERY_ANSWER)

    async def console(self, request: web.Request) -> web.StreamResponse:
        if not all(path.is_file() for path in self._vendor.values()):
            headers = {**_EVERY_ANSWER, "Cache-Control": "no-store"}
            return web.Response(status=503, text=NOT_INSTALLED, headers=headers)
        headers = {
            **_EVERY_ANSWER,
            "Content-Security-Policy": self._policy,
            "ETag": f'"{self._index_tag}"',
        }
        known = request.if_none_match or ()
        if any(tag.value in (self._index_tag, "*") for tag in known):
            return web.Response(status=304, headers=headers)
        return web.Response(
            body=self._index, content_type="text/html", charset="utf-8", headers=headers
        )

    async def part(self, request: web.Request) -> web.StreamResponse:
        return _file(self._parts.get(request.match_info["name"]))

    async def vendor(self, request: web.Request) -> web.StreamResponse:
        return _file(self._vendor.get(request.match_info["name"]))


def _file(path: Path | None) -> web.StreamResponse:
    if path is None or not path.is_file():
        raise web.HTTPNotFound(headers=_EVERY_ANSWER)
    kind = TYPES.get(path.suffix, TYPES[".js"])  # modules also end in .mjs
    return web.FileResponse(path, headers={**_EVERY_ANSWER, "Content-Type": kind})


def _policy(index: str) -> str:
    """Return the page's Content-Security-Policy: own files only, and its one import map by hash."""
    found = _IMPORT_MAP.findall(index)
    if len(found) != 1:
        raise ValueError("web/console/index.html needs exactly one import map")
    digest = base64.b64encode(hashlib.sha256(found[0].encode()).digest()).decode()
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'sha256-{digest}'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
