"""The one error of the product: a public code, an HTTP status, a text, and when to try again."""

from enum import StrEnum
from typing import Any


class ErrorCode(StrEnum):
    """The public list, shared by REST and sockets. Each code has one meaning."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    GAP = "gap"
    BUSY = "busy"
    RATE_LIMITED = "rate_limited"
    TOO_LARGE = "too_large"
    UNSUPPORTED_VERSION = "unsupported_version"
    SUPERSEDED = "superseded"
    SESSION_SEALED = "session_sealed"
    SESSION_LIMIT = "session_limit"
    INTERNAL = "internal"


STATUS: dict[ErrorCode, int] = {
    ErrorCode.INVALID: 400,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.GAP: 409,
    ErrorCode.BUSY: 503,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.UNSUPPORTED_VERSION: 400,
    ErrorCode.SUPERSEDED: 409,
    ErrorCode.SESSION_SEALED: 409,
    ErrorCode.SESSION_LIMIT: 409,
    ErrorCode.INTERNAL: 500,
}

KOREAN: dict[ErrorCode, str] = {
    ErrorCode.INVALID: "요청 내용이 올바르지 않습니다.",
    ErrorCode.UNAUTHENTICATED: "로그인이 필요합니다.",
    ErrorCode.FORBIDDEN: "허용되지 않은 요청입니다.",
    ErrorCode.NOT_FOUND: "찾을 수 없습니다.",
    ErrorCode.CONFLICT: "지금 상태에서는 할 수 없습니다.",
    ErrorCode.GAP: "빠진 메시지가 있습니다. 다시 보내 주세요.",
    ErrorCode.BUSY: "잠시 후 다시 시도해 주세요.",
    ErrorCode.RATE_LIMITED: "요청이 너무 많습니다. 잠시 후 다시 시도해 주세요.",
    ErrorCode.TOO_LARGE: "보낸 내용이 너무 큽니다.",
    ErrorCode.UNSUPPORTED_VERSION: "지원하지 않는 버전입니다. 앱을 업데이트해 주세요.",
    ErrorCode.SUPERSEDED: "다른 기기에서 이어서 하고 있습니다.",
    ErrorCode.SESSION_SEALED: "이미 끝난 놀이입니다.",
    ErrorCode.SESSION_LIMIT: "이미 진행 중인 놀이가 있습니다.",
    ErrorCode.INTERNAL: "서버에 문제가 생겼습니다.",
}


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
        return STATUS[self.code]

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
