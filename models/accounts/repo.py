"""Accounts in MongoDB: the only place that queries them.

An account is one document with its ways in inside it. So a sign-up is one write, two accounts
never share an e-mail or a way in (unique indexes), and the last way in is kept by a condition.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from models.accounts.records import Provider, SignInMethod, User
from models.db import AFTER, Before, Database, DuplicateKeyError, Session

UNIQUE = ("email", "methods.key", "phone.index")
"""Each sparse: an account may lack an e-mail or a telephone number."""
LAST = "\x7f"
"""Sorts behind every character of a canonical e-mail."""


class TakenError(Exception):
    """Another account has it. `what` is `email`, `method` or `phone`."""

    def __init__(self, what: str) -> None:
        super().__init__(f"another account has this {what}")
        self.what = what


class AccountRepo:
    """Reads and writes accounts.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self._prepare = Before(self._make_indexes)

    async def _make_indexes(self) -> None:
        for key in UNIQUE:
            await self._db["users"].create_index(key, unique=True, sparse=True)
        await self._db["account_events"].create_index([("user_id", 1), ("at", -1)])

    async def insert(self, user: User) -> None:
        """Store a new account.

        Raises:
            TakenError: the e-mail or the way in belongs to another one.
        """
        await self._prepare()
        try:
            await self._db["users"].insert_one(user.document())
        except DuplicateKeyError as error:
            raise _taken(error) from error

    async def find(self, user_id: str) -> User | None:
        """Return an account by its id."""
        return await self._one({"_id": user_id})

    async def find_by_email(self, email: str) -> User | None:
        """Return the account with a canonical e-mail."""
        return await self._one({"email": email})

    async def find_by_method(self, key: str) -> User | None:
        """Return the account with a way in, by its key."""
        return await self._one({"methods.key": key})

    async def find_by_phone(self, index: str) -> User | None:
        """Return the account with a verified number, by the number's index."""
        return await self._one({"phone.index": index})

    async def list_by_email(self, prefix: str, after: str, limit: int) -> list[User]:
        """Return the accounts whose e-mail begins so, by e-mail from `after` on."""
        span = {"$type": "string", "$gte": prefix, "$gt": after, "$lt": prefix + LAST}
        found = self._db["users"].find({"email": span}).sort("email", 1)
        return [User.of(document) for document in await found.to_list(limit)]

    async def list_some(self, user_ids: Sequence[str], after: str, limit: int) -> list[User]:
        """Return those of some accounts that there are, by id from `after` on."""
        query = {"_id": {"$in": list(user_ids), "$gt": after}}
        found = self._db["users"].find(query).sort("_id", 1)
        return [User.of(document) for document in await found.to_list(limit)]

    async def add_method(self, user_id: str, method: SignInMethod) -> User | None:
        """Give an account another way in; None if it has one of this provider already.

        Raises:
            TakenError: it leads to another account.
        """
        await self._prepare()
        return await self._update(
            {"_id": user_id, "methods.provider": {"$ne": method.provider.value}},
            {"$push": {"methods": method.document()}},
        )

    async def remove_method(self, user_id: str, provider: Provider) -> User | None:
        """Take a way in from an account; None if it has no such way, or no other."""
        return await self._update(
            {"_id": user_id, "methods.provider": provider.value, "methods.1": {"$exists": True}},
            {"$pull": {"methods": {"provider": provider.value}}},
        )

    async def vouch(self, user_id: str, key: str, at: datetime) -> bool:
        """Keep when a provider vouched last; False if the way in is not there any more."""
        return None is not await self._update(
            {"_id": user_id, "methods.key": key}, {"$max": {"methods.$.vouched_at": at}}
        )

    async def cut_method(self, user_id: str, key: str, at: datetime) -> User | None:
        """Take a way in that its provider cut; None if it is the last, or came back since."""
        return await self._update(
            {
                "_id": user_id,
                "methods.1": {"$exists": True},
                "methods": {
                    "$elemMatch": {
                        "key": key,
                        "linked_at": {"$lte": at},
                        "$or": [{"vouched_at": None}, {"vouched_at": {"$lte": at}}],
                    }
                },
            },
            {"$pull": {"methods": {"key": key}}},
        )

    async def switch_mail(self, key: str, *, off: bool, at: datetime) -> User | None:
        """Keep whether a provider passes mail on; of news of one moment `off` holds."""
        older = {"mail_at": {"$lte" if off else "$lt": at}}
        return await self._update(
            {"methods": {"$elemMatch": {"key": key, "$or": [{"mail_at": None}, older]}}},
            {"$set": {"methods.$.mail_off": off, "methods.$.mail_at": at}},
        )

    async def set_apple_grant(self, user_id: str, sealed: str, client_id: str) -> None:
        """Keep the refresh token that Apple gave for an account."""
        await self._db["users"].update_one(
            {"_id": user_id, "methods.provider": Provider.APPLE.value},
            {"$set": {"methods.$.refresh_sealed": sealed, "methods.$.client_id": client_id}},
        )

    async def replace_hash(self, user_id: str, old: str, new: str) -> None:
        """Store the same password hashed anew, unless the password was changed meanwhile."""
        await self._db["users"].update_one(
            {"_id": user_id, "methods.password_hash": old},
            {"$set": {"methods.$[local].password_hash": new}},
            array_filters=[{"local.password_hash": old}],
        )

    async def change_password(
        self, user_id: str, new: str, *, old: str | None = None, session: Session | None = None
    ) -> User | None:
        """Store another password and raise the token version, in one write.

        Args:
            old: the hash it must replace; None replaces any.
            session: the transaction it belongs to.
        """
        local = {"provider": Provider.LOCAL.value}
        if old is not None:
            local["password_hash"] = old
        return await self._update(
            {"_id": user_id, "methods": {"$elemMatch": local}},
            {"$set": {"methods.$.password_hash": new}, "$inc": {"version": 1}},
            session,
        )

    async def change_roles(self, user_id: str, roles: list[str]) -> User | None:
        """Store other roles and raise the token version; None if there is no such account."""
        return await self._update(
            {"_id": user_id}, {"$set": {"roles": roles}, "$inc": {"version": 1}}
        )

    async def raise_version(self, user_id: str) -> User | None:
        """Raise the token version of an account."""
        return await self._update({"_id": user_id}, {"$inc": {"version": 1}})

    async def confirm_email(self, user_id: str, email: str) -> User | None:
        """Mark an e-mail as verified; None if it is not the account's any more."""
        return await self._update(
            {"_id": user_id, "email": email}, {"$set": {"email_verified": True}}
        )

    async def change_profile(self, user_id: str, fields: dict[str, str]) -> User | None:
        """Store `name_sealed`, `locale` or `zone`."""
        return await self._update({"_id": user_id}, {"$set": fields})

    async def set_phone(
        self, user_id: str, *, sealed: str, index: str, verified_at: datetime
    ) -> User | None:
        """Store a verified telephone number.

        Raises:
            TakenError: it belongs to another account.
        """
        await self._prepare()
        phone = {"sealed": sealed, "index": index, "verified_at": verified_at}
        return await self._update({"_id": user_id}, {"$set": {"phone": phone}})

    async def remove_phone(self, user_id: str) -> None:
        """Forget a telephone number."""
        await self._db["users"].update_one({"_id": user_id}, {"$unset": {"phone": ""}})

    async def mark_returning(self, user_id: str) -> None:
        """Keep that somebody with this account's way in, e-mail or number left lately."""
        await self._db["users"].update_one({"_id": user_id}, {"$set": {"returning": True}})

    async def add_event(self, event: dict[str, Any]) -> bool:
        """Write down something about an account, once by its `_id`; tell whether it is new."""
        await self._prepare()
        try:
            await self._db["account_events"].insert_one(event)
        except DuplicateKeyError:
            return False
        return True

    async def _one(self, query: dict[str, Any]) -> User | None:
        document = await self._db["users"].find_one(query)
        return None if document is None else User.of(document)

    async def _update(
        self, query: dict[str, Any], change: dict[str, Any], session: Session | None = None
    ) -> User | None:
        try:
            document = await self._db["users"].find_one_and_update(
                query, change, return_document=AFTER, session=session
            )
        except DuplicateKeyError as error:
            raise _taken(error) from error
        return None if document is None else User.of(document)


def _taken(error: DuplicateKeyError) -> TakenError:
    pattern = (error.details or {}).get("keyPattern", {})
    names = {"email": "email", "methods.key": "method", "phone.index": "phone"}
    return TakenError(next((what for key, what in names.items() if key in pattern), "id"))
