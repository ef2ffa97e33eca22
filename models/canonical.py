"""Canonical JSON: one sequence of bytes for one value, for hashes and byte-equal comparisons."""

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Return UTF-8 JSON with sorted keys and no spaces; floats in their shortest exact form.

    Raises ValueError for NaN and infinities, TypeError for anything JSON has no word for.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def sha256(value: Any) -> str:
    """Return the lower-case hex SHA-256 of the canonical JSON of a value."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
