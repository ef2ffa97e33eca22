"""What stays of somebody who left: that they were here, for a time, as keyed hashes alone."""

from collections.abc import Sequence
from datetime import datetime

from config.clock import Clock
from models.accounts.records import Provider, User, email_key
from models.cipher import FieldCipher
from models.db import Database


class Tombstones:
    """The collection `tombstones`.

    They keep nobody out. Whoever comes back while theirs stand gets an account that is marked
    `returning`, so that what a person is given once is not given again.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, database: Database, cipher: FieldCipher, clock: Clock) -> None:
        self._rows = database["tombstones"]
        self._cipher = cipher
        self._clock = clock

    async def ensure_indexes(self) -> None:
        """Let the database forget them in time."""
        await self._rows.create_index("until", expireAfterSeconds=0)

    async def leave(self, identities: Sequence[str], now: datetime, until: datetime) -> None:
        """Keep that somebody was here; a later time holds."""
        for identity in identities:
            await self._rows.update_one(
                {"_id": self._id(identity)},
                {"$set": {"at": now}, "$max": {"until": until}},
                upsert=True,
            )

    async def was_here(self, identities: Sequence[str]) -> bool:
        """Tell whether somebody who was known by one of these left lately.

        Args:
            identities: keys of ways in, e-mails and numbers: `method_key`, `email_key`,
                `phone_key`.
        """
        ids = [self._id(identity) for identity in identities]
        found = await self._rows.find_one(
            {"_id": {"$in": ids}, "until": {"$gt": self._clock.now()}}, {"_id": 1}
        )
        return found is not None

    def _id(self, identity: str) -> str:
        return self._cipher.index(identity, "tombstone")


def identities_of(user: User) -> list[str]:
    """Return what somebody proved to be, but for the number.

    An address that was never verified may be somebody else's, who was never here.
    """
    known = [method.key for method in user.methods if method.provider is not Provider.LOCAL]
    if user.email is not None and user.email_verified:
        known.append(email_key(user.email))
    return known
