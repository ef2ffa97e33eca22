"""The one error of the product; its codes and what they mean stand in models/codes.py."""

from typing import Any

from models.codes import ERRORS, ErrorCode

__all__ = ["AppError", "ErrorCode", "internal_error"]


class AppError(Exception):
    """A refusal that the caller is told.

    Args:
        code: what kind of refusal.
        message: one English sentence for the developer: what was wrong, where, what to do.
            Never a value that was sent, never a secret.
        details: data of the refusal, for instance `{"expected": 7}` of a gap.
        retry_ms: when asking again makes sense.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        retry_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
        self.retry_ms = retry_ms

    @property
    def status(self) -> int:
        """The HTTP status of the code."""
        return ERRORS[self.code].status

    def body(self) -> dict[str, Any]:
        """The error object that goes over the wire."""
        body: dict[str, Any] = {"code": self.code.value, "message": self.message}
        if self.details is not None:
            body["details"] = self.details
        if self.retry_ms is not None:
            body["retry_ms"] = self.retry_ms
        return body


def internal_error() -> AppError:
    """What a caller is told of an unexpected failure: nothing of it."""
    return AppError(ErrorCode.INTERNAL, "The server failed; the failure was recorded.")
