"""What must not be written down, found in a line of text by its form or by the key before it."""

import re

HIDDEN = "•••"

_KEYS = (
    "password|passwd|current|secret|client_secret|token|access_token|refresh_token|id_token|"
    "accesstoken|refreshtoken|idtoken|authorization|cookie|x-api-key|code|nonce|signature|"
    "email|phone|number|name|signedpayload|signedtransaction|purchasetoken|receipt"
)
_VALUE = r"""\"[^\"]*\"|'[^']*'|[^\s&,;)\"']+"""
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # JWTs and JWS, of whatever length.
    (re.compile(r"\beyJ[\w-]{4,}(?:\.[\w-]*){1,4}"), HIDDEN),
    (re.compile(r"(?i)\b(bearer|basic|kakaoak)\s+[\w.~+/=-]{4,}"), rf"\1 {HIDDEN}"),
    # user:password of an address.
    (re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://)[^\s/@:]*:[^\s/@]*@"), rf"\1{HIDDEN}@"),
    (re.compile(r"(?i)(/api/webhooks/)[^\s\"'?]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)(/tokens/)[^\s\"'?:/]{16,}"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)(?<![\w.])([\w.+%'-]{1,64})@[\w-]+(?:\.[\w-]+)+"), HIDDEN),
    # E.164, and Korean mobile numbers as they are written.
    (re.compile(r"(?<![\w.])\+\d[\d ()-]{7,18}\d\b"), HIDDEN),
    (re.compile(r"(?<![\w.-])01[016789][ -]?\d{3,4}[ -]?\d{4}(?![\w.-])"), HIDDEN),
    # Refresh tokens: 64 hex digits.
    (re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])"), HIDDEN),
    # "key": "value" of JSON and of Python, key=value of queries and forms.
    (re.compile(rf"(?i)([\"'](?:{_KEYS})[\"']\s*:\s*)(?:\"[^\"]*\"?|'[^']*'?)"), rf'\1"{HIDDEN}"'),
    (re.compile(rf"(?i)(?<![\w-])((?:{_KEYS})=)({_VALUE})"), rf"\1{HIDDEN}"),
)  # fmt: skip


def redacted(text: str) -> str:
    """Return a text without tokens, addresses, numbers, and values of secret keys."""
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text
