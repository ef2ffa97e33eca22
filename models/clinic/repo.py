"""Clinics and care assignments in MongoDB: the only place that queries them.

An assignment that is active also stands in the child's document, where the door looks. Both are
written in one transaction, so neither is ever seen without the other.
"""

from datetime import datetime
from typing import Any

from models.clinic.records import CARE_MAX, THERAPISTS_MAX, CareStatus, EndReason
from models.db import DuplicateKeyError, Mongo, Session

Document = dict[str, Any]


class CareRepo:
    """Reads and writes clinics and assignments.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._db = mongo.database

    async def ensure_indexes(self) -> None:
        """Make the indexes the queries below use; those that exist are left alone."""
        await self._db["clinics"].create_index("therapists")
        care = self._db["care_assignments"]
        await care.create_index("code_index", unique=True)
        await care.create_index([("child_id", 1), ("invited_at", -1)])
        # One of each pair at a time. `pair` names it, and is taken away at the end.
        await care.create_index(
            "pair", unique=True, partialFilterExpression={"pair": {"$exists": True}}
        )

    # -- clinics

    async def insert_clinic(self, document: Document) -> bool:
        """Add a clinic; False if one of this id is there."""
        try:
            await self._db["clinics"].insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    async def find_clinic(self, clinic_id: str) -> Document | None:
        """Return a clinic."""
        found: Document | None = await self._db["clinics"].find_one({"_id": clinic_id})
        return found

    async def list_clinics(self, after: str, limit: int) -> list[Document]:
        """Return clinics by id, from `after` on."""
        cursor = self._db["clinics"].find({"_id": {"$gt": after}}).sort("_id", 1)
        found: list[Document] = await cursor.to_list(limit)
        return found

    async def add_therapist(self, clinic_id: str, user_id: str) -> Document | None:
        """Add a therapist to a clinic that has room, and return it."""
        found: Document | None = await self._db["clinics"].find_one_and_update(
            {"_id": clinic_id, f"therapists.{THERAPISTS_MAX - 1}": {"$exists": False}},
            {"$addToSet": {"therapists": user_id}},
            return_document=True,
        )
        return found

    async def remove_therapist(self, clinic_id: str, user_id: str) -> Document | None:
        """Take a therapist from a clinic, and return it."""
        found: Document | None = await self._db["clinics"].find_one_and_update(
            {"_id": clinic_id}, {"$pull": {"therapists": user_id}}, return_document=True
        )
        return found

    async def list_of_therapist(self, user_id: str) -> list[str]:
        """Return the ids of a therapist's clinics."""
        found = self._db["clinics"].find({"therapists": user_id}, {"_id": 1})
        return [clinic["_id"] async for clinic in found.sort("_id", 1)]

    async def list_children_of_clinic(self, clinic_id: str) -> list[str]:
        """Return the children in the care of a clinic."""
        cursor = self._db["children"].find({"care.clinic_id": clinic_id}, {"_id": 1})
        return [child["_id"] async for child in cursor]

    # -- assignments

    async def insert(self, document: Document) -> bool:
        """Add an invitation; False if one of this id is there."""
        try:
            await self._db["care_assignments"].insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    async def find(self, key: dict[str, str]) -> Document | None:
        """Return an assignment, by its `_id` or its `code_index`."""
        found: Document | None = await self._db["care_assignments"].find_one(key)
        return found

    async def list_of_child(self, child_id: str, limit: int) -> list[Document]:
        """Return the assignments of a child, the newest first."""
        cursor = self._db["care_assignments"].find({"child_id": child_id}).sort("invited_at", -1)
        found: list[Document] = await cursor.to_list(limit)
        return found

    async def count_open(self, child_id: str, now: datetime) -> int:
        """Return how many assignments of a child are invited or active."""
        open_ones = [
            {"status": CareStatus.INVITED, "invite_until": {"$gt": now}},
            {"status": CareStatus.ACTIVE, "until": {"$gt": now}},
        ]
        count: int = await self._db["care_assignments"].count_documents(
            {"child_id": child_id, "$or": open_ones}
        )
        return count

    async def accept(
        self, code_index: str, user_id: str, until_of: Any, now: datetime
    ) -> Document | None:
        """Turn an open invitation into care by this therapist, or by their clinic.

        Args:
            until_of: returns the end of the care that an invitation's document asks for.

        Returns:
            The assignment; None if the invitation is not open, not for this therapist, or its
            guardian or child is gone.

        Raises:
            DuplicateKeyError: the child is in the care of the same therapist or clinic already.
        """

        async def work(session: Session) -> Document | None:
            invite = await self._db["care_assignments"].find_one(
                {
                    "code_index": code_index,
                    "status": CareStatus.INVITED,
                    "invite_until": {"$gt": now},
                },
                session=session,
            )
            if invite is None:
                return None
            clinic_id = invite.get("clinic_id")
            if clinic_id is not None and not await self._db["clinics"].find_one(
                {"_id": clinic_id, "therapists": user_id}, {"_id": 1}, session=session
            ):
                return None
            holder = {"clinic_id": clinic_id} if clinic_id else {"therapist_id": user_id}
            pair = f"{invite['child_id']}:{clinic_id or user_id}"
            await self._end_expired(invite["child_id"], pair, now, session)
            until = until_of(invite)
            done: Document | None = await self._db["care_assignments"].find_one_and_update(
                {"_id": invite["_id"], "status": CareStatus.INVITED},
                {
                    "$set": {
                        **holder,
                        "status": CareStatus.ACTIVE,
                        "accepted_by": user_id,
                        "accepted_at": now,
                        "until": until,
                        "pair": pair,
                    }
                },
                session=session,
                return_document=True,
            )
            entry = {"assignment_id": invite["_id"], **holder, "until": until}
            placed = await self._db["children"].update_one(
                {
                    "_id": invite["child_id"],
                    "removed_at": None,
                    "guardians": invite["invited_by"],
                    f"care.{CARE_MAX - 1}": {"$exists": False},
                },
                {"$push": {"care": entry}},
                session=session,
            )
            if done is None or not placed.matched_count:
                await session.abort_transaction()
                return None
            return done

        return await self._mongo.transact(work)

    async def _end_expired(self, child_id: str, pair: str, now: datetime, session: Session) -> None:
        """Write down that time has ended an earlier assignment of the same pair."""
        await self._db["care_assignments"].update_many(
            {"pair": pair, "until": {"$lte": now}},
            {
                "$set": {
                    "status": CareStatus.ENDED,
                    "ended_at": now,
                    "end_reason": EndReason.EXPIRED,
                },
                "$unset": {"pair": ""},
            },
            session=session,
        )
        await self._db["children"].update_one(
            {"_id": child_id}, {"$pull": {"care": {"until": {"$lte": now}}}}, session=session
        )

    async def end(
        self, key: Document, user_id: str, reason: EndReason, now: datetime
    ) -> Document | None:
        """End an assignment that is invited or active, and return it; None if there is none.

        Args:
            key: `_id` and whatever else must be so.
        """

        async def work(session: Session) -> Document | None:
            found: Document | None = await self._db["care_assignments"].find_one_and_update(
                {**key, "status": {"$in": [CareStatus.INVITED, CareStatus.ACTIVE]}},
                {
                    "$set": {
                        "status": CareStatus.ENDED,
                        "ended_at": now,
                        "ended_by": user_id,
                        "end_reason": reason,
                    },
                    "$unset": {"pair": ""},
                },
                session=session,
                return_document=True,
            )
            if found is not None:
                await self._db["children"].update_one(
                    {"_id": found["child_id"]},
                    {"$pull": {"care": {"assignment_id": found["_id"]}}},
                    session=session,
                )
            return found

        return await self._mongo.transact(work)
