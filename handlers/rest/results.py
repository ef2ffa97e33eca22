"""`/v1/children/{childId}/results`: the stored results of a child, newest first."""

from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from handlers.auth import principal_of_header
from handlers.deps import Deps
from models.accounts.records import Role
from models.children.access import access_child

READERS = frozenset({Role.GUARDIAN, Role.THERAPIST, Role.ADMIN})


class Page(BaseModel):
    """How many results are asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=20, ge=1, le=200)


def add_results(app: web.Application, deps: Deps) -> None:
    """Add the route."""

    async def results(request: web.Request) -> web.Response:
        who = principal_of_header(deps.verifier, request.headers.get("Authorization"), READERS)
        child_id = access_child(who, request.match_info["childId"])
        page = Page.model_validate(dict(request.query))
        found = await deps.repo.list_results(child_id, page.limit)
        return web.json_response({"results": [_camel(result) for result in found]})

    app.router.add_get("/v1/children/{childId}/results", results)


def _camel(document: Any) -> Any:
    """Return a stored document as REST shows it: camelCase names, no envelope of the store."""
    if isinstance(document, dict):
        return {to_camel(k): _camel(v) for k, v in document.items() if k not in ("_id", "at")}
    if isinstance(document, list):
        return [_camel(part) for part in document]
    return document
