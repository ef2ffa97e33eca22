"""The contract as files: what is kept in the repository, compared by a test, read by people."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from handlers.contract.asyncapi import asyncapi
from handlers.contract.openapi import openapi
from handlers.contract.parts import error_list
from handlers.routing.routes import Route

_HEAD = """# Error codes

Made by `gemgem contract` from `models/codes.py`; REST and sockets share the list. A REST refusal is
`{"error": {code, message, details?, retry_ms?, trace_id}}`, the callback of an event gets the same
without `trace_id`. `message` is an English sentence for the developer, or the Korean text where
`Accept-Language` prefers it.

| Code | HTTP | Means | Try again? | Korean |
| --- | --- | --- | --- | --- |"""


def as_json(document: Mapping[str, Any]) -> str:
    """Return a document as it is served and kept."""
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def written(rows: Iterable[Route]) -> dict[str, str]:
    """Return the text of each file that is made of the tables, by its path in the repository."""
    return {
        "docs/openapi.json": as_json(openapi(rows)),
        "docs/asyncapi.json": as_json(asyncapi()),
        "docs/errors.md": errors_page(),
    }


def errors_page() -> str:
    """Return the page of the error codes."""
    rows = [
        f"| `{one['code']}` | {one['status']} | {one['english']} | {one['again']} | "
        f"{one['korean']} |"
        for one in error_list()
    ]
    return "\n".join((_HEAD, *rows)) + "\n"
