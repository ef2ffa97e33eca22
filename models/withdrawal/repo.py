"""Withdrawals in MongoDB: the only place that queries them."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from models.accounts.records import Provider, UserStatus
from models.db import AFTER, DuplicateKeyError, Mongo, Session
from models.withdrawal.records import Outside, State, Step, Withdrawal, withdrawal_of

Document = dict[str, Any]
UNDER_WAY = (State.WITHDRAWING.value, State.ERASING.value)


class WithdrawalRepo:
    """Reads and writes withdrawals, and the status of their accounts with them.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._db = mongo.database
        self._rows = mongo.database["withdrawals"]

    async def ensure_indexes(self) -> None:
        """Make the indexes: an account has one withdrawal under way."""
        await self._rows.create_index(
            "user_id",
            unique=True,
            partialFilterExpression={"under_way": True},
            name="one_under_way",
        )
        await self._rows.create_index("next_at", sparse=True)

    async def begin(
        self,
        withdrawal_id: str,
        user_id: str,
        locale: str,
        now: datetime,
        erase_at: datetime,
        tell: Callable[[Session], Awaitable[None]],
    ) -> Withdrawal | None:
        """Begin the withdrawal of an account that is active; None if it is not.

        The account's status changes with it, and its token version is raised.

        Args:
            tell: keeps what is told of it, in the same transaction.
        """
        row = {
            "_id": withdrawal_id,
            "user_id": user_id,
            "under_way": True,
            "state": State.WITHDRAWING.value,
            "at": now,
            "erase_at": erase_at,
            "locale": locale,
            "next_at": now,
        }

        async def work(session: Session) -> bool:
            done = await self._db["users"].update_one(
                {"_id": user_id, "status": UserStatus.ACTIVE.value},
                {"$set": {"status": UserStatus.WITHDRAWING.value}, "$inc": {"version": 1}},
                session=session,
            )
            if done.matched_count:
                await self._rows.insert_one(row, session=session)
                await tell(session)
            return bool(done.matched_count)

        try:
            begun = await self._mongo.transact(work)
        except DuplicateKeyError:
            return None
        return withdrawal_of(row) if begun else None

    async def undo(
        self, user_id: str, now: datetime, tell: Callable[[str, Session], Awaitable[None]]
    ) -> bool:
        """Let an account be active again; False when there is nothing that can be undone.

        Args:
            tell: keeps what is told of it, in the same transaction; gets the withdrawal's id.
        """

        async def work(session: Session) -> bool:
            found = await self._rows.find_one_and_update(
                {"user_id": user_id, "state": State.WITHDRAWING.value, "erase_at": {"$gt": now}},
                {
                    "$set": {"state": State.UNDONE.value, "ended_at": now},
                    "$unset": {"under_way": "", "next_at": ""},
                },
                session=session,
            )
            if found is not None:
                await self._db["users"].update_one(
                    {"_id": user_id, "status": UserStatus.WITHDRAWING.value},
                    {"$set": {"status": UserStatus.ACTIVE.value}},
                    session=session,
                )
                await tell(found["_id"], session)
            return found is not None

        return await self._mongo.transact(work)

    async def begin_erasing(self, withdrawal_id: str, now: datetime) -> Withdrawal | None:
        """Pass the point of no return, if its time has come; None if it was undone before."""

        async def work(session: Session) -> Document | None:
            found: Document | None = await self._rows.find_one_and_update(
                {
                    "_id": withdrawal_id,
                    "state": {"$in": list(UNDER_WAY)},
                    "erase_at": {"$lte": now},
                },
                {"$set": {"state": State.ERASING.value}},
                session=session,
                return_document=AFTER,
            )
            if found is not None:
                await self._db["users"].update_one(
                    {"_id": found["user_id"]},
                    {"$set": {"status": UserStatus.ERASING.value}},
                    session=session,
                )
            return found

        found = await self._mongo.transact(work)
        return None if found is None else withdrawal_of(found)

    async def hasten(self, withdrawal_id: str, now: datetime) -> None:
        """Let nothing be waited for any more."""
        await self._rows.update_one(
            {"_id": withdrawal_id, "state": {"$in": list(UNDER_WAY)}},
            {"$min": {"erase_at": now}, "$set": {"next_at": now}},
        )

    async def find(self, withdrawal_id: str) -> Withdrawal | None:
        """Return a withdrawal."""
        found = await self._rows.find_one({"_id": withdrawal_id})
        return None if found is None else withdrawal_of(found)

    async def find_under_way(self, user_id: str) -> Withdrawal | None:
        """Return the withdrawal of an account that is under way."""
        found = await self._rows.find_one({"user_id": user_id, "under_way": True})
        return None if found is None else withdrawal_of(found)

    async def claim(self, holder: str, now: datetime, until: datetime) -> Withdrawal | None:
        """Return one that is due and that nobody works on, and hold it until then."""
        found = await self._rows.find_one_and_update(
            {
                "next_at": {"$lte": now},
                "$or": [{"lease.until": {"$lte": now}}, {"lease": None}],
            },
            {"$set": {"lease": {"holder": holder, "until": until}}},
            sort=[("next_at", 1)],
            return_document=AFTER,
        )
        return None if found is None else withdrawal_of(found)

    async def release(self, withdrawal_id: str, holder: str) -> None:
        """Let others work on it."""
        await self._rows.update_one(
            {"_id": withdrawal_id, "lease.holder": holder}, {"$unset": {"lease": ""}}
        )

    async def wait_until(self, withdrawal_id: str, at: datetime | None) -> None:
        """Say when it is to be looked at again; None is never.

        One that can still be undone is looked at when that is over, however soon by now.
        """
        undoable = {"$eq": ["$state", State.WITHDRAWING.value]}
        soon = {"$cond": [undoable, {"$min": [at, "$erase_at"]}, at]}
        change = [{"$set": {"next_at": soon}} if at is not None else {"$unset": "next_at"}]
        await self._rows.update_one(
            {"_id": withdrawal_id, "state": {"$ne": State.UNDONE.value}}, change
        )

    async def record(
        self, withdrawal_id: str, step: Step, result: Mapping[str, int], now: datetime
    ) -> None:
        """Write down that a step is done, once."""
        at = f"steps.{step.value}"
        await self._rows.update_one(
            {"_id": withdrawal_id, f"{at}.result": None},
            {
                "$set": {f"{at}.result": dict(result), f"{at}.at": now},
                "$inc": {f"{at}.attempts": 1},
                "$unset": {f"{at}.error": ""},
            },
        )

    async def record_failure(
        self, withdrawal_id: str, step: Step, error: str, now: datetime
    ) -> int:
        """Write down that a step failed; return how often it has."""
        at = f"steps.{step.value}"
        found = await self._rows.find_one_and_update(
            {"_id": withdrawal_id},
            {"$set": {f"{at}.error": error, f"{at}.at": now}, "$inc": {f"{at}.attempts": 1}},
            return_document=AFTER,
        )
        return 0 if found is None else int(found["steps"][step.value]["attempts"])

    async def add_children(self, withdrawal_id: str, children: list[str]) -> None:
        """Keep which children go with the account."""
        await self._rows.update_one(
            {"_id": withdrawal_id}, {"$addToSet": {"children": {"$each": children}}}
        )

    async def add_outside(self, withdrawal_id: str, one: Outside) -> None:
        """Keep what is to be given back to a provider, once."""
        fields = {"state": one.state.value, "attempts": 0}
        fields |= {} if one.sealed is None else {"sealed": one.sealed}
        fields |= {} if one.client_id is None else {"client_id": one.client_id}
        at = f"outside.{one.provider.value}"
        await self._rows.update_one(
            {"_id": withdrawal_id, at: {"$exists": False}}, {"$set": {at: fields}}
        )

    async def settle_outside(self, withdrawal_id: str, provider: Provider, state: str) -> None:
        """Write down how telling a provider ended; what it was told is forgotten."""
        at = f"outside.{provider.value}"
        await self._rows.update_one(
            {"_id": withdrawal_id},
            {
                "$set": {f"{at}.state": state},
                "$inc": {f"{at}.attempts": 1},
                "$unset": {f"{at}.sealed": "", f"{at}.client_id": "", f"{at}.next_at": ""},
            },
        )

    async def put_off_outside(
        self, withdrawal_id: str, provider: Provider, next_at: datetime
    ) -> None:
        """Write down that a provider did not take it, and when it is told again."""
        at = f"outside.{provider.value}"
        await self._rows.update_one(
            {"_id": withdrawal_id},
            {"$set": {f"{at}.next_at": next_at}, "$inc": {f"{at}.attempts": 1}},
        )

    async def keep_address(self, withdrawal_id: str, sealed: str) -> None:
        """Keep where the last mail goes."""
        await self._rows.update_one({"_id": withdrawal_id}, {"$set": {"mail_to": sealed}})

    async def finish(self, withdrawal_id: str, now: datetime) -> None:
        """Everything is erased: what is left is the receipt, which does not say whose it is."""
        await self._rows.update_one(
            {"_id": withdrawal_id, "state": State.ERASING.value},
            {
                "$set": {"state": State.WITHDRAWN.value, "ended_at": now},
                "$unset": {"user_id": "", "children": "", "under_way": "", "mail_to": ""},
            },
        )
