"""Argon2id (RFC 9106) by one thread a hash, in the encoded form that every library reads.

The library computes the lanes of a hash in as many threads, started anew for each of its slices.
On few cores that kept the event loop waiting for up to 80 ms; one thread computes the same hash.
"""

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import Any

from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError
from argon2.low_level import ARGON2_VERSION, Type, core, error_to_str, ffi

HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class HashCost:
    """What a hash costs: passes, memory and lanes; and how many are made at once."""

    passes: int
    memory_kib: int
    lanes: int
    at_once: int


def encoded(cost: HashCost, salt: bytes, digest: bytes) -> str:
    """Return a hash in the form `$argon2id$v=19$m=…,t=…,p=…$salt$hash`."""
    parameters = f"m={cost.memory_kib},t={cost.passes},p={cost.lanes}"
    return f"$argon2id$v={ARGON2_VERSION}${parameters}${_b64(salt)}${_b64(digest)}"


def hashed(text: str, salt: bytes, cost: HashCost) -> str:
    """Return the encoded hash of a text."""
    return encoded(cost, salt, _derive(text.encode(), salt, cost, HASH_BYTES))


def matches(stored: str, text: str) -> bool:
    """Tell whether a stored hash is the one of a text; one that is none matches nothing."""
    try:
        found = extract_parameters(stored)
        salt, digest = (_bytes(part) for part in stored.split("$")[-2:])
    except (InvalidHashError, binascii.Error, ValueError):
        return False
    if found.type is not Type.ID or found.version != ARGON2_VERSION:
        return False
    cost = HashCost(found.time_cost, found.memory_cost, found.parallelism, 1)
    return hmac.compare_digest(_derive(text.encode(), salt, cost, len(digest)), digest)


def cost_of(stored: str) -> tuple[int, int, int]:
    """Return passes, memory in KiB and lanes of a stored hash."""
    found = extract_parameters(stored)
    return found.time_cost, found.memory_cost, found.parallelism


def _derive(secret: bytes, salt: bytes, cost: HashCost, length: int) -> bytes:
    out = ffi.new("uint8_t[]", length)
    given = ffi.new("uint8_t[]", secret)
    salted = ffi.new("uint8_t[]", salt)
    fields: dict[str, Any] = {
        "out": out,
        "outlen": length,
        "version": ARGON2_VERSION,
        "pwd": given,
        "pwdlen": len(secret),
        "salt": salted,
        "saltlen": len(salt),
        "secret": ffi.NULL,
        "secretlen": 0,
        "ad": ffi.NULL,
        "adlen": 0,
        "t_cost": cost.passes,
        "m_cost": cost.memory_kib,
        "lanes": cost.lanes,
        "threads": 1,
        "allocate_cbk": ffi.NULL,
        "free_cbk": ffi.NULL,
        "flags": 0,
    }
    fault = core(ffi.new("argon2_context *", fields), Type.ID.value)
    if fault:
        raise RuntimeError(f"argon2: {error_to_str(fault)}")
    return bytes(ffi.buffer(out, length))


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
