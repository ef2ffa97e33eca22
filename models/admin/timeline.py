"""What happened with an account: one view of what several collections hold, the newest first."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from models.accounts.records import User
from models.db import Database

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Place(NamedTuple):
    """Where an event stands: the order of the view, from its last to its first."""

    at_us: int
    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Happening:
    """One event."""

    place: Place
    said: dict[str, Any]

    @property
    def at(self) -> datetime:
        """When it was."""
        return _EPOCH + timedelta(microseconds=self.place.at_us)


@dataclass(frozen=True, slots=True)
class Source:
    """Where events of a kind are read from."""

    kind: str
    collection: str
    who: str
    """Field with the id of the account; indexed together with `at`."""
    at: str
    """Field with the time: a date, or microseconds where its name says so."""
    shown: tuple[str, ...]
    partial: bool = False
    """Whether the index holds only the documents in which `who` is a text."""

    @property
    def in_us(self) -> bool:
        """Whether the time is a number of microseconds."""
        return self.at.endswith("_us")

    def query(self, user_id: str, before: Place | None) -> dict[str, Any]:
        """Return the query for an account's events, those behind a place."""
        mine: dict[str, Any] = {self.who: user_id}
        if self.partial:
            # MongoDB takes the index only where the query itself says what the index holds.
            mine = {self.who: {"$type": "string", "$eq": user_id}}
        least = 0 if self.in_us else _EPOCH
        if before is None:
            return {**mine, self.at: {"$gt": least}}
        edge: Any = before.at_us
        whole = True
        if not self.in_us:
            # MongoDB keeps milliseconds: a place between two of them is behind the first.
            edge = _EPOCH + timedelta(milliseconds=before.at_us // 1000)
            whole = before.at_us % 1000 == 0
        if self.kind == before.kind:
            same = {self.at: edge, "_id": {"$lt": before.id}}
            return {**mine, "$or": [{self.at: {"$gt": least, "$lt": edge}}, same]}
        inclusive = self.kind < before.kind or not whole
        return {**mine, self.at: {"$gt": least, "$lte" if inclusive else "$lt": edge}}

    def happening(self, document: dict[str, Any]) -> Happening:
        """Return the event of a document."""
        at = document[self.at]
        at_us = at if self.in_us else (at - _EPOCH) // timedelta(microseconds=1)
        said = {name: document[name] for name in self.shown if document.get(name) is not None}
        return Happening(Place(at_us, self.kind, str(document["_id"])), said)


SOURCES: Final = (
    Source("signed_in", "sign_ins", "user_id", "signed_in_at", ("roles", "child_id")),
    Source("signed_out", "sign_ins", "user_id", "ended_at", ("ended", "child_id")),
    Source("account_event", "account_events", "user_id", "at", ("kind", "sign_in")),
    Source("consent", "consents", "by", "at", ("child_id", "purpose", "given", "version")),
    Source("care_invited", "care_assignments", "invited_by", "invited_at", ("child_id", "status")),
    Source("care_accepted", "care_assignments", "accepted_by", "accepted_at", ("child_id",)),
    Source("care_ended", "care_assignments", "ended_by", "ended_at", ("child_id", "end_reason")),
    Source(
        "forced_token", "forced_tokens", "user_id", "at",
        ("admin_id", "scope", "reason", "ends_at", "revoked_at", "revoked_by"),
    ),
    Source(
        "admin_act", "access_log", "about", "at_us",
        ("user_id", "action", "reason", "forced", "trace_id"), partial=True,
    ),
    Source(
        "looked", "access_log", "user_id", "at_us",
        ("child_id", "about", "acting_for", "role", "action", "via", "reason"),
    ),
)  # fmt: skip


class Timeline:
    """Reads the view.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def ensure_indexes(self) -> None:
        """Make an index for each source; those of the access log it makes itself."""
        for source in SOURCES:
            if source.collection != "access_log":
                key = [(source.who, 1), (source.at, -1), ("_id", -1)]
                await self._db[source.collection].create_index(key)

    async def read(self, user: User, before: Place | None, limit: int) -> list[Happening]:
        """Return what happened with an account, the newest first, behind a place."""
        parts = await asyncio.gather(*(self._part(s, user.id, before, limit) for s in SOURCES))
        own = [one for one in _of_document(user) if before is None or one.place < before]
        found = [*own, *(one for part in parts for one in part)]
        return sorted(found, key=lambda one: one.place, reverse=True)[:limit]

    async def _part(
        self, source: Source, user_id: str, before: Place | None, limit: int
    ) -> list[Happening]:
        found = self._db[source.collection].find(source.query(user_id, before))
        newest = found.sort([(source.at, -1), ("_id", -1)])
        return [source.happening(document) for document in await newest.to_list(limit)]


def _of_document(user: User) -> Iterator[Happening]:
    """Yield what the account's own document tells."""
    yield Happening(_place(user.created_at, "created", user.id), {"roles": list(user.roles)})
    for method in user.methods:
        provider = method.provider.value
        yield Happening(_place(method.linked_at, "method_linked", provider), {"provider": provider})


def _place(at: datetime, kind: str, id_: str) -> Place:
    return Place((at - _EPOCH) // timedelta(microseconds=1), kind, id_)
