"""Consents in MongoDB: the only place that queries them. Rows are added, never changed."""

from datetime import datetime
from typing import Any

from models.children.records import Consent
from models.consent.records import ConsentRow
from models.db import DuplicateKeyError, Mongo, Session


class ConsentRepo:
    """Writes rows, and with each the state that the child's document shows.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._db = mongo.database

    async def ensure_indexes(self) -> None:
        """Make the indexes the queries below use; those that exist are left alone."""
        await self._db["consents"].create_index([("child_id", 1), ("at", -1), ("_id", -1)])

    async def add(self, row: ConsentRow) -> bool:
        """Add the next row of a child and purpose; False if it is not the next one."""
        state = f"consents.{row.purpose}"
        fields = {"given": row.given, "version": row.version, "n": row.n, "at": row.at}
        before: dict[str, Any] = {f"{state}.n": row.n - 1} if row.n > 1 else {state: None}

        async def work(session: Session) -> bool:
            done = await self._db["children"].update_one(
                {"_id": row.child_id, "removed_at": None, "guardians": row.by, **before},
                {"$set": {state: fields}},
                session=session,
            )
            if not done.matched_count:
                return False
            await self._db["consents"].insert_one(_document(row), session=session)
            return True

        try:
            return await self._mongo.transact(work)
        except DuplicateKeyError:
            return False

    async def list_rows(
        self, child_id: str, limit: int, before: tuple[datetime, str] | None = None
    ) -> list[tuple[str, ConsentRow]]:
        """Return the ids and rows of a child, the newest first.

        Args:
            before: time and id of the last row that is known already.
        """
        query: dict[str, Any] = {"child_id": child_id}
        if before is not None:
            at, last = before
            query["$or"] = [{"at": {"$lt": at}}, {"at": at, "_id": {"$lt": last}}]
        cursor = self._db["consents"].find(query).sort([("at", -1), ("_id", -1)])
        return [(found["_id"], _row(found)) for found in await cursor.to_list(limit)]


def _document(row: ConsentRow) -> dict[str, Any]:
    return {
        "_id": f"{row.child_id}:{row.purpose}:{row.n:06d}",
        "child_id": row.child_id,
        "purpose": row.purpose.value,
        "n": row.n,
        "given": row.given,
        "version": row.version,
        "locale": row.locale,
        "by": row.by,
        "at": row.at,
    }


def _row(document: dict[str, Any]) -> ConsentRow:
    fields = {name: document[name] for name in ConsentRow.__slots__ if name != "purpose"}
    return ConsentRow(purpose=Consent(document["purpose"]), **fields)
