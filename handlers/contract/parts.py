"""What the routes of the OpenAPI document share: parameters, headers, the shape of an error."""

from collections.abc import Sequence
from typing import Any

from models.codes import ERRORS, ErrorCode, Retry

Json = dict[str, Any]

_AGAIN = {
    Retry.NEVER: "no",
    Retry.CHANGED: "after a change",
    Retry.LATER: "later, after `retry_ms` where it is given",
    Retry.SIGN_IN: "after signing in",
}

ERROR_SCHEMA: Json = {
    "type": "object",
    "title": "Error",
    "description": "Why a request was refused.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "trace_id"],
            "properties": {
                "code": {"type": "string", "enum": [code.value for code in ErrorCode]},
                "message": {
                    "type": "string",
                    "description": "What was wrong and where; Korean where the client prefers it.",
                },
                "details": {"type": "object", "description": "Data of the refusal."},
                "retry_ms": {
                    "type": "integer",
                    "minimum": 0,
                    "description": "When asking again makes sense.",
                },
                "trace_id": {
                    "type": "string",
                    "description": "The request's id, for whoever looks for it in the log.",
                },
            },
            "additionalProperties": False,
        }
    },
    "additionalProperties": False,
}

PARAMETERS: Json = {
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "required": False,
        "description": (
            "The client's own id for the request, 8 to 64 letters, digits, - and _; one of another "
            "form is passed over."
        ),
        "schema": {"type": "string"},
        "example": "6f1c2a9e-5d43-4c0e-9f55-0d3b1f0a7c21",
    },
    "AcceptLanguage": {
        "name": "Accept-Language",
        "in": "header",
        "required": False,
        "description": "`ko` or `en`, with weights: the language of texts.",
        "schema": {"type": "string"},
        "example": "ko;q=1, en;q=0.5",
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": (
            "Made by the client, a UUID for instance. The same request with the same key gives the "
            "first answer for 24 h and does nothing twice; another request with it is 409."
        ),
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{16,128}$"},
    },
    "Reason": {
        "name": "X-Reason",
        "in": "header",
        "required": False,
        "description": (
            "Why an admin looks, 3 to 200 characters, percent-encoded UTF-8 where it is not ASCII. "
            "Needed where nothing but the role admin lets the caller in."
        ),
        "schema": {"type": "string", "minLength": 3, "maxLength": 1800},
    },
}

RESPONSE_HEADERS: Json = {
    "RequestId": {
        "description": "The request's id: the client's own, or a new one.",
        "schema": {"type": "string"},
    },
    "RetryAfter": {
        "description": "Seconds after which asking again makes sense.",
        "schema": {"type": "integer", "minimum": 1},
    },
}

REPLAY: Json = {
    "description": "`true` on the first answer given again.",
    "schema": {"type": "string", "const": "true"},
}


def response_name(codes: Sequence[str]) -> str:
    """Return what the answer with one of `codes` is called among the components."""
    return "".join(part.capitalize() for code in codes for part in code.split("_"))


def error_response(codes: Sequence[str]) -> Json:
    """Return the answer of a refusal with one of `codes`, all of one status."""
    meanings = {code: ERRORS[ErrorCode(code)] for code in codes}
    headers: Json = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    if any(m.status in (429, 503) for m in meanings.values()):
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    only = {"properties": {"error": {"properties": {"code": {"enum": list(codes)}}}}}
    return {
        "description": " ".join(f"`{code}`: {m.english}" for code, m in meanings.items()),
        "headers": headers,
        "content": {
            "application/json": {
                "schema": {"allOf": [{"$ref": "#/components/schemas/Error"}, only]}
            }
        },
    }


def error_list() -> list[Json]:
    """Return every code with what it means, in words."""
    return [
        {
            "code": code.value,
            "status": meaning.status,
            "english": meaning.english,
            "korean": meaning.korean,
            "again": _AGAIN[meaning.retry],
        }
        for code, meaning in ERRORS.items()
    ]
