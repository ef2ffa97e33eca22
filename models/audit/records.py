"""The access log's entries: who looked at whose data, each bound to the one before by its hash."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from models.canonical import canonical_json

CHAINS: Final = 8
"""Chains of entries; the entries on one child all stand in one. Fixed while there are entries."""
GENESIS: Final = "0" * 64
"""What the first entry of a chain is bound to."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look of one member of staff at one child's data."""

    child_id: str
    user_id: str
    """Who looked; of an admin in somebody else's name the admin."""
    acting_for: str | None
    """In whose name an admin looked."""
    sign_in: str
    """The sign-in they looked through: it tells the device."""
    role: str
    """As what they looked: `therapist`, `admin` or `service`."""
    action: str
    """What was reached, for instance `results` or `watch`."""
    via: str
    """`rest` or `live`."""
    address: str | None
    """Network address of a request, as the gateway tells it; a live connection has its sign-in."""
    trace_id: str | None
    """Of the request, as the request log has it."""
    reason: str | None
    """In the words of the one who looked; an admin gives one always."""
    at_us: int
    """Unix time in microseconds."""


def chain_of(child_id: str) -> int:
    """Return the chain the entries on a child stand in."""
    return hashlib.sha256(child_id.encode()).digest()[0] % CHAINS


def entry_id(chain: int, seq: int) -> str:
    """Return the `_id` of an entry: a chain has one of each number."""
    return f"{chain}:{seq}"


def entry_of(look: Look, chain: int, seq: int, previous: str) -> dict[str, Any]:
    """Return the document of `access_log` for a look, bound to the hash of the one before."""
    body = {
        "chain": chain,
        "seq": seq,
        "child_id": look.child_id,
        "user_id": look.user_id,
        "acting_for": look.acting_for,
        "sign_in": look.sign_in,
        "role": look.role,
        "action": look.action,
        "via": look.via,
        "address": look.address,
        "trace_id": look.trace_id,
        "reason": look.reason,
        "at_us": look.at_us,
    }
    bound = {"previous": previous, "hash": digest(previous, body)}
    return {"_id": entry_id(chain, seq), **body, **bound}


def digest(previous: str, body: Mapping[str, Any]) -> str:
    """Return the hex SHA-256 of the previous hash and the canonical JSON of an entry.

    Args:
        body: the entry; its `_id` and what binds it are left out.

    Raises:
        TypeError, ValueError: it holds something that no entry of ours does.
    """
    said = {name: body[name] for name in body if name not in ("_id", "previous", "hash")}
    return hashlib.sha256(bytes.fromhex(previous) + canonical_json(said)).hexdigest()


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain."""

    chain: int
    seq: int
    """Of the last entry, -1 of an empty chain."""
    hash: str

    @property
    def text(self) -> str:
        """What is signed of it."""
        return f"{self.chain}:{self.seq}:{self.hash}"
