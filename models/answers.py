"""First answers, kept for a day: a request repeated with its `Idempotency-Key` gets them again.

Nothing of an answer can be read from the database: it is sealed with a key that is derived from
the client's own `Idempotency-Key`, of which the database has only a digest.
"""

import hashlib
import os
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from config.clock import Clock
from models.db import Database, DuplicateKeyError
from models.errors import AppError, ErrorCode

KEPT = timedelta(hours=24)
LEASE = timedelta(seconds=60)
"""A request that has not been answered by then was cut off: the next one does it again."""
RETRY_MS = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that carries a key.

    Args:
        principal: who asks.
        route: method and path template.
        key: as the client sent it.
        digest: of all the request says: path, query and body.
    """

    principal: str
    route: str
    key: str
    digest: str

    @property
    def id(self) -> str:
        """What the database knows the request by; ids of what it makes are derived from it."""
        return self._derive(b"id").hex()

    @property
    def owner(self) -> str:
        """By what the answers of somebody are found, to be erased."""
        return owner_of(self.principal)

    @property
    def seal_key(self) -> bytes:
        """The key of its answer: 32 bytes."""
        return self._derive(b"seal")

    def _derive(self, label: bytes) -> bytes:
        parts = (label, self.principal.encode(), self.route.encode(), self.key.encode())
        return hashlib.sha256(b"".join(len(p).to_bytes(4, "big") + p for p in parts)).digest()


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it was given."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to do what was asked, once."""

    id: str
    attempt: str


class Answers:
    """The answers of repeatable requests in MongoDB.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database["answers"]
        self._clock = clock

    async def ensure_indexes(self) -> None:
        """Let the database forget what is older than a day."""
        await self._rows.create_index("expires_at", expireAfterSeconds=0)
        await self._rows.create_index("owner")

    async def begin(self, asked: Asked) -> Turn | Kept:
        """Take the turn of a request, or return its first answer.

        Raises:
            AppError: `idempotency_key_reused` or `request_in_progress`.
        """
        now = self._clock.now()
        turn = Turn(asked.id, secrets.token_hex(8))
        running = {"digest": asked.digest, "attempt": turn.attempt, "until": now + LEASE}
        try:
            row = {"_id": turn.id, "owner": asked.owner, "expires_at": now + KEPT, **running}
            await self._rows.insert_one(row)
        except DuplicateKeyError:
            found = await self._rows.find_one({"_id": turn.id})
        else:
            return turn
        if found is None:
            raise _in_progress()  # given up a moment ago
        if found["expires_at"] <= now:
            # The database has not got round to forgetting it.
            await self._rows.delete_one({"_id": turn.id, "expires_at": found["expires_at"]})
            raise _in_progress()
        if found["digest"] != asked.digest:
            raise AppError(
                ErrorCode.IDEMPOTENCY_KEY_REUSED,
                "header.Idempotency-Key was used for another request: make a new key.",
            )
        if "answer" in found:
            return Kept(found["status"], _opened(asked, found["answer"]))
        taken = await self._rows.find_one_and_update(
            {"_id": turn.id, "attempt": found["attempt"], "until": {"$lte": now}},
            {"$set": running},
        )
        if taken is None:
            raise _in_progress()
        return turn

    async def keep(self, asked: Asked, turn: Turn, answer: Kept) -> None:
        """Keep the answer of a request that was done."""
        sealed = {"status": answer.status, "answer": _sealed(asked, answer.body)}
        await self._rows.update_one({"_id": turn.id, "attempt": turn.attempt}, {"$set": sealed})

    async def forget(self, turn: Turn) -> None:
        """Give up the turn of a request that was refused and changed nothing."""
        await self._rows.delete_one({"_id": turn.id, "attempt": turn.attempt})

    async def free(self, turn: Turn) -> None:
        """Let the same request be tried again at once: it failed, perhaps half done."""
        await self._rows.update_one(
            {"_id": turn.id, "attempt": turn.attempt}, {"$set": {"until": self._clock.now()}}
        )


def owner_of(principal: str) -> str:
    """Return what stands in an answer for whoever asked."""
    return hashlib.sha256(b"owner:" + principal.encode()).hexdigest()


def _sealed(asked: Asked, body: bytes) -> bytes:
    nonce = os.urandom(12)
    return nonce + AESGCM(asked.seal_key).encrypt(nonce, body, asked.digest.encode())


def _opened(asked: Asked, sealed: Any) -> bytes:
    try:
        return AESGCM(asked.seal_key).decrypt(sealed[:12], sealed[12:], asked.digest.encode())
    except InvalidTag as error:
        raise ValueError("a kept answer was altered in the database") from error


def _in_progress() -> AppError:
    return AppError(
        ErrorCode.REQUEST_IN_PROGRESS,
        "The first request with this Idempotency-Key is still under way.",
        retry_ms=RETRY_MS,
    )
