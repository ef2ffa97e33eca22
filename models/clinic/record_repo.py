"""Diagnoses of children in MongoDB: the only place that queries them.

Records are added; what is said of one later (that it was put right or deleted) is marked on it,
never written over it.
"""

from datetime import datetime
from typing import Any

from models.db import Mongo, Session

Document = dict[str, Any]


class RecordRepo:
    """Reads and writes diagnoses.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._db = mongo.database

    async def ensure_indexes(self) -> None:
        """Make the indexes the queries below use; those that exist are left alone."""
        await self._db["diagnoses"].create_index(
            [("child_id", 1), ("diagnosed_on", -1), ("at", -1), ("_id", -1)]
        )

    async def add_diagnosis(self, document: Document) -> bool:
        """Add a diagnosis, mark the one it puts right, and settle the child's hand.

        Returns:
            False if the one to put right is not valid any more, or not of this child.

        Raises:
            DuplicateKeyError: one of this id is there.
        """

        async def work(session: Session) -> bool:
            before = document["supersedes"]
            if before is not None and not await self._mark(
                document["child_id"], before, {"superseded_by": document["_id"]}, session
            ):
                await session.abort_transaction()
                return False
            await self._db["diagnoses"].insert_one(document, session=session)
            await self._settle_hand(document["child_id"], session)
            return True

        return await self._mongo.transact(work)

    async def delete_diagnosis(
        self, child_id: str, diagnosis_id: str, by: str, reason: str, now: datetime
    ) -> bool:
        """Mark a valid diagnosis as deleted and settle the child's hand; False if there is none."""
        mark = {"deleted_at": now, "deleted_by": by, "delete_reason": reason}

        async def work(session: Session) -> bool:
            if not await self._mark(child_id, diagnosis_id, mark, session):
                return False
            await self._settle_hand(child_id, session)
            return True

        return await self._mongo.transact(work)

    async def _mark(
        self, child_id: str, diagnosis_id: str, mark: Document, session: Session
    ) -> bool:
        done = await self._db["diagnoses"].update_one(
            {"_id": diagnosis_id, "child_id": child_id, "superseded_by": None, "deleted_at": None},
            {"$set": mark},
            session=session,
        )
        return bool(done.matched_count)

    async def _settle_hand(self, child_id: str, session: Session) -> None:
        """Let the child's document show the hand of the newest valid diagnosis."""
        newest = await self._db["diagnoses"].find_one(
            {"child_id": child_id, "superseded_by": None, "deleted_at": None},
            sort=[("diagnosed_on", -1), ("at", -1), ("_id", -1)],
            session=session,
        )
        hand = None if newest is None else newest["affected_hand"]
        await self._db["children"].update_one(
            {"_id": child_id}, {"$set": {"diagnosed_hand": hand}}, session=session
        )

    async def find_diagnosis(self, child_id: str, diagnosis_id: str) -> Document | None:
        """Return a diagnosis of a child."""
        found: Document | None = await self._db["diagnoses"].find_one(
            {"_id": diagnosis_id, "child_id": child_id}
        )
        return found

    async def list_diagnoses(
        self, child_id: str, limit: int, before: tuple[str, datetime, str] | None = None
    ) -> list[Document]:
        """Return the diagnoses of a child, the newest first.

        Args:
            before: date, time of writing and id of the last one that is known already.
        """
        query: Document = {"child_id": child_id}
        if before is not None:
            day, at, last = before
            query["$or"] = [
                {"diagnosed_on": {"$lt": day}},
                {"diagnosed_on": day, "at": {"$lt": at}},
                {"diagnosed_on": day, "at": at, "_id": {"$lt": last}},
            ]
        order = [("diagnosed_on", -1), ("at", -1), ("_id", -1)]
        found: list[Document] = await self._db["diagnoses"].find(query).sort(order).to_list(limit)
        return found

    async def earliest_diagnosis(self, child_id: str) -> str | None:
        """Return the date of the earliest valid diagnosis, as ISO text."""
        found = await self._db["diagnoses"].find_one(
            {"child_id": child_id, "superseded_by": None, "deleted_at": None},
            sort=[("diagnosed_on", 1)],
        )
        return None if found is None else str(found["diagnosed_on"])
