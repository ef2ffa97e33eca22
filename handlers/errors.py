"""Every exception to what goes over the wire, once, for REST and for acks."""

import logging
from typing import Any

from pydantic import ValidationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from handlers.languages import Language
from models.codes import ERRORS
from models.db import UNREACHABLE
from models.errors import AppError, ErrorCode, internal_error

log = logging.getLogger(__name__)

AWAY = (*UNREACHABLE, RedisConnectionError, RedisTimeoutError, TimeoutError)
"""A store did not answer: nothing is wrong with the request, and it may be made again."""
AWAY_RETRY_MS = 2000


def as_app_error(error: Exception, where: str) -> AppError:
    """Return what the sender of an event is told of `error`, its payload's faults included.

    Args:
        where: the event, named in the message.
    """
    if isinstance(error, ValidationError):
        return AppError(ErrorCode.INVALID, f"{where}: {_faults(error)}.")
    return as_refusal(error, where)


def as_refusal(error: Exception, where: str) -> AppError:
    """Return what a caller is told of `error`; an unexpected one is logged with its trace.

    Args:
        where: what failed, for the log.
    """
    if isinstance(error, AppError):
        return error
    if isinstance(error, AWAY):
        log.warning("%s: a store does not answer: %s", where, type(error).__name__)
        return AppError(
            ErrorCode.BUSY, "A part of the service is away; try again.", retry_ms=AWAY_RETRY_MS
        )
    log.error("%s failed", where, exc_info=error)
    return internal_error()


def _faults(error: ValidationError) -> str:
    """Name the fields and what they should be, never the value that was sent."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    named = [f"`{'.'.join(str(p) for p in f['loc']) or 'payload'}` {f['msg']}" for f in faults[:5]]
    return "; ".join(named)


def ack_body(answer: dict[str, Any] | AppError) -> dict[str, Any]:
    """Return the one argument of an ack."""
    return {"error": answer.body()} if isinstance(answer, AppError) else {"ok": answer}


def rest_body(error: AppError, language: Language, request_id: str) -> dict[str, Any]:
    """Return the JSON body of a refused request.

    English readers are told exactly what was wrong, Korean ones what the code means.
    """
    body = {**error.body(), "trace_id": request_id}
    if language is Language.KO:
        body["message"] = ERRORS[error.code].korean
    return {"error": body}


def rest_headers(error: AppError) -> dict[str, str]:
    """Return the headers that say the same (RFC 9110, sections 10.2.3 and 11.6.1; RFC 9470)."""
    headers = {}
    if error.retry_ms is not None:
        headers["Retry-After"] = str(max(-(-error.retry_ms // 1000), 1))
    if error.code is ErrorCode.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    elif error.code is ErrorCode.REAUTHENTICATION_REQUIRED:
        age = (error.details or {}).get("max_age_s", 0)
        headers["WWW-Authenticate"] = (
            f'Bearer error="insufficient_user_authentication", max_age={age}'
        )
    return headers
