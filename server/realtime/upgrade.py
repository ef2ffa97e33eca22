"""The answer to an upgrade (RFC 6455, 4.2.2)."""

import base64
import hashlib

from aiohttp import web

_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, 1.3."""


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
