"""Becoming the owner of a session that another worker had, or nobody."""

import logging
from dataclasses import dataclass
from typing import Any

import msgpack

from config.settings import LiveSettings
from models.bus import Bus
from models.play.history import Histories
from models.play.keys import PlayKeys
from models.play.ownership import Ownership
from models.play.repo import PlayRepo
from models.therapy.rules import Therapy
from sessions.opened import opened_of
from sessions.rebuild import Job, Rebuilder, Rebuilt, read_story
from sessions.session import Session

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of it: the session with its state, or the result of a sealed one."""

    session: Session | None
    rebuilt: Rebuilt
    lost: bool
    result: dict[str, Any]


class Takeover:
    """Fences the old owner, then makes the session's state again from what is stored."""

    def __init__(
        self,
        *,
        ownership: Ownership,
        histories: Histories,
        repo: PlayRepo,
        rebuilder: Rebuilder,
        bus: Bus,
        keys: PlayKeys,
        limits: LiveSettings,
    ) -> None:
        self._ownership = ownership
        self._histories = histories
        self._repo = repo
        self._rebuilder = rebuilder
        self._bus = bus
        self._keys = keys
        self._limits = limits

    async def find_opened(self, session_id: str) -> dict[str, Any] | None:
        """Return the session's document; None when there is no such session."""
        return await self._histories.find_opened(session_id)

    async def take(self, document: dict[str, Any], therapy: Therapy) -> Taken:
        """Take a session over.

        From the first step on the old owner can append nothing, so what is read after it is all
        there will be.

        Raises:
            redis.exceptions.RedisError, models.db.DatabaseError: try again.
            AppError: `not_found`: the catalogue no longer holds what the open set is played with.
        """
        session_id: str = document["_id"]
        stored, sealed = await self._histories.stored(session_id)
        owned = await self._ownership.take(session_id, document["child_id"], stored, sealed=sealed)
        history = (await self._histories.read([session_id]))[session_id]
        if owned.sealed:
            result = {k: v for k, v in (history.result or {}).items() if k not in ("_id", "at")}
            return Taken(None, Rebuilt(owned.last), lost=False, result=result)
        self._bus.publish(
            self._keys.taken(), msgpack.packb([session_id, owned.token, document["child_id"]])
        )
        last, lost = owned.last, owned.lost
        if history.last < last and not await self._repo.count_dead(session_id):
            # Redis kept the mark and lost the messages: they come again.
            last, lost = history.last, True
            await self._ownership.lower(session_id, owned.token, last)
        if lost:
            await self._repo.drop_beyond(session_id, last)
            log.warning("session %s: Redis had lost something; it goes on at %d", session_id, last)
        story = read_story(history, last)
        rebuilt = await self._rebuilder.rebuild(
            Job(
                space=document["space"],
                fps=document["fps"],
                story=story,
                frames=await self._histories.frames(history, story.first),
                snapshot=await self._ownership.read_snapshot(session_id),
            )
        )
        for record in rebuilt.records:
            therapy.learn(record)  # a calibration of this session may not be stored yet
        session = Session(opened_of(document, therapy, ""), self._limits, owned.token)
        session.take_up(last, min(owned.stored, last))
        for seq, answer in rebuilt.answers.items():
            session.answers.know(seq, answer)
        return Taken(session, rebuilt, lost=lost, result={})
