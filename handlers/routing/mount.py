"""Putting the table of routes into the application."""

from collections import defaultdict
from collections.abc import Iterable

from aiohttp import web

from handlers.deps import Deps
from handlers.routing.endpoint import Endpoint
from handlers.routing.routes import Route


def mount(app: web.Application, rows: Iterable[Route], deps: Deps) -> None:
    """Serve the routes; each path answers HEAD beside GET, and OPTIONS with what it takes."""
    methods: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        endpoint = Endpoint(row, deps)
        app.router.add_route(row.method, row.path, endpoint.answer)
        methods[row.path].append(row.method)
        if row.method == "GET":
            app.router.add_route("HEAD", row.path, endpoint.answer)
            methods[row.path].append("HEAD")
    for path, taken in methods.items():
        allowed = ", ".join(sorted({*taken, "OPTIONS"}))

        async def options(_: web.Request, allowed: str = allowed) -> web.StreamResponse:
            return web.Response(status=204, headers={"Allow": allowed})

        app.router.add_route("OPTIONS", path, options)
