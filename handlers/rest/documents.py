"""The interface described: `/openapi.json`, `/asyncapi.json`, and `/docs`, which shows both."""

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from handlers.contract.asyncapi import asyncapi
from handlers.contract.openapi import openapi
from handlers.contract.written import as_json
from handlers.routing.routes import Route

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript"}


@dataclass(frozen=True, slots=True)
class _Document:
    body: bytes
    kind: str

    @property
    def tag(self) -> str:
        return hashlib.sha256(self.body).hexdigest()[:32]

    def answer(self, request: web.Request) -> web.Response:
        headers = {
            "Cache-Control": "no-cache",
            "Content-Security-Policy": POLICY,
            "ETag": f'"{self.tag}"',
        }
        if any(tag.value in (self.tag, "*") for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(
            body=self.body, content_type=self.kind, charset="utf-8", headers=headers
        )


# Both are kept: they take longer than all else an application is built of and are of their tables
# alone, so a process that builds several applications writes them once.
@functools.lru_cache(maxsize=4)
def _rest(rows: tuple[Route, ...]) -> _Document:
    return _Document(as_json(openapi(rows)).encode(), "application/json")


@functools.cache
def _live() -> _Document:
    return _Document(as_json(asyncapi()).encode(), "application/json")


def add_documents(app: web.Application, rows: Iterable[Route], root: Path) -> None:
    """Serve the two documents, made once, and the page below `root/web/docs`."""
    folder = root / "web" / "docs"
    parts = {
        path.name: _Document(path.read_bytes(), _TYPES[path.suffix])
        for path in sorted(folder.iterdir())
        if path.suffix in _TYPES
    }
    written = {"/openapi.json": _rest(tuple(rows)), "/asyncapi.json": _live()}

    async def document(request: web.Request) -> web.Response:
        return written[request.path].answer(request)

    async def page(request: web.Request) -> web.Response:
        return parts["index.html"].answer(request)

    async def part(request: web.Request) -> web.Response:
        found = parts.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        return found.answer(request)

    app.router.add_get("/openapi.json", document)
    app.router.add_get("/asyncapi.json", document)
    app.router.add_get("/docs", page)
    app.router.add_get("/docs/{name}", part)
