"""Children and the invitations to their guardians in MongoDB: the only place that queries them.

Who may reach a child is part of the query that finds it: a child that is not there and one that
is somebody else's give the same answer, nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from models.children.records import GUARDIANS_MAX, Consent
from models.db import DuplicateKeyError, Mongo, Session, aggregate

Document = dict[str, Any]
HERE: Final = {"removed_at": None}
"""Of a child that was not removed."""
ERASED: Final = (
    "name", "alias", "birth_date", "sex", "dominant_hand", "affected_hand", "diagnosed_hand",
)  # fmt: skip
"""What is taken out of the document of a child that is removed."""


class Way(StrEnum):
    """As what somebody reaches a child."""

    GUARDIAN = "guardian"
    CHILD = "child"
    THERAPIST = "therapist"
    SERVICE = "service"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for children, and as what they may."""

    user_id: str
    child_id: str | None
    """Of a device: its child."""
    ways: tuple[Way, ...]
    now: datetime


class ChildRepo:
    """Reads and writes children.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._db = mongo.database

    async def ensure_indexes(self) -> None:
        """Make the indexes the queries below use; those that exist are left alone."""
        children = self._db["children"]
        for key in ("guardians", "care.therapist_id", "care.clinic_id"):
            await children.create_index([(key, 1), ("_id", 1)])
        await children.create_index("alias")
        invites = self._db["guardian_invites"]
        await invites.create_index("code_index", unique=True)
        await invites.create_index([("child_id", 1), ("status", 1)])

    # -- the door

    async def find_reachable(self, child_id: str, asker: Asker) -> Document | None:
        """Return the document of a child if the asker may reach it, in one query.

        `through` holds the clinics through which a therapist reaches it.
        """
        found = await aggregate(self._db["children"], reaching([child_id], asker))
        return found[0] if found else None

    async def list_reachable(self, child_ids: Sequence[str], asker: Asker) -> set[str]:
        """Return those of some children that the asker may reach."""
        pipeline = [*reaching(child_ids, asker), {"$project": {"_id": 1}}]
        return {found["_id"] for found in await aggregate(self._db["children"], pipeline)}

    async def list_children(self, asker: Asker, after: str, limit: int) -> list[Document]:
        """Return children the asker may reach, by id from `after` on."""
        clinics: list[str] = []
        if Way.THERAPIST in asker.ways:
            mine = self._db["clinics"].find({"therapists": asker.user_id}, {"_id": 1})
            clinics = [clinic["_id"] async for clinic in mine]
        query = {**HERE, "_id": {"$gt": after}, "$or": belonging(asker, clinics)}
        found: list[Document] = await self._db["children"].find(query).sort("_id", 1).to_list(limit)
        return [{**document, "through": clinics} for document in found]

    async def exists(self, child_id: str) -> bool:
        """Tell whether there is such a child, for the count of those who tried."""
        found = await self._db["children"].find_one({"_id": child_id}, {"_id": 1})
        return found is not None

    # -- the profile

    async def insert(self, document: Document) -> bool:
        """Add a child; False if one of this id is there."""
        try:
            await self._db["children"].insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    async def find(self, child_id: str) -> Document | None:
        """Return a child, whoever asks."""
        found: Document | None = await self._db["children"].find_one({"_id": child_id, **HERE})
        return found

    async def list_of_guardian(self, user_id: str) -> list[str]:
        """Return the ids of somebody's children."""
        found = self._db["children"].find({"guardians": user_id, **HERE}, {"_id": 1})
        return [child["_id"] async for child in found.sort("_id", 1)]

    async def list_guardians(self, key: Mapping[str, str]) -> list[str]:
        """Return the guardians of the children with an `_id` or an `alias`; of 200 at most."""
        found = self._db["children"].find({**key, **HERE}, {"guardians": 1}).limit(200)
        return sorted({user_id async for child in found for user_id in child["guardians"]})

    async def count_of_guardian(self, user_id: str) -> int:
        """Return how many children somebody is a guardian of."""
        count: int = await self._db["children"].count_documents({"guardians": user_id, **HERE})
        return count

    async def change(self, child_id: str, version: int, fields: Document) -> Document | None:
        """Set fields of a child that is still of this version; None if it is not."""
        found: Document | None = await self._db["children"].find_one_and_update(
            {"_id": child_id, "version": version, **HERE},
            {"$set": fields, "$inc": {"version": 1}},
            return_document=True,
        )
        return found

    async def remove(
        self, child_id: str, user_id: str, now: datetime, *, only_guardian: bool = False
    ) -> None:
        """Take a child out of the product, and what is personal out of its document.

        Args:
            only_guardian: not if the child has another guardian than `user_id`.
        """
        asked = {"_id": child_id, **HERE, **({"guardians": [user_id]} if only_guardian else {})}

        async def work(session: Session) -> None:
            done = await self._db["children"].update_one(
                asked,
                {
                    "$set": {"removed_at": now, "removed_by": user_id, "guardians": [], "care": []},
                    "$unset": dict.fromkeys(ERASED, ""),
                },
                session=session,
            )
            if not done.matched_count:
                return
            await self._db["guardian_invites"].update_many(
                {"child_id": child_id, "status": "open"},
                {"$set": {"status": "withdrawn"}},
                session=session,
            )
            await self._db["care_assignments"].update_many(
                {"child_id": child_id, "status": {"$in": ["invited", "active"]}},
                {
                    "$set": {"status": "ended", "ended_at": now, "end_reason": "child_removed"},
                    "$unset": {"pair": ""},
                },
                session=session,
            )

        await self._mongo.transact(work)

    # -- guardians

    async def insert_invite(self, document: Document) -> bool:
        """Add an invitation; False if one of this id is there."""
        try:
            await self._db["guardian_invites"].insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    async def find_invite(self, key: Mapping[str, str]) -> Document | None:
        """Return an invitation, by its `_id` or its `code_index`."""
        found: Document | None = await self._db["guardian_invites"].find_one(dict(key))
        return found

    async def list_invites(self, child_id: str, now: datetime) -> list[Document]:
        """Return the invitations to a child that can still be taken."""
        query = {"child_id": child_id, "status": "open", "until": {"$gt": now}}
        found: list[Document] = await self._db["guardian_invites"].find(query).to_list(100)
        return found

    async def withdraw_invite(self, child_id: str, invite_id: str) -> bool:
        """Withdraw an invitation; False if it is not there or was taken."""
        done = await self._db["guardian_invites"].update_one(
            {"_id": invite_id, "child_id": child_id, "status": {"$ne": "used"}},
            {"$set": {"status": "withdrawn"}},
        )
        return bool(done.matched_count)

    async def take_invite(self, code_index: str, user_id: str, now: datetime) -> Document | None:
        """Make somebody a guardian by an open invitation; return the child, or None.

        The invitation and the child change together, or not at all.
        """

        async def work(session: Session) -> Document | None:
            invite = await self._db["guardian_invites"].find_one_and_update(
                {"code_index": code_index, "status": "open", "until": {"$gt": now}},
                {"$set": {"status": "used", "used_by": user_id, "used_at": now}},
                session=session,
            )
            if invite is None:
                return None
            found: Document | None = await self._db["children"].find_one_and_update(
                {
                    "_id": invite["child_id"],
                    **HERE,
                    "guardians": {"$eq": invite["invited_by"], "$ne": user_id},
                    f"guardians.{GUARDIANS_MAX - 1}": {"$exists": False},
                },
                {"$push": {"guardians": user_id}, "$inc": {"version": 1}},
                session=session,
                return_document=True,
            )
            if found is None:
                await session.abort_transaction()
            return found

        return await self._mongo.transact(work)

    async def remove_guardian(self, child_id: str, user_id: str) -> bool:
        """Take a guardian from a child that keeps another; False if that cannot be."""
        done = await self._db["children"].update_one(
            {"_id": child_id, **HERE, "guardians": user_id, "guardians.1": {"$exists": True}},
            {"$pull": {"guardians": user_id}, "$inc": {"version": 1}},
        )
        return bool(done.modified_count)


