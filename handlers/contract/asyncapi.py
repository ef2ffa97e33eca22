"""The AsyncAPI 3.0 document of the live protocol, made from its table of events."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from config.version import VERSION
from handlers.contract.parts import ERROR_SCHEMA
from handlers.live.contract import CLIENT, SERVER, Said, Sent
from models.accounts.records import Role

Json = dict[str, Any]

REF = "#/components/schemas/{model}"


def asyncapi() -> Json:
    """Return the document; the same tables give the same document."""
    schemas: Json = {"Error": _refusal()}
    channels: Json = {}
    operations: Json = {}
    for namespace in CLIENT:
        name = namespace.strip("/")
        messages: Json = {}
        for event, sent in CLIENT[namespace].items():
            key = _key(event)
            messages[key] = _message(event, sent.arguments, _who(sent), schemas)
            messages[f"{key}.answer"] = _answer(event, sent, schemas)
            operations[f"{name}.{key}"] = _received(name, key)
        for event, said in SERVER[namespace].items():
            messages[_key(event)] = _message(event, said.arguments, said.summary, schemas)
            operations[f"{name}.{_key(event)}"] = _sent(name, _key(event), said)
        channels[name] = {
            "address": namespace,
            "title": f"Namespace {namespace}",
            "messages": messages,
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "gemgem live",
            "version": VERSION,
            "description": (
                "Socket.IO 5 over Engine.IO 4 at `/socket.io/`, WebSocket. A payload is the list "
                "of an event's arguments. docs/protocol.md tells the order and meaning of it all."
            ),
        },
        "defaultContentType": "application/json",
        "servers": {
            "live": {"host": "localhost", "pathname": "/socket.io/", "protocol": "socketio"}
        },
        "channels": channels,
        "operations": operations,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def _refusal() -> Json:
    """Return the error object of an answer: that of REST, without the id of a request."""
    error = dict(ERROR_SCHEMA["properties"]["error"])
    properties = {k: v for k, v in error["properties"].items() if k != "trace_id"}
    return {**error, "title": "Error", "required": ["code", "message"], "properties": properties}


def _schema(kind: Any, schemas: Json) -> Json:
    """Return a reference to a type's schema, or the schema itself where it has no name."""
    if kind is bytes:
        return {"type": "string", "format": "binary"}
    schema = TypeAdapter(kind).json_schema(by_alias=True, ref_template=REF)
    schemas.update(schema.pop("$defs", {}))
    if schema.get("type") != "object" or "title" not in schema:
        return schema
    schemas[schema["title"]] = schema
    return {"$ref": REF.format(model=schema["title"])}


def _message(event: str, arguments: tuple[Any, ...], summary: str, schemas: Json) -> Json:
    items = [_schema(kind, schemas) for kind in arguments]
    # AsyncAPI's own dialect is that of JSON Schema draft 7.
    payload = {"type": "array", "items": items, "minItems": len(items), "additionalItems": False}
    return {"name": event, "summary": summary, "payload": payload}


def _answer(event: str, sent: Sent, schemas: Json) -> Json:
    answers = [
        _object("ok", _schema(sent.answer, schemas)),
        _object("error", {"$ref": REF.format(model="Error")}),
    ]
    return {
        "name": f"{event}, answered",
        "summary": f"What the callback of `{event}` is called with.",
        "payload": {"oneOf": answers},
    }


def _object(name: str, schema: Mapping[str, Any]) -> Json:
    return {
        "type": "object",
        "required": [name],
        "properties": {name: schema},
        "additionalProperties": False,
    }


def _who(sent: Sent) -> str:
    roles = ", ".join(role.value for role in Role if role in sent.roles)
    return f"For: {roles}.{' Numbered: `seq` comes first.' if sent.numbered else ''}"


def _key(event: str) -> str:
    """Return an event's name as references may hold it."""
    return event.replace(":", ".")


def _received(channel: str, key: str) -> Json:
    messages = f"#/channels/{channel}/messages"
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"{messages}/{key}"}],
        "reply": {"messages": [{"$ref": f"{messages}/{key}.answer"}]},
    }


def _sent(channel: str, key: str, said: Said) -> Json:
    return {
        "action": "send",
        "summary": said.summary,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{key}"}],
    }
