"""Around every request: its id, one error shape, careful headers, one line in the log."""

import json
import logging
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from config import metrics
from config.clock import Clock
from handlers.errors import as_refusal, rest_body, rest_headers
from handlers.languages import preferred
from handlers.requests import REQUEST_ID, ROUTE, WHO, request_id_of
from models.errors import AppError, ErrorCode

access = logging.getLogger("access")

_CODES = {
    400: ErrorCode.INVALID,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    413: ErrorCode.TOO_LARGE,
    415: ErrorCode.UNSUPPORTED_MEDIA_TYPE,
}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""What an answer says unless its handler says otherwise; that of a page has a policy of its own."""


def middlewares(clock: Clock, origins: tuple[str, ...]) -> list[Middleware]:
    """Return what stands around every request, the outermost first.

    Args:
        origins: browser origins that may read the answers of the API.
    """
    allowed = frozenset(origins)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = clock.monotonic()
        request[REQUEST_ID] = request_id_of(request.headers.get("X-Request-Id"))
        response = await _answered(request, handler)
        if not response.prepared:
            for name, value in _HEADERS.items():
                response.headers.setdefault(name, value)
            response.headers["Server"] = "gemgem"
            response.headers["X-Request-Id"] = request[REQUEST_ID]
            _share(request, response, allowed)
        if ROUTE in request:
            _log(request, response.status, clock.monotonic() - started)
        return response

    return [guard]


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure as `{"error": …}`; the text is Korean where the client prefers it."""
    try:
        _check_body(request)
        return await handler(request)
    except ConnectionError:
        raise  # nobody is there to be answered, and nothing is wrong with the server
    except web.HTTPException as error:
        if error.status < 400:
            raise
        other = ErrorCode.INVALID if error.status < 500 else ErrorCode.INTERNAL
        response = _refusal(request, AppError(_CODES.get(error.status, other), error.reason))
        if hdrs.ALLOW in error.headers:
            response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
        return response
    except Exception as error:
        where = f"{request.get(ROUTE, request.method)} ({request[REQUEST_ID]})"
        return _refusal(request, as_refusal(error, where))


def _check_body(request: web.Request) -> None:
    """Refuse a body by its head, before any of it is read."""
    length, most = request.content_length, request.client_max_size
    if length is not None and length > most:
        raise AppError(ErrorCode.TOO_LARGE, f"A request body has at most {most} bytes.")
    if "Content-Encoding" in request.headers:
        raise AppError(ErrorCode.INVALID, "Send the request body without a Content-Encoding.")


def _dumps(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False)  # Korean is to be read, not spelled out


def _refusal(request: web.Request, error: AppError) -> web.Response:
    language = preferred(request.headers.get("Accept-Language"))
    body = rest_body(error, language, request[REQUEST_ID])
    headers = {**rest_headers(error), "Content-Language": language, "Vary": "Accept-Language"}
    return web.json_response(body, status=error.status, headers=headers, dumps=_dumps)


def _share(request: web.Request, response: web.StreamResponse, allowed: frozenset[str]) -> None:
    """Let pages of the allowed origins read the answer (CORS); never with credentials."""
    if not allowed:
        return
    vary = response.headers.get(hdrs.VARY)
    response.headers[hdrs.VARY] = f"{vary}, Origin" if vary else "Origin"
    origin = request.headers.get(hdrs.ORIGIN)
    if origin not in allowed:
        return
    response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
    response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = (
        "ETag, Idempotent-Replay, Retry-After, X-Request-Id"
    )
    if hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers and request.method == "OPTIONS":
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = response.headers.get(hdrs.ALLOW, "")
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = (
            "Accept-Language, Authorization, Content-Type, Idempotency-Key, If-None-Match, "
            "X-Reason, X-Request-Id"
        )
        response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = "600"


def _log(request: web.Request, status: int, seconds: float) -> None:
    """Count a request and write its line: its route, not its address; who, not their token."""
    metrics.REQUESTS.labels(request[ROUTE], status).inc()
    metrics.REQUEST.labels(request[ROUTE]).observe(seconds)
    access.info(
        'route="%s" status=%d ms=%.1f user=%s request=%s',
        request[ROUTE],
        status,
        seconds * 1000,
        request.get(WHO, "-"),
        request[REQUEST_ID],
    )
