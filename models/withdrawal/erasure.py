"""What a person and their children left in MongoDB and Redis, and taking it out."""

import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis

from models.answers import owner_of
from models.db import Database

OF_CHILD: Final = {
    "calibrations": "child_id",
    "therapy_profiles": "_id",
    "diagnoses": "child_id",
    "grade_history": "child_id",
    "grade_proposals": "child_id",
    "user_attributes": "subject",
    "consents": "child_id",
    "guardian_invites": "child_id",
    "care_assignments": "child_id",
    "children": "_id",
}
"""Collections about a child, each with the field that names it; the child itself last."""
SIGNED: Final = {
    "children": ("created_by", "removed_by"),
    "consents": ("by",),
    "diagnoses": ("author", "deleted_by"),
    "grade_history": ("by",),
    "grade_proposals": ("settled_by",),
    "user_attributes": ("set_by", "closed_by"),
    "care_assignments": ("invited_by", "accepted_by", "ended_by", "therapist_id"),
    "guardian_invites": ("invited_by", "used_by"),
    "clinics": ("created_by",),
    "sessions": ("opened_by",),
    "forced_tokens": ("admin_id", "revoked_by"),
}
"""Where people stand in what belongs to others: it stays, with a pseudonym in their place."""
SCANNED: Final = 1000


class Erasure:
    """Erases, and counts what it erased.

    Raises:
        models.db.DatabaseError, redis.exceptions.RedisError, OSError, TimeoutError: from every
            method; the same call may be made again.
    """

    def __init__(self, database: Database, redis: Redis, prefix: str) -> None:
        self._db = database
        self._redis = redis
        self._prefix = prefix

    # -- whose children

    async def list_guarded(self, user_id: str) -> list[str]:
        """Return the children somebody is a guardian of."""
        found = self._db["children"].find({"guardians": user_id}, {"_id": 1})
        return [child["_id"] async for child in found]

    async def list_removed(self, user_id: str) -> list[str]:
        """Return the children somebody took out of the product."""
        found = self._db["children"].find({"removed_by": user_id}, {"_id": 1})
        return [child["_id"] async for child in found]

    async def find_child(self, child_id: str) -> dict[str, Any] | None:
        """Return a child, removed or not."""
        found: dict[str, Any] | None = await self._db["children"].find_one({"_id": child_id})
        return found

    # -- care

    async def close_invites(self, user_id: str) -> int:
        """Close the invitations somebody made for other guardians."""
        done = await self._db["guardian_invites"].update_many(
            {"invited_by": user_id, "status": "open"}, {"$set": {"status": "withdrawn"}}
        )
        return int(done.modified_count)

    async def list_care(self, user_id: str) -> list[str]:
        """Return the assignments somebody holds as a therapist, or asked for as a guardian."""
        asked = {
            "$or": [
                {"therapist_id": user_id, "status": {"$in": ["invited", "active"]}},
                {"invited_by": user_id, "status": "invited"},
            ]
        }
        return [one["_id"] async for one in self._db["care_assignments"].find(asked, {"_id": 1})]

    async def leave_clinics(self, user_id: str) -> list[str]:
        """Take a therapist out of their clinics; return the children in the care of those."""
        clinics = [
            clinic["_id"]
            async for clinic in self._db["clinics"].find({"therapists": user_id}, {"_id": 1})
        ]
        await self._db["clinics"].update_many(
            {"therapists": user_id}, {"$pull": {"therapists": user_id}}
        )
        cared = self._db["children"].find({"care.clinic_id": {"$in": clinics}}, {"_id": 1})
        return [child["_id"] async for child in cared]

    # -- what is erased

    async def erase_children(self, child_ids: Sequence[str]) -> dict[str, int]:
        """Erase what is known of children besides what they played."""
        counts = {}
        for name, field in OF_CHILD.items():
            done = await self._db[name].delete_many({field: {"$in": list(child_ids)}})
            counts[name] = int(done.deleted_count)
        return counts

    async def pseudonymise(self, user_id: str, pseudonym: str) -> dict[str, int]:
        """Put a pseudonym where somebody stands in what belongs to others."""
        counts = {}
        for name, fields in SIGNED.items():
            changed = 0
            for field in fields:
                done = await self._db[name].update_many(
                    {field: user_id}, {"$set": {field: pseudonym}}
                )
                changed += int(done.modified_count)
            counts[name] = changed
        return counts

    async def list_sign_ins(self, user_id: str) -> list[str]:
        """Return the sign-ins of an account, ended ones too."""
        found = self._db["sign_ins"].find({"user_id": user_id}, {"_id": 1})
        return [sign_in["_id"] async for sign_in in found]

    async def erase_account(
        self, user_id: str, told: Collection[str], posted: str
    ) -> dict[str, int]:
        """Erase an account.

        Args:
            told: what news of providers about this person are found by.
            posted: what mails to this person are found by.
        """
        sign_ins = await self.list_sign_ins(user_id)
        counts = {}
        for name, query in (
            ("refresh_tokens", {"sign_in": {"$in": sign_ins}}),
            ("sign_ins", {"user_id": user_id}),
            ("account_events", {"user_id": user_id}),
            ("forced_tokens", {"user_id": user_id}),
            ("user_attributes", {"subject": user_id}),
            ("answers", {"owner": owner_of(user_id)}),
            ("withdrawals", {"user_id": user_id, "state": "undone"}),
            ("webhook_inbox", {"about": {"$in": list(told)}}),
            ("outbox", {"about": posted}),
            ("users", {"_id": user_id}),
        ):
            done = await self._db[name].delete_many(query)
            counts[name] = int(done.deleted_count)
        return counts

    async def forget_in_memory(self, ids: Sequence[str]) -> dict[str, int]:
        """Erase from Redis the keys and members that name somebody."""
        keys = members = 0
        for one in ids:
            found = [key async for key in self._keys_naming(one)]
            for key in found:
                keys += int(await self._redis.unlink(key))
            members += int(await self._redis.zrem(f"{self._prefix}:access", one))
            revoked = f"{self._prefix}:revoked"
            async for member, _ in self._redis.zscan_iter(revoked, match=f"@* {escaped(one)}"):
                members += int(await self._redis.zrem(revoked, member))
        return {"keys": keys, "members": members}

    async def _keys_naming(self, one: str) -> AsyncIterator[bytes]:
        pattern = f"{escaped(self._prefix)}:*{escaped(one)}*"
        # A part of the name, not of somebody else's longer id.
        part = re.compile(rf"(?<=[:{{}}]){re.escape(one)}(?=[:{{}}]|$)".encode())
        async for key in self._redis.scan_iter(match=pattern, count=SCANNED):
            if part.search(key):
                yield key


def escaped(text: str) -> str:
    """Return a glob that matches this text alone."""
    return "".join(f"\\{c}" if c in "*?[]\\^" else c for c in text)


def merged(*counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts added up, those of nothing left out."""
    total: dict[str, int] = {}
    for one in counts:
        for name, n in one.items():
            total[name] = total.get(name, 0) + n
    return {name: n for name, n in total.items() if n}
