"""Every sealed field there is, and sealing it anew when the keys have changed."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from models.cipher import SCHEME, Context, FieldCipher, UnsealError
from models.db import Collection, Database

BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class SealedField:
    """Where sealed text lies, and the place it was sealed for."""

    collection: str
    path: str
    """Of the text in the document. `*` stands for each item of a list, or each key of a map."""
    field: str
    """Of the place; `*` stands for the same key."""


FIELDS: Final = (
    SealedField("users", "name_sealed", "name"),
    SealedField("users", "phone.sealed", "phone"),
    SealedField("users", "methods.*.refresh_sealed", "refresh_sealed"),
    SealedField("children", "name", "name"),
    SealedField("diagnoses", "note", "note"),
    SealedField("webhook_inbox", "raw", "raw"),
    SealedField("outbox", "payload", "payload"),
    SealedField("withdrawals", "mail_to", "mail_to"),
    SealedField("withdrawals", "outside.*.sealed", "outside.*"),
)
"""Each belongs to the document's own id."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one field is, after a batch."""

    field: SealedField
    looked_at: int
    resealed: int
    lost: tuple[str, ...]
    """Documents whose text does not open, or was sealed with a key that is gone."""


class Resealing:
    """Seals anew what an older key sealed.

    Done again it changes nothing; cut off it goes on with what is left. Each text is replaced only
    while it is what was read: what somebody writes meanwhile is sealed by the newest key already.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; the same may be asked
            again.
    """

    def __init__(self, database: Database, cipher: FieldCipher) -> None:
        self._db = database
        self._cipher = cipher

    async def run(self, field: SealedField) -> AsyncIterator[Progress]:
        """Walk one field through its collection by id, and yield after each batch."""
        rows = self._db[field.collection]
        top = field.path.partition(".")[0]
        after: str | None = None
        while True:
            query: dict[str, Any] = {top: {"$exists": True}}
            query |= {} if after is None else {"_id": {"$gt": after}}
            batch = await rows.find(query, {top: 1}).sort("_id", 1).limit(BATCH).to_list(BATCH)
            if not batch:
                return
            resealed, lost = 0, []
            for document in batch:
                try:
                    resealed += await self._document(rows, field, document)
                except UnsealError:
                    lost.append(document["_id"])
            yield Progress(field, len(batch), resealed, tuple(lost))
            after = batch[-1]["_id"]

    async def _document(
        self, rows: Collection, field: SealedField, document: Mapping[str, Any]
    ) -> int:
        """Seal a document's texts anew, again where somebody changed it meanwhile."""
        top, resealed, known = field.path.partition(".")[0], 0, document
        while stale := [one for one in _texts(field, known) if self._cipher.is_stale(one[2])]:
            done = [await self._reseal(rows, *one) for one in stale]
            resealed += sum(done)
            if all(done):
                break
            known = await rows.find_one({"_id": document["_id"]}, {top: 1}) or {"_id": ""}
        return resealed

    async def _reseal(self, rows: Collection, path: str, context: Context, sealed: str) -> int:
        fresh = self._cipher.seal(self._cipher.open(sealed, context), context)
        done = await rows.update_one(
            {"_id": context.owner_id, path: sealed}, {"$set": {path: fresh}}
        )
        return int(done.modified_count)


def _texts(field: SealedField, document: Mapping[str, Any]) -> list[tuple[str, Context, str]]:
    """Return the sealed texts of a field in a document, each with its path and its place."""
    found: list[tuple[str, str, Any]] = [("", "", document)]
    for step in field.path.split("."):
        found = [
            (f"{path}.{key}".lstrip("."), key if step == "*" else star, value)
            for path, star, held in found
            for key, value in _items(held)
            if step in ("*", key)
        ]
    return [
        (path, Context(field.collection, field.field.replace("*", star), document["_id"]), value)
        for path, star, value in found
        if isinstance(value, str) and re.match(rf"{SCHEME}\.", value)
    ]


def _items(held: Any) -> list[tuple[str, Any]]:
    if isinstance(held, Mapping):
        return list(held.items())
    return [(str(n), one) for n, one in enumerate(held)] if isinstance(held, list) else []
