"""Reading a request: each part validated, each fault named with where it is."""

import functools
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from pydantic import ValidationError

from handlers.routing.shapes import Body, Query
from handlers.routing.signature import Parameter
from models.errors import AppError, ErrorCode

FAULTS = 10
"""Faults of one request that are named."""
REASON_LENGTHS = range(3, 201)


def refusal(error: ValidationError, part: str) -> AppError:
    """Return what a caller is told of a part that does not fit: where and what, never the value."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    named = [
        {"at": ".".join((part, *map(str, fault["loc"]))), "problem": fault["msg"]}
        for fault in faults[:FAULTS]
    ]
    first = "; ".join(f"`{f['at']}` {f['problem']}" for f in named[:3])
    return AppError(ErrorCode.INVALID, f"{first}.", details={"faults": named})


def read_parameter(parameter: Parameter, text: str | None, part: str) -> Any:
    """Return the value of a path parameter or a header."""
    if text is None and not parameter.needed:
        return None
    try:
        return parameter.adapter.validate_python(text)
    except ValidationError as error:
        raise refusal(error, f"{part}.{parameter.wire_name}") from error


def read_query(model: type[Query] | None, request: web.Request) -> Query | None:
    """Return the validated query; a route without one takes no names at all."""
    given: dict[str, Any] = {}
    lists = _list_names(model) if model is not None else frozenset()
    for name, value in request.query.items():
        if name in lists:
            given.setdefault(name, []).append(value)
        elif name in given:
            raise _invalid(f"query.{_shown(name)} is given twice.")
        else:
            given[name] = value
    if model is None:
        if given:
            raise _invalid(f"query.{_shown(next(iter(given)))}: this route takes no query.")
        return None
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise refusal(error, "query") from error


@functools.cache
def _list_names(model: type[Query]) -> frozenset[str]:
    properties: Mapping[str, Any] = model.model_json_schema(by_alias=True)["properties"]
    return frozenset(name for name, one in properties.items() if one.get("type") == "array")


async def read_body(model: type[Body], request: web.Request) -> tuple[Body, bytes]:
    """Return the validated JSON body, and its bytes."""
    if request.content_type != "application/json":
        raise AppError(
            ErrorCode.UNSUPPORTED_MEDIA_TYPE, "header.Content-Type: send application/json."
        )
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise AppError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "header.Content-Type: JSON is UTF-8.")
    raw = await request.read()
    try:
        return model.model_validate_json(raw), raw
    except ValidationError as error:
        raise refusal(error, "body") from error


def read_reason(request: web.Request) -> str | None:
    """Return what `X-Reason` says: UTF-8, percent-encoded where it is not ASCII."""
    text = request.headers.get("X-Reason")
    if text is None:
        return None
    try:
        reason = unquote(text, errors="strict").strip()
    except UnicodeDecodeError as error:
        raise _invalid("header.X-Reason is not percent-encoded UTF-8.") from error
    if len(reason) not in REASON_LENGTHS or not reason.isprintable():
        raise _invalid("header.X-Reason takes 3 to 200 printable characters.")
    return reason


def _invalid(message: str) -> AppError:
    return AppError(ErrorCode.INVALID, message)


def _shown(name: str) -> str:
    """Return a name the client made up, fit for a message."""
    return name[:40] if name.isascii() and name.isprintable() else "?"
