"""Every error code is produced by some test, or by nothing at all yet."""

from pathlib import Path

from models.codes import ErrorCode

ROOT = Path(__file__).parents[2]
NOT_YET = {
    ErrorCode.TICKET_REQUIRED,
    ErrorCode.PROTOCOL_LOCKED,
    ErrorCode.LOCKED,
}
"""Agreed with clients before the feature is there."""


def sources(*folders: str) -> str:
    """Return the code of some folders, without the list itself and what is made of it."""
    return "\n".join(
        path.read_text()
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path not in (Path(__file__), ROOT / "models" / "codes.py")
    )


def names(code: ErrorCode, text: str) -> bool:
    return f"ErrorCode.{code.name}" in text or f'"{code.value}"' in text


def test_every_code_is_produced_by_a_test() -> None:
    tested = sources("tests")
    assert not [code.value for code in set(ErrorCode) - NOT_YET if not names(code, tested)]


def test_what_no_test_produces_no_code_raises() -> None:
    written = sources("server", "handlers", "jobs", "sessions", "models", "clients")
    assert not [code.value for code in NOT_YET if f"ErrorCode.{code.name}" in written]
