"""Around every request: one error shape, and headers that keep a browser careful."""

import logging

from aiohttp import web
from aiohttp.typedefs import Handler

from handlers.errors import as_app_error
from models.errors import KOREAN, AppError, ErrorCode

log = logging.getLogger(__name__)

_CODES = {
    400: ErrorCode.INVALID,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.INVALID,
    413: ErrorCode.TOO_LARGE,
}


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure as `{"error": …}`; the text is Korean where the client prefers it."""
    try:
        _check_body(request)
        response = await handler(request)
    except ConnectionError:
        raise  # nobody is there to be answered, and nothing is wrong with the server
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = _error(
            request,
            AppError(_CODES.get(error.status, ErrorCode.INVALID), error.reason),
            error.status,
        )
    except Exception as error:
        known = as_app_error(error, f"{request.method} {request.path}")
        response = _error(request, known, known.status)
    if not response.prepared:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["Server"] = "gemgem"
    return response


def _check_body(request: web.Request) -> None:
    """Refuse a body by its head, before any of it is read."""
    length, most = request.content_length, request.client_max_size
    if length is not None and length > most:
        raise AppError(ErrorCode.TOO_LARGE, f"A request body has at most {most} bytes.")
    if "Content-Encoding" in request.headers:
        raise AppError(ErrorCode.INVALID, "Send the request body without a Content-Encoding.")


def _error(request: web.Request, error: AppError, status: int) -> web.Response:
    body = error.body()
    if request.headers.get("Accept-Language", "").lower().startswith("ko"):
        body["message"] = KOREAN[error.code]
    headers = {}
    if error.retry_ms is not None:
        headers["Retry-After"] = str(-(-error.retry_ms // 1000))
    return web.json_response({"error": body}, status=status, headers=headers)
