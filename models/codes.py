"""The public error codes: each with one meaning, an HTTP status, texts, and when to try again."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class ErrorCode(StrEnum):
    """The public list, shared by REST and sockets. Each code has one meaning."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    REAUTHENTICATION_REQUIRED = "reauthentication_required"
    FORBIDDEN = "forbidden"
    TICKET_REQUIRED = "ticket_required"
    PROTOCOL_LOCKED = "protocol_locked"
    LOCKED = "locked"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    REQUEST_IN_PROGRESS = "request_in_progress"
    GAP = "gap"
    SUPERSEDED = "superseded"
    SESSION_SEALED = "session_sealed"
    SESSION_LIMIT = "session_limit"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    UNSUPPORTED_VERSION = "unsupported_version"
    RATE_LIMITED = "rate_limited"
    BUSY = "busy"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    INTERNAL = "internal"
    EMAIL_ALREADY_REGISTERED = "email_already_registered"
    LINK_REQUIRED = "link_required"
    LAST_METHOD = "last_method"
    PASSWORD_REFUSED = "password_refused"  # noqa: S105 - a code, no password
    CODE_REFUSED = "code_refused"
    CONSENT_REQUIRED = "consent_required"


class Retry(StrEnum):
    """What the one who was refused may do next."""

    NEVER = "never"
    """The same request is refused again."""
    CHANGED = "changed"
    """After the request, or what it is about, was changed."""
    LATER = "later"
    """The same request again, after `retry_ms` where it is given."""
    SIGN_IN = "sign_in"
    """After signing in, or renewing the token."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code stands for, wherever it is seen."""

    status: int
    """Of the HTTP answer."""
    retry: Retry
    english: str
    korean: str


