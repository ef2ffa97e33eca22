"""Attributes in MongoDB: the only place that queries them. One is closed, never written over."""

from datetime import datetime
from typing import Any

from models.attributes.records import AttributeType
from models.db import Database, DuplicateKeyError

Document = dict[str, Any]


class AttributeRepo:
    """Reads and writes attributes.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, database: Database) -> None:
        self._rows = database["user_attributes"]

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

    async def add(self, document: Document, now: datetime) -> bool:
        """Add an attribute; False if its subject has an open one of this type.

        One whose time is over is closed first.
        """
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
        )
        try:
            await self._rows.insert_one({**document, "open": True})
        except DuplicateKeyError:
            return False
        return True

    async def close(
        self, subject: str, attribute_id: str, by: str, reason: str, now: datetime
    ) -> bool:
        """Let an open attribute end now; False if there is none."""
        done = await self._rows.update_one(
            {"_id": attribute_id, "subject": subject, "open": True},
            {
                "$set": {
                    "valid_to": now, "closed_at": now, "closed_by": by, "close_reason": reason,
                },
                "$unset": {"open": ""},
            },
        )  # fmt: skip
        return bool(done.matched_count)

    async def find(self, subject: str, attribute_id: str) -> Document | None:
        """Return an attribute of somebody."""
        found: Document | None = await self._rows.find_one(
            {"_id": attribute_id, "subject": subject}
        )
        return found

    async def find_open(self, subject: str, kind: AttributeType) -> Document | None:
        """Return the one of a type that was not closed; its time may not have come, or be over."""
        found: Document | None = await self._rows.find_one(
            {"subject": subject, "type": kind.value, "open": True}
        )
        return found

    async def list_of(self, subject: str, limit: int) -> list[Document]:
        """Return the attributes of somebody, the newest first."""
        cursor = self._rows.find({"subject": subject}).sort("valid_from", -1)
        found: list[Document] = await cursor.to_list(limit)
        return found
