"""What is to be told outside, kept until it is told: at least once, and in no certain order.

A row is written with the change it belongs to, or right after it under a key that the same change
has again. A worker that dies after it told somebody, and before it wrote that down, leaves the row
to the next one, who tells them once more.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from models.cipher import Context, FieldCipher
from models.db import AFTER, Database, DuplicateKeyError, Session

COLLECTION: Final = "outbox"
GRACE: Final = timedelta(days=1)
"""A row goes so long after its parcel expired, whether anybody looked at it or not."""
FOUND_BY: Final = 32
"""Hex digits of a key's digest in an id: enough that two keys never meet."""
GONE: Final = dict.fromkeys(
    ("payload", "about", "next_attempt_at", "lease_until", "error", "expires_at"), ""
)
SHOWN: Final = ("kind", "put_at", "expires_at", "attempts", "error")
"""What of a dead parcel is read: never what it says."""


class Kind(StrEnum):
    """Who is told. A process leaves kinds it does not know to newer ones."""

    MAIL = "mail"


class Status(StrEnum):
    """How far a parcel is."""

    PENDING = "pending"
    DONE = "done"
    DROPPED = "dropped"
    """The process that took it tells nobody outside."""
    EXPIRED = "expired"
    """Its time was over before it could be delivered."""
    DEAD = "dead"
    """It was refused for good, or again and again; an operator may try again."""
    VOID = "void"
    """To nobody: written so that writing takes as long for those who are unknown."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """Something to be told."""

    kind: Kind
    key: str = field(repr=False)
    """The same for the same news: put twice it is delivered as one."""
    payload: str = field(repr=False)
    about: str = field(repr=False)
    """Id of the account it is about: with that it is erased."""
    expires_at: datetime
    """Whoever did not get it by then has no use for it."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row that a worker holds."""

    id: str
    kind: Kind
    attempts: int
    expires_at: datetime
    row: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Dead:
    """A parcel that was given up."""

    id: str
    kind: str
    put_at: datetime
    expires_at: datetime
    attempts: int
    error: str


def about_person(cipher: FieldCipher, user_id: str) -> str:
    """Return what the parcels about an account are found by."""
    return cipher.index(user_id, "outbox about")


