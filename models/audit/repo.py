"""The access log in MongoDB: the only place that queries it. Nothing of it is ever changed."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from models.audit.records import CHAINS, GENESIS, Entry, Head, entry_of
from models.db import Mongo, Session


class AuditRepo:
    """Appends to the chains and reads them.

    Args:
        sign: returns the signature of a head's text; whoever only has the database cannot.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, mongo: Mongo, sign: Callable[[str], str]) -> None:
        self._mongo = mongo
        self._db = mongo.database
        self._sign = sign

    async def ensure_indexes(self) -> None:
        """Make what appending and reading need; what exists is left alone.

        Chains that have no head get one. A head that was taken away comes back as that of an
        empty chain: nothing can be appended then, and verifying tells.
        """
        await self._db["access_log"].create_index([("chain", 1), ("seq", 1)], unique=True)
        await self._db["access_log"].create_index([("child_id", 1), ("at_us", -1), ("seq", -1)])
        await self._db["access_log"].create_index(
            [("about", 1), ("at_us", -1), ("_id", -1)],
            partialFilterExpression={"about": {"$type": "string"}},
        )
        await self._db["access_log"].create_index([("user_id", 1), ("at_us", -1), ("_id", -1)])
        for chain in range(CHAINS):
            await self._db["access_log_heads"].update_one(
                {"_id": chain},
                {"$setOnInsert": self._signed(Head(chain, -1, GENESIS))},
                upsert=True,
            )

    def _signed(self, head: Head) -> dict[str, Any]:
        return {"seq": head.seq, "hash": head.hash, "signature": self._sign(head.text)}

    async def append(self, chain: int, looks: Sequence[Entry]) -> None:
        """Append entries and move the chain's signed head, in one transaction."""

        async def work(session: Session) -> None:
            # Moved first: whoever else appends to this chain meets the write, and starts anew.
            found = await self._db["access_log_heads"].find_one_and_update(
                {"_id": chain}, {"$inc": {"seq": len(looks)}}, session=session
            )
            if found is None:
                raise LookupError(f"chain {chain} of the access log has no head")
            entries = []
            previous = found["hash"]
            for seq, look in enumerate(looks, start=found["seq"] + 1):
                entries.append(entry_of(look, chain, seq, previous))
                previous = entries[-1]["hash"]
            head = Head(chain, entries[-1]["seq"], previous)
            await self._db["access_log"].insert_many(entries, session=session)
            await self._db["access_log_heads"].update_one(
                {"_id": chain}, {"$set": self._signed(head)}, session=session
            )

        await self._mongo.transact(work)

    async def list_looks(
        self, child_id: str, limit: int, before: tuple[int, int] | None = None
    ) -> list[dict[str, Any]]:
        """Return the entries on a child, the newest first.

        Args:
            before: `at_us` and `seq` of the last entry that is known already.
        """
        query: dict[str, Any] = {"child_id": child_id}
        if before is not None:
            at_us, seq = before
            query["$or"] = [{"at_us": {"$lt": at_us}}, {"at_us": at_us, "seq": {"$lt": seq}}]
        cursor = self._db["access_log"].find(query).sort([("at_us", -1), ("seq", -1)])
        found: list[dict[str, Any]] = await cursor.to_list(limit)
        return found

    async def iter_chain(self, chain: int) -> AsyncIterator[dict[str, Any]]:
        """Yield every entry of a chain, by number."""
        async for entry in self._db["access_log"].find({"chain": chain}).sort("seq", 1):
            yield entry

    async def chains(self) -> list[int]:
        """Return the chains there are entries or heads of, also those there should not be."""
        heads = await self._db["access_log_heads"].distinct("_id")
        return sorted({*range(CHAINS), *heads, *await self._db["access_log"].distinct("chain")})

    async def find_head(self, chain: int) -> tuple[Head, str] | None:
        """Return the head of a chain and its signature."""
        found = await self._db["access_log_heads"].find_one({"_id": chain})
        if found is None:
            return None
        return Head(chain, found["seq"], found["hash"]), found["signature"]

    def signature(self, head: Head) -> str:
        """Return what a head's signature must be."""
        return self._sign(head.text)
