"""The access log's entries: who looked at whose data, and what admins did, each bound by its hash.

An entry is bound to the one before it in its chain.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
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
    """Network address of the request or connection; None from this machine itself."""
    trace_id: str | None
    """Of the request, as the request log has it."""
    reason: str | None
    """In the words of the one who looked; an admin gives one always."""
    at_us: int
    """Unix time in microseconds."""

    @property
    def subject(self) -> str:
        """What decides the chain."""
        return self.child_id


@dataclass(frozen=True, slots=True)
class Act:
    """One request of an admin: of a route for admins alone, or in somebody else's name."""

    about: str | None
    """The account it is about; None of a search, for instance."""
    user_id: str
    """The admin."""
    sign_in: str
    action: str
    """The route."""
    address: str | None
    trace_id: str | None
    reason: str | None
    at_us: int
    forced: bool = False
    """Whether it was done in the name of `about`, by a forced token."""
    role: str = "admin"
    via: str = "rest"

    @property
    def subject(self) -> str:
        """What decides the chain."""
        return self.about or self.user_id


Entry = Look | Act


def chain_of(subject: str) -> int:
    """Return the chain the entries on a child or an account stand in."""
    return hashlib.sha256(subject.encode()).digest()[0] % CHAINS


def entry_id(chain: int, seq: int) -> str:
    """Return the `_id` of an entry: a chain has one of each number."""
    return f"{chain}:{seq}"


def entry_of(entry: Entry, chain: int, seq: int, previous: str) -> dict[str, Any]:
    """Return the document of `access_log` for an entry, bound to the hash of the one before."""
    body = {"chain": chain, "seq": seq, **asdict(entry)}
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