def belonging(asker: Asker, clinics: Sequence[str]) -> list[Document]:
    """Return the conditions of which a child must meet one, as far as they have an index."""
    consented = {f"consents.{Consent.THERAPIST_VIEWING}.given": True}
    until = {"until": {"$gt": asker.now}}
    conditions: dict[Way, list[Document]] = {
        Way.GUARDIAN: [{"guardians": asker.user_id}],
        # A device plays in the name of the guardian who let it in.
        Way.CHILD: [{"_id": asker.child_id, "guardians": asker.user_id}],
        Way.THERAPIST: [
            {**consented, "care": {"$elemMatch": {"therapist_id": asker.user_id, **until}}},
            {**consented, "care": {"$elemMatch": {"clinic_id": {"$in": list(clinics)}, **until}}},
        ],
        Way.SERVICE: [{f"consents.{Consent.RESEARCH}.given": True}],
        Way.ADMIN: [{}],
    }
    return [condition for way in asker.ways for condition in conditions[way]]


def reaching(child_ids: Sequence[str], asker: Asker) -> list[Document]:
    """Return the query for those of some children that the asker may reach.

    A therapist's clinics are looked up for each child, so membership counts as it is now.
    """
    stages: list[Document] = [{"$match": {"_id": {"$in": list(child_ids)}, **HERE}}]
    conditions = belonging(asker, ())
    if Way.THERAPIST in asker.ways:
        stages.append(
            {
                "$lookup": {
                    "from": "clinics",
                    "localField": "care.clinic_id",
                    "foreignField": "_id",
                    "pipeline": [
                        {"$match": {"therapists": asker.user_id}},
                        {"$project": {"_id": 1}},
                    ],
                    "as": "clinics",
                }
            }
        )
        stages.append({"$set": {"through": "$clinics._id"}})
        mine = {
            "$and": [
                {"$gt": ["$$care.until", asker.now]},
                {"$in": ["$$care.clinic_id", "$through"]},
            ]
        }
        some = {"$anyElementTrue": {"$map": {"input": "$care", "as": "care", "in": mine}}}
        conditions.append({f"consents.{Consent.THERAPIST_VIEWING}.given": True, "$expr": some})
    stages.append({"$match": {"$or": conditions or [{"_id": {"$in": []}}]}})
    return stages