class Outbox:
    """The collection `outbox`.

    Neither its ids nor anything else in the open names anybody. A row that is over keeps its id
    alone, until it would have expired: so long the same key is the same parcel.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, database: Database, cipher: FieldCipher) -> None:
        self._rows = database["outbox"]
        self._cipher = cipher
        self._put = asyncio.Event()

    async def ensure_indexes(self) -> None:
        """Make the indexes."""
        await self._rows.create_index("next_attempt_at", sparse=True)
        await self._rows.create_index("about", sparse=True)
        await self._rows.create_index("until", expireAfterSeconds=0)
        await self._rows.create_index(
            "put_at", partialFilterExpression={"status": Status.DEAD.value}, name="dead"
        )

    async def put(
        self, parcel: Parcel, now: datetime, *, void: bool = False, session: Session | None = None
    ) -> bool:
        """Keep a parcel; False if there was one of this key, which changes nothing.

        Args:
            void: it is to nobody, and only written.
            session: the transaction of the change it belongs to. A key that is there ends it.
        """
        parcel_id = f"{parcel.kind}:{self._cipher.index(parcel.key, COLLECTION)[:FOUND_BY]}"
        row: dict[str, Any] = {
            "_id": parcel_id,
            "kind": parcel.kind.value,
            "payload": self._cipher.seal(parcel.payload, _place(parcel_id)),
            "about": about_person(self._cipher, parcel.about),
            "put_at": now,
            "expires_at": parcel.expires_at,
            "attempts": 0,
        }
        if void:
            row |= {"status": Status.VOID.value, "until": parcel.expires_at}
        else:
            until = parcel.expires_at + GRACE
            row |= {"status": Status.PENDING.value, "next_attempt_at": now, "until": until}
        try:
            await self._rows.insert_one(row, session=session)
        except DuplicateKeyError:
            if session is not None:
                raise
            return False
        self._put.set()
        return True

    async def wait(self, seconds: float) -> None:
        """Wait until this process puts a parcel, or so long: others put some too."""
        try:
            async with asyncio.timeout(seconds):
                await self._put.wait()
        except TimeoutError:
            return
        self._put.clear()

    async def claim(
        self, kinds: Collection[Kind], now: datetime, until: datetime, about: str | None = None
    ) -> Claimed | None:
        """Take what is due and nobody delivers, and hold it until then.

        Args:
            about: of this account alone.
        """
        mine = {} if about is None else {"about": about_person(self._cipher, about)}
        row = await self._rows.find_one_and_update(
            {
                "next_attempt_at": {"$lte": now},
                "kind": {"$in": [kind.value for kind in kinds]},
                "$or": [{"lease_until": None}, {"lease_until": {"$lte": now}}],
                **mine,
            },
            {"$set": {"lease_until": until}},
            sort=[("next_attempt_at", 1)],
            return_document=AFTER,
        )
        if row is None:
            return None
        return Claimed(row["_id"], Kind(row["kind"]), row["attempts"], row["expires_at"], row)

    def read(self, claimed: Claimed) -> str:
        """Return the payload of a row.

        Raises:
            models.cipher.UnsealError: it cannot be opened.
        """
        return self._cipher.open(claimed.row["payload"], _place(claimed.id))

    async def settle(self, claimed: Claimed, status: Status, now: datetime) -> None:
        """Write down that a parcel is over; what it said, and to whom, is forgotten."""
        until = max(claimed.expires_at, now)
        await self._rows.update_one(
            {"_id": claimed.id}, {"$set": {"status": status.value, "until": until}, "$unset": GONE}
        )

    async def put_off(self, claimed: Claimed, error: str, again: datetime) -> None:
        """Write down a failure, and when to try again."""
        await self._rows.update_one(
            _held(claimed),
            {
                "$set": {"error": error, "next_attempt_at": again},
                "$inc": {"attempts": 1},
                "$unset": {"lease_until": ""},
            },
        )

    async def give_up(self, claimed: Claimed, error: str, now: datetime) -> None:
        """Write down the last failure. Until it expires an operator may try again."""
        until = max(claimed.expires_at, now)
        await self._rows.update_one(
            _held(claimed),
            {
                "$set": {"status": Status.DEAD.value, "error": error, "until": until},
                "$inc": {"attempts": 1},
                "$unset": {"lease_until": "", "next_attempt_at": ""},
            },
        )

    async def count_about(self, user_id: str) -> int:
        """Return how many parcels about an account wait to be delivered."""
        waiting = {
            "about": about_person(self._cipher, user_id),
            "next_attempt_at": {"$exists": True},
        }
        return int(await self._rows.count_documents(waiting))

    async def erase_about(self, user_id: str) -> int:
        """Erase what is kept about an account; return how many rows that were."""
        done = await self._rows.delete_many({"about": about_person(self._cipher, user_id)})
        return int(done.deleted_count)


class DeadParcels:
    """Reads and retries what was given up; nothing of it is opened."""

    def __init__(self, database: Database) -> None:
        self._rows = database["outbox"]

    async def iter(self, kind: str | None = None, one: str | None = None) -> AsyncIterator[Dead]:
        """Yield them, oldest first; of one kind, and the one of this id, where they are named."""
        query = {"status": Status.DEAD.value, **({} if kind is None else {"kind": kind})}
        if one is not None:
            query["_id"] = one
        cursor: AsyncIterator[dict[str, Any]] = self._rows.find(query, SHOWN).sort("put_at", 1)
        async for row in cursor:
            yield Dead(row.pop("_id"), **row)

    async def retry(self, parcel_id: str, now: datetime) -> bool:
        """Let it be delivered after all; False if it is not dead any more."""
        grace_ms = GRACE // timedelta(milliseconds=1)
        pending = {
            "status": Status.PENDING.value,
            "attempts": 0,
            "next_attempt_at": now,
            "until": {"$add": ["$expires_at", grace_ms]},
        }
        done = await self._rows.update_one(
            {"_id": parcel_id, "status": Status.DEAD.value},
            [{"$set": pending}, {"$unset": "error"}],
        )
        return bool(done.modified_count)

    async def count_waiting(self) -> int:
        """Return how many parcels are to be delivered."""
        return int(await self._rows.count_documents({"next_attempt_at": {"$exists": True}}))


def _held(claimed: Claimed) -> dict[str, Any]:
    """Return what finds a row while its worker holds it: afterwards another one may be done."""
    return {"_id": claimed.id, "lease_until": claimed.row["lease_until"]}


def _place(parcel_id: str) -> Context:
    return Context(COLLECTION, "payload", parcel_id)