ERRORS: Mapping[ErrorCode, Meaning] = MappingProxyType(
    {
        ErrorCode.INVALID: Meaning(
            400, Retry.CHANGED, "The request is not valid.", "요청 내용이 올바르지 않습니다."
        ),
        ErrorCode.UNAUTHENTICATED: Meaning(
            401, Retry.SIGN_IN, "Sign in first.", "로그인이 필요합니다."
        ),
        ErrorCode.REAUTHENTICATION_REQUIRED: Meaning(
            401,
            Retry.SIGN_IN,
            "Sign in once more for this.",
            "본인 확인을 위해 다시 로그인해 주세요.",
        ),
        ErrorCode.FORBIDDEN: Meaning(
            403, Retry.NEVER, "This is not allowed to you.", "허용되지 않은 요청입니다."
        ),
        ErrorCode.TICKET_REQUIRED: Meaning(
            403, Retry.CHANGED, "A valid ticket is needed.", "이용권이 필요합니다."
        ),
        ErrorCode.PROTOCOL_LOCKED: Meaning(
            403,
            Retry.NEVER,
            "The trial's protocol fixes this.",
            "임상시험 계획에 따라 정해져 있어 바꿀 수 없습니다.",
        ),
        ErrorCode.LOCKED: Meaning(
            403, Retry.CHANGED, "This is not unlocked yet.", "아직 열리지 않았습니다."
        ),
        ErrorCode.NOT_FOUND: Meaning(
            404, Retry.NEVER, "There is no such thing.", "찾을 수 없습니다."
        ),
        ErrorCode.METHOD_NOT_ALLOWED: Meaning(
            405,
            Retry.NEVER,
            "This address does not take that method.",
            "이 주소에서 지원하지 않는 방식의 요청입니다.",
        ),
        ErrorCode.CONFLICT: Meaning(
            409,
            Retry.CHANGED,
            "This cannot be done in the present state.",
            "지금 상태에서는 할 수 없습니다.",
        ),
        ErrorCode.IDEMPOTENCY_KEY_REUSED: Meaning(
            409,
            Retry.CHANGED,
            "The Idempotency-Key was used for another request.",
            "다른 요청에 이미 사용한 키입니다.",
        ),
        ErrorCode.REQUEST_IN_PROGRESS: Meaning(
            409,
            Retry.LATER,
            "The first request with this Idempotency-Key is still under way.",
            "같은 요청을 처리하고 있습니다. 잠시 후 다시 시도해 주세요.",
        ),
        ErrorCode.GAP: Meaning(
            409,
            Retry.CHANGED,
            "Messages before this one are missing.",
            "빠진 메시지가 있습니다. 다시 보내 주세요.",
        ),
        ErrorCode.SUPERSEDED: Meaning(
            409,
            Retry.NEVER,
            "The session goes on through another connection.",
            "다른 기기에서 이어서 하고 있습니다.",
        ),
        ErrorCode.SESSION_SEALED: Meaning(
            409, Retry.NEVER, "The session is over.", "이미 끝난 놀이입니다."
        ),
        ErrorCode.SESSION_LIMIT: Meaning(
            409,
            Retry.LATER,
            "A session is being played already.",
            "이미 진행 중인 놀이가 있습니다.",
        ),
        ErrorCode.TOO_LARGE: Meaning(
            413, Retry.CHANGED, "What was sent is too large.", "보낸 내용이 너무 큽니다."
        ),
        ErrorCode.UNSUPPORTED_MEDIA_TYPE: Meaning(
            415,
            Retry.CHANGED,
            "The body is of a type that is not taken here.",
            "지원하지 않는 형식의 내용입니다.",
        ),
        ErrorCode.UNSUPPORTED_VERSION: Meaning(
            400,
            Retry.CHANGED,
            "This version is not supported.",
            "지원하지 않는 버전입니다. 앱을 업데이트해 주세요.",
        ),
        ErrorCode.RATE_LIMITED: Meaning(
            429,
            Retry.LATER,
            "Too many requests.",
            "요청이 너무 많습니다. 잠시 후 다시 시도해 주세요.",
        ),
        ErrorCode.BUSY: Meaning(
            503, Retry.LATER, "Not possible right now.", "잠시 후 다시 시도해 주세요."
        ),
        ErrorCode.PROVIDER_UNAVAILABLE: Meaning(
            503,
            Retry.LATER,
            "A service of another company does not answer.",
            "외부 서비스가 응답하지 않습니다. 잠시 후 다시 시도해 주세요.",
        ),
        ErrorCode.INTERNAL: Meaning(
            500, Retry.LATER, "The server failed.", "서버에 문제가 생겼습니다."
        ),
        ErrorCode.EMAIL_ALREADY_REGISTERED: Meaning(
            409,
            Retry.CHANGED,
            "This e-mail has an account already: sign in by one of its `providers`.",
            "이미 가입된 이메일입니다. 기존 방법으로 로그인해 주세요.",
        ),
        ErrorCode.LINK_REQUIRED: Meaning(
            409,
            Retry.CHANGED,
            "This e-mail has an account already: sign in by one of its `providers`, then link.",
            "이미 가입된 이메일입니다. 기존 방법으로 로그인한 뒤 연결해 주세요.",
        ),
        ErrorCode.LAST_METHOD: Meaning(
            409,
            Retry.CHANGED,
            "This is the only way into the account: add another one first.",
            "마지막 로그인 방법은 해제할 수 없습니다. 다른 방법을 먼저 추가해 주세요.",
        ),
        ErrorCode.PASSWORD_REFUSED: Meaning(
            400, Retry.CHANGED, "Choose another password.", "다른 비밀번호를 사용해 주세요."
        ),
        ErrorCode.CODE_REFUSED: Meaning(
            400,
            Retry.CHANGED,
            "The code is not the one that was sent, or holds no longer: ask for another.",
            "인증번호가 올바르지 않거나 만료되었습니다.",
        ),
        ErrorCode.CONSENT_REQUIRED: Meaning(
            403,
            Retry.CHANGED,
            "A guardian must consent to this first.",
            "보호자의 동의가 필요합니다.",
        ),
    }
)
"""Every code with what it means. A code of a feature goes to the end of the list."""
