"""Every exception to what goes over the wire, once, for REST and for acks."""

import logging
from typing import Any

from pydantic import ValidationError

from models.errors import AppError, ErrorCode, internal_error

log = logging.getLogger(__name__)


def as_app_error(error: Exception, where: str) -> AppError:
    """Return what a caller is told of `error`; an unexpected one is logged with its trace.

    Args:
        where: event or route, named in the message.
    """
    if isinstance(error, AppError):
        return error
    if isinstance(error, ValidationError):
        return AppError(ErrorCode.INVALID, f"{where}: {_faults(error)}.")
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
