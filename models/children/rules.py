"""What may be said of a child: pure decisions, no I/O."""

import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from models.errors import AppError, ErrorCode

OLDEST_YEARS: Final = 25
"""Nobody older is a child of this product, not even in a trial that lasts."""
_SYMBOLS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})
CODE_SYMBOLS: Final = 12
"""60 random bits, in three groups of four."""


def clean_name(text: str, what: str) -> str:
    """Return a name in its one spelling: NFC, single spaces, no control characters.

    Raises:
        AppError: `invalid`; nothing is left of it, or it holds what no name does.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name or any(unicodedata.category(c)[0] == "C" for c in name):
        raise AppError(ErrorCode.INVALID, f"body.{what} must be a name, on one line.")
    return name


def check_alias(alias: str, name: str) -> None:
    """Refuse an alias that gives the child's name away.

    Raises:
        AppError: `invalid`.
    """
    if _folded(name) in _folded(alias):
        raise AppError(
            ErrorCode.INVALID, "body.alias is shown in live lists: leave the child's name out."
        )


def _folded(text: str) -> str:
    compatible = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in compatible if c.isalnum())


def check_birth(birth_date: date, today: date) -> None:
    """Refuse a birth date that is not that of a child.

    Args:
        today: the child's local date.

    Raises:
        AppError: `invalid`.
    """
    if not today.year - OLDEST_YEARS <= birth_date.year or birth_date > today:
        raise AppError(
            ErrorCode.INVALID,
            f"body.birthDate must be a date of the last {OLDEST_YEARS} years, not after today.",
        )


def code_of(random: bytes) -> str:
    """Return the code of an invitation, made of 8 random bytes: `4F7K-9Q2M-XB3T`."""
    number = int.from_bytes(random) >> (8 * len(random) - 5 * CODE_SYMBOLS)
    symbols = "".join(_SYMBOLS[number >> 5 * n & 31] for n in range(CODE_SYMBOLS))
    return "-".join(symbols[n : n + 4] for n in range(0, CODE_SYMBOLS, 4))


def plain_code(text: str) -> str:
    """Return the one spelling of a code as somebody typed it (Crockford's base 32)."""
    return text.upper().translate(_MISREAD)


def changed_fields(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of the wanted fields is not so already."""
    return {name: value for name, value in wanted.items() if before.get(name) != value}
