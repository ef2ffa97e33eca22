"""A session as a child would have played it: for accounts of tests, scored by the same code."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from models.catalog.library import motion_library
from models.children.localday import DEFAULT_ZONE
from models.play.chunks import chunk_item
from models.play.records import Item, event_item, record_item, result_item, session_item, utc
from models.play.repo import PlayRepo
from sessions.catalogue import Catalogue
from sessions.rescore import rescore
from sessions.sets import result_of, settle_context
from sessions.synthetic import play_set, sample_child

MOTION: Final = "fist"
REPS: Final = 5
SEED: Final = 7
CHUNK: Final = 30
"""Messages of a stored chunk."""
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
CLOSING: Final[Mapping[str, Any]] = {"reason": "done", "pain": 0, "effort": 3, "note": None}


class Rehearsal:
    """Stores the session for children who are nobody's."""

    def __init__(self, repo: PlayRepo, catalogue: Catalogue) -> None:
        self._repo = repo
        self._catalogue = catalogue

    async def store(self, child_ids: Sequence[str], at: datetime) -> None:
        """Store it for each of the children who has it not; the same again changes nothing.

        Args:
            at: when it began.

        Raises:
            models.db.DatabaseError: the database did not answer as it should.
            ValueError: the database refused a document.
        """
        missing = [c for c in child_ids if not await self._repo.find_result(session_of(c))]
        if not missing:
            return
        played = await asyncio.to_thread(self._play, (at - _EPOCH) // timedelta(microseconds=1))
        for child_id in missing:
            failures = await self._repo.store(played.items(child_id))
            if failures:
                raise ValueError(f"a rehearsed session was not taken: {failures[0].reason}")

    def _play(self, opened_us: int) -> "_Played":
        return _Played(self._catalogue, opened_us)


def session_of(child_id: str) -> str:
    """Return the id of a child's rehearsed session."""
    return f"s_{child_id.removeprefix('c_')}"


class _Played:
    """The session, once computed: for another child only the ids differ."""

    def __init__(self, catalogue: Catalogue, opened_us: int) -> None:
        child = sample_child(np.random.default_rng(SEED))
        self._at_us = opened_us
        played = play_set(
            child, motion_library().get(MOTION), reps=REPS, t0_us=opened_us, seed=SEED
        )
        self._frames = [message.payload for message in played.messages()]
        self._end_us = played.end_us
        self._start = {
            "set_no": 1,
            "motion": MOTION,
            "side": child.side,
            "asked_reps": REPS,
            "asked_hold_s": None,
            "guide_t0_us": played.guide_t0_us,
            "difficulty": None,
        }
        self._context = settle_context(catalogue, self._start, "world", opened_us)
        self._opened = {
            "kind": "free",
            "schedule_id": None,
            "space": "world",
            "fps": child.fps,
            "opened_us": opened_us,
            "at": utc(opened_us),
            "zone": DEFAULT_ZONE,
            "local_date": utc(opened_us).astimezone(ZoneInfo(DEFAULT_ZONE)).date().isoformat(),
            "rehearsed": True,
        }
        named = {**self._opened, "_id": "", "child_id": ""}
        start = {"event": "set:start", "payload": self._start, "context": self._context}
        messages: list[tuple[int, Any]] = [(0, start)]
        messages += enumerate(self._frames, start=1)
        messages.append((self._last - 1, {"event": "set:end", "payload": {"set_no": 1}}))
        (self._record,) = rescore(catalogue, named, messages)

    @property
    def _last(self) -> int:
        """Number of `session:close`: after `set:start`, the frames and `set:end`."""
        return len(self._frames) + 2

    def items(self, child_id: str) -> list[Item]:
        """Return what is stored of it for one child, the result last."""
        session_id, last = session_of(child_id), self._last
        opened = {**self._opened, "_id": session_id, "child_id": child_id}
        record = {**self._record, "session_id": session_id, "child_id": child_id}
        result = result_of(opened, [record], CLOSING, messages=last + 1, time_us=self._end_us)
        frames = self._frames
        return [
            session_item(session_id, {**self._opened, "child_id": child_id}),
            event_item(session_id, 0, "set:start", self._start, time_us=self._at_us,
                       context=self._context),
            *(chunk_item(session_id, 1 + n, frames[n : n + CHUNK], self._end_us)
              for n in range(0, len(frames), CHUNK)),
            event_item(session_id, last - 1, "set:end", {"set_no": 1}, time_us=self._end_us),
            event_item(session_id, last, "session:close", dict(CLOSING), time_us=self._end_us),
            record_item(session_id, last - 1, record),
            result_item(session_id, last, result),
        ]  # fmt: skip
