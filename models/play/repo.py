"""Play records in MongoDB: the only place that queries them."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.db import UNENCODABLE, BulkWriteError, Database
from models.play.records import COLLECTIONS, Item, Kind, session_named

_DUPLICATE_KEY = 11000
CHUNK_MAX = 4096
"""No chunk holds more messages than this: a session may not have as many unacknowledged."""

INDEXES: dict[str, tuple[list[tuple[str, int]], ...]] = {
    "sessions": ([("child_id", 1), ("opened_us", -1)],),
    "frame_chunks": ([("session_id", 1), ("seq0", 1)],),
    "play_events": ([("session_id", 1), ("seq", 1)],),
    "play_records": ([("session_id", 1), ("set_no", 1)], [("child_id", 1), ("started_us", -1)]),
    "rescored_records": ([("session_id", 1), ("set_no", 1)],),
    "calibrations": ([("child_id", 1)],),
    "therapy_results": ([("child_id", 1), ("ended_us", -1), ("_id", -1)],),
    "dead_letters": ([("at", -1)], [("session_id", 1)]),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """An item MongoDB refused for its own fault, and why."""

    item: Item
    reason: str


class PlayRepo:
    """Reads and writes play records.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def ensure_indexes(self) -> None:
        """Make the indexes the queries below use; those that exist are left alone."""
        for name, keys in INDEXES.items():
            for key in keys:
                await self._db[name].create_index(key)

    async def store(self, items: Sequence[Item]) -> list[Failure]:
        """Write documents once each, in any order; return those that were refused.

        A document that is there already is left as it is: what an item holds was settled when
        it was appended, so a second delivery is the same.
        """
        groups: dict[Kind, list[Item]] = defaultdict(list)
        for item in items:
            groups[item.kind].append(item)
        for item in groups.get(Kind.RESULT, ()):
            if await self.count_dead(item.session_id):
                item.document["incomplete"] = True
        failures: list[Failure] = []
        for kind, group in groups.items():
            try:
                failures += await self._insert(kind, group)
            except UNENCODABLE:
                # One document that cannot be encoded takes the whole call down: find it.
                for item in group:
                    try:
                        failures += await self._insert(kind, [item])
                    except UNENCODABLE as error:
                        failures.append(Failure(item, f"{type(error).__name__}: {error}"))
        return failures

    async def _insert(self, kind: Kind, group: Sequence[Item]) -> list[Failure]:
        try:
            await self._db[COLLECTIONS[kind]].insert_many(
                [item.document for item in group], ordered=False
            )
        except BulkWriteError as error:
            details = error.details or {}
            if details.get("writeConcernErrors"):
                raise
            return [
                Failure(group[fault["index"]], str(fault.get("errmsg", "refused"))[:300])
                for fault in details.get("writeErrors", [])
                if fault.get("code") != _DUPLICATE_KEY
            ]
        return []

    async def bury(self, field: bytes, blob: bytes, reason: str, at: datetime) -> None:
        """Put an item that cannot be stored among the dead letters; its session is incomplete."""
        session_id = session_named(field)
        letter = {"session_id": session_id, "blob": blob, "reason": reason, "at": at}
        await self._db["dead_letters"].replace_one({"_id": field}, letter, upsert=True)
        await self._tell_incomplete(session_id)

    async def exhume(self, field: bytes) -> None:
        """Take a letter off the list: it is stored now."""
        await self._db["dead_letters"].delete_one({"_id": field})
        await self._tell_incomplete(session_named(field))

    async def _tell_incomplete(self, session_id: str) -> None:
        incomplete = await self.count_dead(session_id) > 0
        await self._db["therapy_results"].update_one(
            {"_id": session_id}, {"$set": {"incomplete": incomplete}}
        )

    async def find_session(self, session_id: str) -> dict[str, Any] | None:
        """Return the session as it was opened."""
        return await self._one("sessions", {"_id": session_id})

    async def find_result(self, session_id: str) -> dict[str, Any] | None:
        """Return the TherapyResult of a sealed session."""
        return await self._one("therapy_results", {"_id": session_id})

    async def list_results(
        self, child_id: str, limit: int, *, before: tuple[int, str] | None = None
    ) -> list[dict[str, Any]]:
        """Return TherapyResults of a child, newest first.

        Args:
            before: `ended_us` and `_id` of the last one that is known; None begins at the newest.
        """
        asked: dict[str, Any] = {"child_id": child_id}
        if before is not None:
            ended_us, result_id = before
            asked["$or"] = [
                {"ended_us": {"$lt": ended_us}},
                {"ended_us": ended_us, "_id": {"$lt": result_id}},
            ]
            asked["ended_us"] = {"$lte": ended_us}
        cursor = self._db["therapy_results"].find(asked).sort([("ended_us", -1), ("_id", -1)])
        found: list[dict[str, Any]] = await cursor.to_list(limit)
        return found

    async def list_records(self, session_id: str) -> list[dict[str, Any]]:
        """Return the PlayRecords of a session, by set number."""
        return [d async for d in self._sorted("play_records", session_id, "set_no")]

    async def list_sets(self, child_id: str, first_us: int, end_us: int) -> list[dict[str, Any]]:
        """Return what was asked, done and seen in a child's sets that began in a time."""
        shown = ("started_us", "asked_reps", "asked_hold_s", "metrics", "quality", "unfinished")
        cursor = self._db["play_records"].find(
            {"child_id": child_id, "started_us": {"$gte": first_us, "$lt": end_us}},
            dict.fromkeys(shown, 1),
        )
        return [record async for record in cursor]

    async def count_dead(self, session_id: str) -> int:
        """Return how many items of a session lie among the dead letters."""
        found: int = await self._db["dead_letters"].count_documents({"session_id": session_id})
        return found

    async def add_rescored(self, records: Sequence[dict[str, Any]]) -> int:
        """Add records of a re-scoring beside the played ones; return how many were new.

        One that is there already, by its `_id`, is left as it is.
        """
        if not records:
            return 0
        try:
            done = await self._db["rescored_records"].insert_many(list(records), ordered=False)
        except BulkWriteError as error:
            details = error.details or {}
            faults = [f for f in details.get("writeErrors", []) if f.get("code") != _DUPLICATE_KEY]
            if faults or details.get("writeConcernErrors"):
                raise
            return int(details.get("nInserted", 0))
        return len(done.inserted_ids)

    async def list_session_ids(self, child_id: str | None = None) -> list[str]:
        """Return the ids of all sessions, or of a child's, in the order they were opened."""
        query = {} if child_id is None else {"child_id": child_id}
        cursor = self._db["sessions"].find(query, {"_id": 1}).sort("opened_us", 1)
        return [document["_id"] async for document in cursor]

    async def list_spans(self, session_id: str) -> list[tuple[int, int]]:
        """Return the first number and the count of every stored chunk of a session."""
        chunks = self._db["frame_chunks"].find({"session_id": session_id}, {"seq0": 1, "n": 1})
        return [(chunk["seq0"], chunk["n"]) async for chunk in chunks]

    async def iter_frames(
        self, session_id: str, first: int = 0, *, merged: bool = True
    ) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (seq, bytes) of the stored `frames` messages from `first` on, by seq.

        Each once when `merged`. Chunks overlap only after Redis lost what MongoDB had: the
        messages were sent again then, cut in another way. An audit wants to see that.
        """
        last = first - 1
        query = {"session_id": session_id, "seq0": {"$gt": first - CHUNK_MAX}}
        async for chunk in self._db["frame_chunks"].find(query).sort("seq0", 1):
            for n, message in enumerate(chunk["messages"]):
                seq = chunk["seq0"] + n
                if seq > last or (seq >= first and not merged):
                    last = max(seq, last)
                    yield seq, bytes(message)

    async def drop_beyond(self, session_id: str, last: int) -> None:
        """Delete what lies beyond a hole that can only be filled by sending again.

        For the one case in which Redis lost entries that were written in part: the messages come
        again, and must not meet another version of themselves.
        """
        await self._db["frame_chunks"].delete_many(
            {"session_id": session_id, "seq0": {"$gt": last}}
        )
        await self._db["play_events"].delete_many({"session_id": session_id, "seq": {"$gt": last}})

    async def iter_events(self, session_id: str) -> AsyncIterator[dict[str, Any]]:
        """Yield every other numbered message of a session, by seq."""
        async for event in self._sorted("play_events", session_id, "seq"):
            yield event

    def _sorted(self, name: str, session_id: str, key: str) -> AsyncIterator[dict[str, Any]]:
        cursor: AsyncIterator[dict[str, Any]] = (
            self._db[name].find({"session_id": session_id}).sort(key, 1)
        )
        return cursor

    async def _one(self, name: str, query: dict[str, str]) -> dict[str, Any] | None:
        found: dict[str, Any] | None = await self._db[name].find_one(query)
        return found


def marks_of(items: Iterable[Item]) -> dict[str, int]:
    """Return the highest message number that `items` cover, for each session."""
    marks: dict[str, int] = {}
    for item in items:
        marks[item.session_id] = max(item.last, marks.get(item.session_id, -1))
    return marks
