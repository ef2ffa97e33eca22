"""Requests of the protocol's path, and the answer to an upgrade (RFC 6455, 4.2)."""

import base64
import hashlib

from aiohttp import web

from models.errors import AppError, ErrorCode

_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, 1.3."""


def check(request: web.Request, *, polling: bool) -> None:
    """Look at a request before anything is kept of it.

    Args:
        polling: whether long polling is served too.

    Raises:
        AppError: it asks for no transport there is.
    """
    query = request.query
    transport = query.getall("transport", [])
    upgrades = transport == ["websocket"]
    if upgrades and not web.WebSocketResponse().can_prepare(request).ok:
        raise AppError(ErrorCode.INVALID, "This is no upgrade to a WebSocket.")
    if not polling and (not upgrades or query.getall("EIO", []) != ["4"] or "sid" in query):
        raise AppError(
            ErrorCode.INVALID, "Upgrade to a WebSocket of Engine.IO 4; nothing else here."
        )
    if not upgrades and transport != ["polling"]:  # left out, the library takes it for that
        raise AppError(ErrorCode.INVALID, "Name one transport: polling or websocket.")


def answer(request: web.Request) -> web.StreamResponse:
    """Return the answer to a valid upgrade; no extension is agreed to."""
    key = request.headers["Sec-WebSocket-Key"].encode()
    accept = base64.b64encode(hashlib.sha1(key + _KEY, usedforsecurity=False).digest()).decode()
    response = web.StreamResponse(
        status=101,
        headers={
            "Upgrade": "websocket",
            "Connection": "upgrade",
            "Sec-WebSocket-Accept": accept,
        },
    )
    response.force_close()
    return response
