"""Batches of test accounts in MongoDB, and the one place that deletes what belongs to them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from models.db import AFTER, Database

OF_SESSION: Final = ("frame_chunks", "play_events", "play_records", "rescored_records",
                     "dead_letters")  # fmt: skip
OF_CHILD: Final = ("therapy_results", "calibrations", "sessions", "consents", "care_assignments",
                   "guardian_invites", "diagnoses", "grade_history", "grade_proposals")  # fmt: skip
"""Collections whose documents name their child. The access log keeps its entries: it is a chain."""


class TestAccountRepo:
    """Keeps what was asked for, and deletes what was made of it.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def begin(
        self, batch_key: str, count: int, template: str, by: str, now: datetime
    ) -> dict[str, Any]:
        """Write down what is asked for, once by its key; return what was asked for first."""
        said = {"count": count, "template": template, "made_by": by, "made_at": now}
        found: dict[str, Any] = await self._db["test_batches"].find_one_and_update(
            {"_id": batch_key}, {"$setOnInsert": said}, upsert=True, return_document=AFTER
        )
        return found

    async def list_accounts(self, prefix: str) -> list[str]:
        """Return the test accounts whose id begins so."""
        query = {"_id": {"$gte": prefix, "$lt": prefix + "\x7f"}, "is_test": True}
        found = self._db["users"].find(query, {"_id": 1}).sort("_id", 1)
        return [user["_id"] async for user in found]

    async def list_sign_ins(self, user_ids: Sequence[str]) -> list[str]:
        """Return every sign-in of some accounts."""
        found = self._db["sign_ins"].find({"user_id": {"$in": list(user_ids)}}, {"_id": 1})
        return [sign_in["_id"] async for sign_in in found]

    async def delete(self, user_ids: Sequence[str], sign_ins: Sequence[str]) -> dict[str, int]:
        """Delete test accounts, and the children who have no other guardian; return how many.

        The accounts go last: a deletion that was cut off finds them again.
        """
        ids = list(user_ids)
        only = {"$in": ids, "$not": {"$elemMatch": {"$nin": ids}}}
        found = self._db["children"].find({"guardians": only}, {"_id": 1})
        children = [child["_id"] async for child in found]
        of_children = {"child_id": {"$in": children}}
        sessions = [one["_id"] async for one in self._db["sessions"].find(of_children, {"_id": 1})]
        counts: dict[str, int] = {}
        for name in OF_SESSION:
            counts[name] = await self._delete(name, {"session_id": {"$in": sessions}})
        for name in OF_CHILD:
            counts[name] = await self._delete(name, of_children)
        counts["user_attributes"] = await self._delete(
            "user_attributes", {"subject": {"$in": [*children, *ids]}}
        )
        counts["therapy_profiles"] = await self._delete(
            "therapy_profiles", {"_id": {"$in": children}}
        )
        counts["children"] = await self._delete("children", {"_id": {"$in": children}})
        await self._db["children"].update_many(
            {"guardians": {"$in": ids}},
            {"$pull": {"guardians": {"$in": ids}}, "$inc": {"version": 1}},
        )
        counts["refresh_tokens"] = await self._delete(
            "refresh_tokens", {"sign_in": {"$in": list(sign_ins)}}
        )
        for name in ("sign_ins", "account_events"):
            counts[name] = await self._delete(name, {"user_id": {"$in": ids}})
        counts["users"] = await self._delete("users", {"_id": {"$in": ids}, "is_test": True})
        return counts

    async def forget(self, batch_key: str) -> None:
        """Forget what was asked for: the key may be used for something else."""
        await self._db["test_batches"].delete_one({"_id": batch_key})

    async def _delete(self, name: str, query: dict[str, Any]) -> int:
        done = await self._db[name].delete_many(query)
        return int(done.deleted_count)
