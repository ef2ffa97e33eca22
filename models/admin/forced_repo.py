"""Forced tokens in MongoDB: the only place that queries them. None is ever deleted."""

from datetime import datetime

from models.admin.records import ForcedToken, forced_token_of
from models.db import AFTER, Database


class ForcedTokenRepo:
    """Reads and writes what is kept of forced tokens.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, database: Database) -> None:
        self._rows = database["forced_tokens"]

    async def ensure_indexes(self) -> None:
        """Make the index the queries below use."""
        await self._rows.create_index([("user_id", 1), ("at", -1), ("_id", -1)])

    async def insert(self, token: ForcedToken) -> None:
        """Write down a token, before it is given to anybody."""
        await self._rows.insert_one(token.document())

    async def revoke(self, user_id: str, token_id: str, by: str, now: datetime) -> bool:
        """Mark a token as revoked; tell whether there is such a one, revoked before or not."""
        query = {"_id": token_id, "user_id": user_id}
        done = await self._rows.find_one_and_update(
            {**query, "revoked_at": None},
            {"$set": {"revoked_at": now, "revoked_by": by}},
            return_document=AFTER,
        )
        return done is not None or await self._rows.find_one(query, {"_id": 1}) is not None

    async def list_of(
        self, user_id: str, limit: int, before: tuple[datetime, str] | None = None
    ) -> list[ForcedToken]:
        """Return the tokens in somebody's name, the newest first.

        Args:
            before: time and id of the last one that is known already.
        """
        query: dict[str, object] = {"user_id": user_id}
        if before is not None:
            at, last = before
            query["$or"] = [{"at": {"$lt": at}}, {"at": at, "_id": {"$lt": last}}]
        cursor = self._rows.find(query).sort([("at", -1), ("_id", -1)])
        return [forced_token_of(found) for found in await cursor.to_list(limit)]
