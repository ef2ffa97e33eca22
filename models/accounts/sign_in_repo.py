"""Sign-ins and their refresh tokens in MongoDB: the only place that queries them.

A refresh token is stored as its SHA-256. A sign-in decides whether any token of it counts, so
ending one is one write, whatever refreshes are under way.
"""

from datetime import datetime
from typing import Any

from models.accounts.records import SignIn
from models.db import AFTER, Before, Database

KEPT_SECONDS = 0
"""MongoDB removes what is over this long after its `ends_at`."""


class SignInRepo:
    """Reads and writes sign-ins.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self._prepare = Before(self._make_indexes)

    async def _make_indexes(self) -> None:
        sign_ins = self._db["sign_ins"]
        await sign_ins.create_index([("user_id", 1), ("active", 1), ("used_at", -1)])
        await sign_ins.create_index([("child_id", 1), ("active", 1)], sparse=True)
        for name in ("sign_ins", "refresh_tokens"):
            await self._db[name].create_index("ends_at", expireAfterSeconds=KEPT_SECONDS)

    async def begin(self, sign_in: SignIn, digest: str, idle_until: datetime) -> None:
        """Store a new sign-in and its first refresh token."""
        await self._prepare()
        await self._db["sign_ins"].insert_one(sign_in.document())
        await self.add_token(sign_in, digest, idle_until)

    async def add_token(
        self, sign_in: SignIn, digest: str, idle_until: datetime, came_from: str | None = None
    ) -> None:
        """Store a refresh token that may be used; one that is there is left as it is.

        Args:
            came_from: digest of the one before it.
        """
        token = {
            "sign_in": sign_in.id,
            "device_id": sign_in.device.id,
            "idle_until": idle_until,
            "ends_at": sign_in.ends_at,
            "active": True,
        }
        if came_from is not None:
            token["came_from"] = came_from
        await self._db["refresh_tokens"].update_one(
            {"_id": digest}, {"$setOnInsert": token}, upsert=True
        )

    async def rotate(self, digest: str, salt: str, now: datetime) -> dict[str, Any] | None:
        """Use up a refresh token; None if it is unknown, used up or over."""
        found: dict[str, Any] | None = await self._db["refresh_tokens"].find_one_and_update(
            {"_id": digest, "active": True, "idle_until": {"$gt": now}},
            {"$set": {"active": False, "rotated_at": now, "salt": salt}},
            return_document=AFTER,
        )
        return found

    async def find_token(self, digest: str) -> dict[str, Any] | None:
        """Return a refresh token by its digest."""
        found: dict[str, Any] | None = await self._db["refresh_tokens"].find_one({"_id": digest})
        return found

    async def forget_salt(self, digest: str, before: datetime) -> None:
        """Let nobody follow a token used before then to the ones after it any more."""
        await self._db["refresh_tokens"].update_one(
            {"_id": digest, "rotated_at": {"$lt": before}}, {"$unset": {"salt": ""}}
        )

    async def find(self, sign_in: str) -> tuple[SignIn, bool] | None:
        """Return a sign-in, and whether it was not ended."""
        document = await self._db["sign_ins"].find_one({"_id": sign_in})
        return None if document is None else (SignIn.of(document), document["active"])

    async def use(self, sign_in: str, now: datetime) -> SignIn | None:
        """Note that a sign-in is used; None if it has ended."""
        return await self._update(
            {"_id": sign_in, "active": True, "ends_at": {"$gt": now}}, {"$max": {"used_at": now}}
        )

    async def renew_credentials(self, sign_in: str, now: datetime) -> SignIn | None:
        """Note that credentials were given again; None if the sign-in has ended."""
        return await self._update(
            {"_id": sign_in, "active": True, "ends_at": {"$gt": now}},
            {"$max": {"used_at": now, "signed_in_at": now}},
        )

    async def end(self, sign_in: str, user_id: str, why: str, now: datetime) -> bool:
        """End one of an account's sign-ins; tell whether there is such a one, ended or not."""
        query = {"_id": sign_in, "user_id": user_id}
        done = await self._db["sign_ins"].update_one(
            {**query, "active": True}, {"$set": {"active": False, "ended": why, "ended_at": now}}
        )
        if done.matched_count:
            return True
        found = await self._db["sign_ins"].find_one(query, {"_id": 1})
        return found is not None

    async def end_all(self, user_id: str, below: int, why: str, now: datetime) -> list[str]:
        """End an account's sign-ins of token versions below one; return all that were ended so."""
        query = {"user_id": user_id, "version": {"$lt": below}}
        await self._db["sign_ins"].update_many(
            {**query, "active": True}, {"$set": {"active": False, "ended": why, "ended_at": now}}
        )
        ended = self._db["sign_ins"].find({**query, "ended": why}, {"_id": 1})
        return [document["_id"] async for document in ended.sort("ended_at", -1).limit(200)]

    async def list_active(self, user_id: str, now: datetime) -> list[SignIn]:
        """Return an account's sign-ins that hold, the last used first."""
        query = {"user_id": user_id, "active": True, "ends_at": {"$gt": now}}
        found = self._db["sign_ins"].find(query).sort([("used_at", -1), ("_id", 1)])
        return [SignIn.of(document) async for document in found]

    async def list_of_child(self, child_id: str, now: datetime) -> list[SignIn]:
        """Return the sign-ins of a child's devices that hold, the last used first."""
        query = {"child_id": child_id, "active": True, "ends_at": {"$gt": now}}
        found = self._db["sign_ins"].find(query).sort([("used_at", -1), ("_id", 1)])
        return [SignIn.of(document) async for document in found]

    async def _update(self, query: dict[str, Any], change: dict[str, Any]) -> SignIn | None:
        document = await self._db["sign_ins"].find_one_and_update(
            query, change, return_document=AFTER
        )
        return None if document is None else SignIn.of(document)
