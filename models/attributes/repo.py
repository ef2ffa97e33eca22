"""Attributes in MongoDB: the only place that queries them. One is closed, never written over."""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum, auto
from typing import Any, Final

from models.accounts.records import USABLE
from models.attributes.records import AttributeType
from models.db import DuplicateKeyError, Mongo, Session

Document = dict[str, Any]
STAYING: Final[Mapping[AttributeType, tuple[str, Document]]] = {
    AttributeType.CLINICAL_TRIAL: ("children", {"removed_at": None}),
    AttributeType.CHILDREN_LIMIT: (
        "users",
        {"status": {"$in": sorted(one.value for one in USABLE)}},
    ),
}
"""Of whom each type is, by collection, and how somebody is found who is not being erased."""


class Added(Enum):
    """What became of an attribute that was to be added."""

    DONE = auto()
    OPEN = auto()
    """Its subject has an open one of this type."""
    GONE = auto()
    """Its subject is being erased, or is not there."""


class AttributeRepo:
    """Reads and writes attributes.

    One that is added writes the document of its subject in the same transaction, so nothing is
    said of somebody whose erasure began, and whoever decides by what holds of a child and writes
    that child is in the way of one that comes meanwhile.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._db = mongo.database
        self._rows = mongo.database["user_attributes"]

    async def ensure_indexes(self) -> None:
        """Make the indexes the queries below use; those that exist are left alone."""
        await self._rows.create_index([("subject", 1), ("valid_from", -1)])
        # Of each type somebody has one that is open.
        await self._rows.create_index(
            [("subject", 1), ("type", 1)],
            unique=True,
            partialFilterExpression={"open": True},
            name="one_open_of_a_type",
        )

    async def add(self, document: Document, now: datetime) -> Added:
        """Add an attribute of somebody who stays; one whose time is over is closed first."""
        collection, staying = STAYING[AttributeType(document["type"])]

        async def work(session: Session) -> Added:
            held = await self._db[collection].update_one(
                {"_id": document["subject"], **staying},
                {"$inc": {"attributes_n": 1}},
                session=session,
            )
            if not held.matched_count:
                return Added.GONE
            await self._rows.update_many(
                {
                    "subject": document["subject"],
                    "type": document["type"],
                    "open": True,
                    "valid_to": {"$ne": None, "$lte": now},
                },
                {
                    "$set": {"closed_at": now, "close_reason": "its time was over"},
                    "$unset": {"open": ""},
                },
                session=session,
            )
            await self._rows.insert_one({**document, "open": True}, session=session)
            return Added.DONE

        try:
            return await self._mongo.transact(work)
        except DuplicateKeyError:
            return Added.OPEN

    async def close(
        self, subject: str, attribute_id: str, by: str, reason: str, now: datetime
    ) -> bool:
        """Let an open attribute end now, if it did not before; False if there is none."""
        said = {"closed_at": now, "closed_by": by, "close_reason": reason}
        done = await self._rows.update_one(
            {"_id": attribute_id, "subject": subject, "open": True},
            [
                # The $min of an expression passes over null, which is no end.
                {"$set": {"valid_to": {"$min": ["$valid_to", now]}}},
                {"$set": {name: {"$literal": value} for name, value in said.items()}},
                {"$unset": "open"},
            ],
        )
        return bool(done.matched_count)

    async def find(self, subject: str, attribute_id: str) -> Document | None:
        """Return an attribute of somebody."""
        found: Document | None = await self._rows.find_one(
            {"_id": attribute_id, "subject": subject}
        )
        return found

    async def find_open(
        self, subject: str, kind: AttributeType, session: Session | None = None
    ) -> Document | None:
        """Return the one of a type that was not closed; its time may not have come, or be over."""
        found: Document | None = await self._rows.find_one(
            {"subject": subject, "type": kind.value, "open": True}, session=session
        )
        return found

    async def list_of(self, subject: str, limit: int) -> list[Document]:
        """Return the attributes of somebody, the newest first."""
        cursor = self._rows.find({"subject": subject}).sort("valid_from", -1)
        found: list[Document] = await cursor.to_list(limit)
        return found
