"""Diagnoses, grades and attributes of children in MongoDB: the only place that queries them.

Records are added; what is said of one later (that it was put right, deleted or closed) is marked
on it, never written over it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from models.clinic.records import GradeChange
from models.db import DuplicateKeyError, Mongo, Session

Document = dict[str, Any]


class RecordRepo:
    """Reads and writes what therapists and admins record of children.

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
        await self._db["grade_history"].create_index([("child_id", 1), ("n", -1)], unique=True)
        attributes = self._db["user_attributes"]
        await attributes.create_index([("subject", 1), ("valid_from", -1)])
        # Of each type a child has one that is open.
        await attributes.create_index(
            [("subject", 1), ("type", 1)],
            unique=True,
            partialFilterExpression={"open": True},
            name="one_open_of_a_type",
        )

    # -- diagnoses

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

    # -- grades

    async def add_grade(self, change: GradeChange) -> bool:
        """Change a child's grade and write the change down; False if another one came before."""
        fields = ("child_id", "n", "before", "after", "source", "reason", "by", "at")
        row = {"_id": f"{change.child_id}:{change.n:06d}"}
        row |= {name: getattr(change, name) for name in fields}

        async def work(session: Session) -> bool:
            done = await self._db["children"].update_one(
                {"_id": change.child_id, "removed_at": None, "grade_n": change.n - 1},
                {"$set": {"grade": change.after, "grade_n": change.n}},
                session=session,
            )
            if not done.matched_count:
                return False
            await self._db["grade_history"].insert_one(row, session=session)
            return True

        return await self._mongo.transact(work)

    async def list_grades(
        self, child_id: str, limit: int, before: int | None = None
    ) -> list[Document]:
        """Return the changes of a child's grade, the newest first, those below a number."""
        query: Document = {"child_id": child_id}
        if before is not None:
            query["n"] = {"$lt": before}
        cursor = self._db["grade_history"].find(query).sort("n", -1)
        found: list[Document] = await cursor.to_list(limit)
        return found

    # -- attributes

    async def add_attribute(self, document: Document, now: datetime) -> bool:
        """Add an attribute; False if the child has an open one of this type.

        One whose time is over is closed first.
        """
        await self._db["user_attributes"].update_many(
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
            await self._db["user_attributes"].insert_one({**document, "open": True})
        except DuplicateKeyError:
            return False
        return True

    async def close_attribute(
        self, subject: str, attribute_id: str, by: str, reason: str, now: datetime
    ) -> bool:
        """Let an open attribute end now; False if there is none."""
        mark: Mapping[str, Any] = {
            "valid_to": now, "closed_at": now, "closed_by": by, "close_reason": reason,
        }  # fmt: skip
        done = await self._db["user_attributes"].update_one(
            {"_id": attribute_id, "subject": subject, "open": True},
            {"$set": mark, "$unset": {"open": ""}},
        )
        return bool(done.matched_count)

    async def find_attribute(self, subject: str, attribute_id: str) -> Document | None:
        """Return an attribute of a child."""
        found: Document | None = await self._db["user_attributes"].find_one(
            {"_id": attribute_id, "subject": subject}
        )
        return found

    async def list_attributes(self, subject: str, limit: int) -> list[Document]:
        """Return the attributes of a child, the newest first."""
        cursor = self._db["user_attributes"].find({"subject": subject}).sort("valid_from", -1)
        found: list[Document] = await cursor.to_list(limit)
        return found
