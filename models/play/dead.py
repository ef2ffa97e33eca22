"""The dead letters: items that MongoDB refused for their own fault, kept until they are retried."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.db import Database
from models.play.records import UnknownSchemaError, read_item, session_named
from models.play.repo import PlayRepo


@dataclass(frozen=True, slots=True)
class Letter:
    """One item as it lay in the stream, and why it could not be stored."""

    field: bytes
    blob: bytes
    reason: str
    at: datetime

    @property
    def session_id(self) -> str:
        """The session it is of; empty where its name is damaged."""
        return session_named(self.field)

    @property
    def name(self) -> str:
        """Its name in words that can be printed."""
        return self.field.decode("utf-8", "replace")


class DeadLetters:
    """Reads and retries them; they are written by `PlayRepo.bury`."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._repo = PlayRepo(database)

    async def iter(self, session_id: str | None = None) -> AsyncIterator[Letter]:
        """Yield the letters, oldest first; of one session where it is named."""
        cursor: AsyncIterator[dict[str, Any]] = self._db["dead_letters"].find({}).sort("at", 1)
        async for found in cursor:
            letter = Letter(bytes(found["_id"]), bytes(found["blob"]), found["reason"], found["at"])
            if session_id is None or letter.session_id == session_id:
                yield letter

    async def retry(self, letter: Letter) -> str | None:
        """Store a letter and take it off the list; return why it cannot be, if it cannot.

        Storing is by its own key and changes nothing that is there: retrying twice is safe.
        """
        try:
            item = read_item(letter.field, letter.blob)
        except (ValueError, UnknownSchemaError) as error:
            return f"{type(error).__name__}: {error}"
        failures = await self._repo.store([item])
        if failures:
            return failures[0].reason
        await self._repo.exhume(letter.field)
        return None
