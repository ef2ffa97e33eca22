"""Who gets in where, asked of the running server: every route and event by every role.

The answers are compared with tests/golden/access.md. A route that is added appears there by
itself: run this file with GEMGEM_WRITE_GOLDEN=1, and read what changed as carefully as code.
"""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiohttp

from config.settings import Settings
from handlers.live.contract import CLIENT
from handlers.rest.tables import ROUTES
from handlers.routing import Call, PublicCall, Route
from handlers.routing.signature import Parameter
from models.accounts.records import Role
from models.errors import AppError, ErrorCode
from server.lifespan import PARTS
from tests.flows.client import RefusedError, connected
from tests.handlers.routing.sample import Notes
from tests.serving import Served, serving

GOLDEN = Path(__file__).parents[1] / "golden" / "access.md"
OWN, OTHER = "child-1", "child-2"
REASON = {"X-Reason": "a test of who gets in"}
HEAD = """# Who gets in

Made by tests/flows/test_access.py, which asks the running server. `in`: the handler is reached; a
number: refused with it; 404 is what somebody else's child looks like; `why` is the 400 of an admin
who gives no reason.
"""


@dataclasses.dataclass(frozen=True)
class Caller:
    """Somebody who asks."""

    title: str
    role: Role | None
    more: dict[str, Any] = dataclasses.field(default_factory=dict)
    child: str = OWN
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    def token(self, served: Served) -> str | None:
        """Return the caller's token: it reaches `child-1`, or is that child's own."""
        if self.role is None:
            return None
        more = {"child_id": OWN, **self.more} if self.role is Role.CHILD else self.more
        return served.token(self.role, OWN, **more)


ANYBODY = (
    Caller("nobody", None),
    Caller("guardian", Role.GUARDIAN),
    Caller("child", Role.CHILD),
    Caller("therapist", Role.THERAPIST),
    Caller("admin", Role.ADMIN, headers=REASON),
    Caller("admin, no reason", Role.ADMIN),
)
OTHERS = (
    Caller("guardian, other child", Role.GUARDIAN, child=OTHER),
    Caller("child, other child", Role.CHILD, child=OTHER),
    Caller("therapist, other child", Role.THERAPIST, child=OTHER),
    Caller("admin, other child", Role.ADMIN, child=OTHER, headers=REASON),
)
SERVICE = Caller("service, no scope", Role.SERVICE)


def reached(row: Route) -> Route:
    """Return a route that says when its handler would have been called."""

    async def handler(_: Call | PublicCall, **__: Any) -> None:
        raise AppError(ErrorCode.CONFLICT, "reached")

    return dataclasses.replace(row, handler=handler)


def scoped(row: Route) -> Caller:
    """Return a service that was granted what the route needs."""
    return Caller("service", Role.SERVICE, {"scope": " ".join(sorted(row.policy.scopes))})


def some(parameter: Parameter) -> str:
    """Return a value that a path parameter takes."""
    schema = parameter.adapter.json_schema()
    if "const" in schema or "enum" in schema:
        return str(schema.get("const") or schema["enum"][0])
    return "1" if schema.get("type") == "integer" else "1" * 12


async def outcome(http: aiohttp.ClientSession, served: Served, row: Route, who: Caller) -> str:
    """Ask for a route and return how it went."""
    path = row.path
    for parameter in row.signature.path:
        named = who.child if parameter.python_name == row.policy.child else some(parameter)
        path = path.replace(f"{{{parameter.python_name}}}", named)
    token = who.token(served)
    headers = {**who.headers, **({"Authorization": f"Bearer {token}"} if token else {})}
    async with http.request(row.method, served.url + path, headers=headers) as answer:
        error = (await answer.json())["error"]
    if answer.status in (401, 403, 404):
        return str(answer.status)
    if error["message"].startswith("header.X-Reason"):
        return "why"
    faults = error.get("details", {}).get("faults", [])
    assert not [one for one in faults if one["at"].startswith("path")], "never came to the door"
    # The handler, or what stands between it and a caller who got in: the body, the query.
    assert answer.status in (400, 409, 415), (row.name, who.title, error)
    return "in"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return a table in Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


async def routes_table(served: Served, rows: Iterable[Route], callers: tuple[Caller, ...],
                       *, service: bool) -> list[str]:  # fmt: skip
    """Return the table of some routes."""
    lines = []
    async with aiohttp.ClientSession() as http:
        for row in rows:
            asking = (*callers, SERVICE, scoped(row)) if service else callers
            cells = [await outcome(http, served, row, who) for who in asking]
            lines.append([f"`{row.name}`", *cells])
    titles = [c.title for c in callers] + ([SERVICE.title, "service"] if service else [])
    return table(["Route", *titles], lines)


async def events_table(served: Served) -> list[str]:
    """Return the table of the live events."""
    lines = []
    for namespace, events in CLIENT.items():
        cells: dict[str, list[str]] = {event: [] for event in events}
        for role in Role:
            for event, said in (await answers(served, namespace, role)).items():
                cells[event].append(said)
        lines += [[f"`{namespace}` `{event}`", *said] for event, said in cells.items()]
    return table(["Event", *Role], lines)


async def answers(served: Served, namespace: str, role: Role) -> dict[str, str]:
    """Send each event of a namespace, empty, and return whether it came to its handler."""
    token = Caller(role, role).token(served)
    try:
        async with connected(served.url, namespace, token) as client:
            codes = {e: await client.ask(e) for e in CLIENT[namespace]}
    except RefusedError:
        return dict.fromkeys(CLIENT[namespace], "403")
    refused = {ErrorCode.FORBIDDEN.value, ErrorCode.UNAUTHENTICATED.value}
    return {
        event: "403" if answer.get("error", {}).get("code") in refused else "in"
        for event, answer in codes.items()
    }


async def test_who_gets_in_is_what_was_agreed(unlimited: Settings) -> None:
    async with serving(unlimited, [reached(row) for row in ROUTES]) as served:
        await served.app[PARTS].background.indexes.made.wait()
        of_child = [row for row in ROUTES if row.policy.child is not None]
        parts = [
            [HEAD],
            ["## Routes", ""],
            await routes_table(served, ROUTES, ANYBODY, service=True),
            ["", "## Routes of a child, asked for another one", ""],
            await routes_table(served, of_child, OTHERS, service=False),
            ["", "## Events", ""],
            await events_table(served),
        ]
    found = "\n".join(line for part in parts for line in part) + "\n"
    if os.environ.get("GEMGEM_WRITE_GOLDEN"):
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()


async def test_the_matrix_sees_each_kind_of_refusal(settings: Settings) -> None:
    rows = {row.name: reached(row) for row in Notes().routes()}
    async with serving(settings, list(rows.values())) as served, aiohttp.ClientSession() as http:
        of_child = rows["GET /v1/children/{childId}/notes"]
        export = rows["GET /v1/exports"]
        seen = {
            who.title: await outcome(http, served, of_child, who)
            for who in (*ANYBODY, *OTHERS, SERVICE)
        }
        assert seen == {
            "nobody": "401",
            "guardian": "in",
            "child": "403",
            "therapist": "403",
            "admin": "in",
            "admin, no reason": "why",
            "guardian, other child": "404",
            "child, other child": "403",
            "therapist, other child": "403",
            "admin, other child": "404",
            "service, no scope": "403",
        }
        assert await outcome(http, served, export, SERVICE) == "403"
        assert await outcome(http, served, export, scoped(export)) == "in"
        assert await outcome(http, served, rows["POST /v1/hooks"], ANYBODY[0]) == "in"
