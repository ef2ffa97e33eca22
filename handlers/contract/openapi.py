"""The OpenAPI 3.1 document, made from the table of routes that is served."""

import inspect
import sys
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from config.version import VERSION
from handlers.contract.parts import (
    ERROR_SCHEMA,
    PARAMETERS,
    REPLAY,
    RESPONSE_HEADERS,
    error_list,
    error_response,
    response_name,
)
from handlers.routing.routes import Route
from handlers.routing.signature import Parameter
from models.accounts.records import Role
from models.codes import ERRORS

Json = dict[str, Any]

Refs = dict[Any, Json]
"""A reference for each model and mode."""
REF = "#/components/schemas/{model}"


def openapi(rows: Iterable[Route]) -> Json:
    """Return the document of the routes, in their order; the same routes give the same document."""
    rows = tuple(rows)
    refs, schemas = _schemas(rows)
    responses: Json = {}
    paths: dict[str, Json] = {}
    for row in rows:
        operation = _operation(row, refs, responses)
        paths.setdefault(row.public_path, {})[row.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gemgem",
            "version": VERSION,
            "summary": "Game-based hand rehabilitation of children: the REST interface.",
            "description": (
                'Names are camelCase, times UTC. Every refusal is `{"error": {code, message, '
                "details?, retry_ms?, trace_id}}`; the codes are those of the live protocol, "
                "described in `/asyncapi.json`."
            ),
        },
        "servers": [{"url": "/"}],
        "tags": _tags(rows),
        "x-errors": error_list(),
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR_SCHEMA, **schemas},
            "responses": dict(sorted(responses.items())),
            "parameters": PARAMETERS,
            "headers": RESPONSE_HEADERS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def _schemas(rows: Iterable[Route]) -> tuple[Refs, Json]:
    """Return a reference for each model of the routes, and what they lead to."""
    models: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
    for row in rows:
        if row.signature.body is not None:
            models[row.signature.body[1], "validation"] = None
        if row.signature.answer is not None:
            models[row.signature.answer, "serialization"] = None
    refs, definitions = models_json_schema(list(models), by_alias=True, ref_template=REF)
    return {**refs}, dict(sorted(definitions.get("$defs", {}).items()))


def _tags(rows: Iterable[Route]) -> list[Json]:
    tags: dict[str, Json] = {}
    for row in rows:
        doc = inspect.getdoc(sys.modules[row.handler.__module__]) or ""
        tags.setdefault(row.tag, {"name": row.tag, "description": doc.partition("\n")[0]})
    return list(tags.values())


def _operation(row: Route, refs: Refs, responses: Json) -> Json:
    title, _, rest = (inspect.getdoc(row.handler) or "").partition("\n")
    operation: Json = {
        "tags": [row.tag],
        "operationId": row.handler.__name__,
        "summary": title,
        "description": "\n\n".join(part for part in (rest.strip(), *_terms(row)) if part),
        "security": [] if row.policy.public else [{"bearer": []}],
        "parameters": _parameters(row),
    }
    signature = row.signature
    if signature.body is not None:
        schema = refs[signature.body[1], "validation"]
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    elif signature.raw is not None:
        operation["requestBody"] = {"required": False, "content": {"*/*": {"schema": {}}}}
    operation["responses"] = {str(row.status): _success(row, refs)}
    statuses: dict[int, list[str]] = {}
    for code in sorted(row.codes):
        statuses.setdefault(ERRORS[code].status, []).append(code.value)
    for status, codes in sorted(statuses.items()):
        name = response_name(codes)
        responses[name] = error_response(codes)
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/{name}"}
    return operation


def _terms(row: Route) -> list[str]:
    """Return the sentences on who may call the route, and how often."""
    policy = row.policy
    said = []
    if policy.signed is not None:
        return [f"For {policy.signed.by} alone, by signature; never answered 429."]
    if policy.public:
        said.append("Nobody has to sign in.")
    else:
        roles = ", ".join(role.value for role in Role if role in policy.roles)
        theirs = ", each for children they may reach" if policy.child is not None else ""
        said.append(f"For: {roles}{theirs}.")
    if policy.scopes:
        said.append(f"A service needs: {', '.join(sorted(policy.scopes))}.")
    if policy.reason:
        said.append("An admin says why in `X-Reason`.")
    if policy.fresh_seconds is not None:
        said.append(f"The sign-in may be {policy.fresh_seconds} s old at most.")
    said.append(f"Limit: `{row.limit}`.")
    return [" ".join(said)]


def _parameters(row: Route) -> list[Json]:
    signature = row.signature
    found = [_parameter(p, "path") for p in signature.path]
    if signature.query is not None:
        found += _query(signature.query[1])
    found += [_parameter(p, "header") for p in signature.headers]
    shared = ["RequestId", "AcceptLanguage"]
    if row.idempotent:
        shared.insert(0, "IdempotencyKey")
    if row.policy.reason:
        shared.insert(0, "Reason")
    return found + [{"$ref": f"#/components/parameters/{name}"} for name in shared]


def _parameter(parameter: Parameter, place: str) -> Json:
    schema = parameter.adapter.json_schema()
    out: Json = {"name": parameter.wire_name, "in": place, "required": parameter.needed}
    if "description" in schema:
        out["description"] = schema.pop("description")
    return {**out, "schema": schema}


def _query(model: type[BaseModel]) -> list[Json]:
    schema = model.model_json_schema(by_alias=True, ref_template="{model}")
    needed = set(schema.get("required", ()))
    found = []
    for name, property_ in schema.get("properties", {}).items():
        one = _inlined(property_, schema.get("$defs", {}))
        out: Json = {"name": name, "in": "query", "required": name in needed}
        if "description" in one:
            out["description"] = one.pop("description")
        found.append({**out, "schema": _unless_null(one)})
    return found


def _inlined(part: Any, definitions: Json) -> Any:
    """Return a schema with what it refers to in place."""
    if isinstance(part, list):
        return [_inlined(one, definitions) for one in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        part = {**definitions[part["$ref"]], **{k: v for k, v in part.items() if k != "$ref"}}
    return {name: _inlined(value, definitions) for name, value in part.items()}


def _unless_null(schema: Json) -> Json:
    """Return a schema without null: a query leaves out what it does not say."""
    choices = [c for c in schema.get("anyOf", ()) if c != {"type": "null"}]
    if len(choices) != 1:
        return schema
    return {**{k: v for k, v in schema.items() if k not in ("anyOf", "default")}, **choices[0]}


def _success(row: Route, refs: Refs) -> Json:
    headers: Json = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    if row.idempotent:
        headers["Idempotent-Replay"] = REPLAY
    out: Json = {"description": "Done.", "headers": headers}
    if row.signature.answer is not None:
        schema = refs[row.signature.answer, "serialization"]
        out["content"] = {"application/json": {"schema": schema}}
    return out
