"""News from outside, kept before they are acted on: each once, until they are done or given up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from models.accounts.records import Provider, method_key
from models.cipher import Context, FieldCipher
from models.db import AFTER, Database, DuplicateKeyError

COLLECTION: Final = "webhook_inbox"


class Kind(StrEnum):
    """What happened to somebody at a provider."""

    CUT = "cut"
    """They are not linked to us any more."""
    MAIL_OFF = "mail_off"
    """Mail to their hidden address is not passed on."""
    MAIL_ON = "mail_on"


class Status(StrEnum):
    """How far news are."""

    RECEIVED = "received"
    PROCESSING = "processing"
    DONE = "done"
    IGNORED = "ignored"
    """Nobody here, or over by then."""
    DEAD = "dead"
    """It failed again and again; the operators were told."""


@dataclass(frozen=True, slots=True)
class News:
    """What a provider tells of one person."""

    id: str
    """`<source>:<event id>`."""
    source: Provider
    kind: Kind
    subject: str = field(repr=False)
    """The provider's own id of the person."""
    at: datetime
    """When it happened, to the millisecond."""

    @property
    def key(self) -> str:
        """The way in it is about."""
        return method_key(self.source, self.subject)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row that a worker holds."""

    id: str
    source: str
    attempts: int
    row: Mapping[str, Any] = field(repr=False)

    @property
    def held(self) -> dict[str, Any]:
        """What finds the row while this worker holds it: afterwards another one may be done."""
        return {"_id": self.id, "lease_until": self.row["lease_until"]}


def about(cipher: FieldCipher, key: str) -> str:
    """Return what news of a way in are found by, when their person is erased."""
    return cipher.index(key, COLLECTION)


class Inbox:
    """The collection `webhook_inbox`.

    Whom news are about is sealed, and gone when they are settled.

    Args:
        keep: how long it stays known that they were taken.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, database: Database, cipher: FieldCipher, keep: timedelta) -> None:
        self._rows = database["webhook_inbox"]
        self._cipher = cipher
        self._keep = keep

    async def ensure_indexes(self) -> None:
        """Make the indexes."""
        await self._rows.create_index("next_attempt_at", sparse=True)
        await self._rows.create_index("about", sparse=True)
        await self._rows.create_index("until", expireAfterSeconds=0)

    async def put(self, news: News, now: datetime) -> bool:
        """Keep news; False if they were taken before, which changes nothing."""
        row = {
            "_id": news.id,
            "source": news.source.value,
            "kind": news.kind.value,
            "raw": self._cipher.seal(news.subject, _place(news.id)),
            "about": about(self._cipher, news.key),
            "received_at": now,
            "signed_at": news.at,
            "status": Status.RECEIVED.value,
            "attempts": 0,
            "next_attempt_at": now,
        }
        try:
            await self._rows.insert_one(row)
        except DuplicateKeyError:
            return False
        return True

    async def claim(self, now: datetime, until: datetime) -> Claimed | None:
        """Take what is due and nobody works on, and hold it until then."""
        row = await self._rows.find_one_and_update(
            {
                "next_attempt_at": {"$lte": now},
                "$or": [{"lease_until": None}, {"lease_until": {"$lte": now}}],
            },
            {"$set": {"status": Status.PROCESSING.value, "lease_until": until}},
            sort=[("next_attempt_at", 1)],
            return_document=AFTER,
        )
        return None if row is None else Claimed(row["_id"], row["source"], row["attempts"], row)

    def read(self, claimed: Claimed) -> News:
        """Return the news of a row.

        Raises:
            models.cipher.UnsealError: whom they are about cannot be opened.
        """
        row = claimed.row
        return News(
            id=claimed.id,
            source=Provider(claimed.source),
            kind=Kind(row["kind"]),
            subject=self._cipher.open(row["raw"], _place(claimed.id)),
            at=row["signed_at"],
        )

    async def settle(self, claimed: Claimed, status: Status, now: datetime) -> None:
        """Write down that news are over; whom they were about is forgotten."""
        await self._rows.update_one(
            {"_id": claimed.id},
            {
                "$set": {"status": status.value, "until": now + self._keep},
                "$unset": dict.fromkeys(
                    ("raw", "about", "next_attempt_at", "lease_until", "error"), ""
                ),
            },
        )

    async def put_off(self, claimed: Claimed, at: datetime) -> None:
        """Try again then; it was not at fault."""
        await self._rows.update_one(
            claimed.held,
            {
                "$set": {"status": Status.RECEIVED.value, "next_attempt_at": at},
                "$unset": {"lease_until": ""},
            },
        )

    async def fail(
        self, claimed: Claimed, error: str, again: datetime | None, now: datetime
    ) -> None:
        """Write down a failure, and when to try again; None gives it up.

        What was given up is kept with whom it is about, for the operators, as long as the others.
        """
        status = Status.DEAD if again is None else Status.RECEIVED
        gone = {"lease_until": ""}
        changed: dict[str, Any] = {"status": status.value, "error": error}
        if again is None:
            gone["next_attempt_at"] = ""
            changed["until"] = now + self._keep
        else:
            changed["next_attempt_at"] = again
        await self._rows.update_one(
            claimed.held, {"$set": changed, "$inc": {"attempts": 1}, "$unset": gone}
        )


def _place(news_id: str) -> Context:
    return Context(COLLECTION, "raw", news_id)
