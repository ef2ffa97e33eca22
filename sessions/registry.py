"""Opening and leaving sessions; a child's place is held for one of them at a time."""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from config.clock import Clock
from config.settings import LiveSettings
from models.accounts.records import Principal
from models.children.access import access_child, alias_of
from models.db import DatabaseError
from models.errors import AppError, ErrorCode
from models.play.buffer import PlayBuffer
from models.play.records import session_item, utc
from models.therapy.repo import TherapyRepo
from models.therapy.rules import Therapy
from sessions.engine import Engine
from sessions.session import Opened, Player, Session, State, busy_error, sealed_error

log = logging.getLogger(__name__)

CHILD_LEASE_MS = 20_000
RENEW_S = 5.0
RELEASE_S = 0.2
THERAPY_S = 1.0
"""How long an opening waits for the child's therapy profile."""
LEAVING_TRIES = 20
"""Looks, half a `RELEASE_S` apart, at the place of a session that is being sealed."""


class Registry:
    """Opens the sessions of this worker and holds their children's places."""

    def __init__(
        self,
        *,
        node: str,
        engine: Engine,
        buffer: PlayBuffer,
        clock: Clock,
        limits: LiveSettings,
        new_id: Callable[[], str],
        therapies: TherapyRepo,
    ) -> None:
        self._node = node
        self._engine = engine
        self._buffer = buffer
        self._clock = clock
        self._limits = limits
        self._new_id = new_id
        self._therapies = therapies

    async def open(self, who: Principal, asked: dict[str, Any], player: Player) -> Session:
        """Open the session of this `client_key`, or return it if this worker holds it already.

        Args:
            asked: the payload of `session:open`.

        Raises:
            AppError: `not_found` (child), `session_limit`, `session_sealed`, `conflict`, `busy`.
        """
        access_child(who, asked["child_id"])
        if len(self._engine.sessions) >= self._limits.sessions:
            raise AppError(
                ErrorCode.SESSION_LIMIT, "This worker is full; try again.", retry_ms=5000
            )
        try:
            return await self._open(who, asked, player)
        except (RedisError, OSError, TimeoutError) as error:
            raise busy_error() from error

    async def _open(self, who: Principal, asked: dict[str, Any], player: Player) -> Session:
        session_id = await self._buffer.claim_opening(
            who.user_id, asked["client_key"], self._new_id()
        )
        known = self._engine.sessions.get(session_id)
        if known is not None:
            return self._again(known, asked, player)
        await self._hold_child(asked["child_id"], session_id)
        therapy = await self._therapy(asked["child_id"])
        opened = self._opened(session_id, who, asked, therapy)
        item = session_item(session_id, {**opened.document, "at": utc(self._clock.time_us())})
        if not await self._buffer.open(session_id, 1, item):
            raise AppError(ErrorCode.CONFLICT, "This `client_key` was used before; make a new one.")
        session = Session(opened, self._limits, token=1)
        session.player = player
        self._engine.add(session)
        return session

    async def _hold_child(self, child_id: str, session_id: str) -> None:
        for _ in range(LEAVING_TRIES):
            if await self._buffer.hold_child(child_id, session_id, CHILD_LEASE_MS):
                return
            holder = self._engine.sessions.get(await self._buffer.child_holder(child_id))
            if holder is None or (holder.player is not None and holder.state is not State.SEALED):
                break
            await asyncio.sleep(RELEASE_S / 2)  # it is being sealed: its place is free at once
        raise AppError(
            ErrorCode.SESSION_LIMIT,
            "This child plays another session; close it first.",
            retry_ms=CHILD_LEASE_MS // 4,
        )

    async def _therapy(self, child_id: str) -> Therapy:
        """A child plays although its profile cannot be read now: against the norm."""
        try:
            async with asyncio.timeout(THERAPY_S):
                return await self._therapies.load(child_id)
        except (DatabaseError, OSError, TimeoutError):
            log.warning("therapy profile not read: the session plays against the norm")
            return Therapy()

    def _opened(
        self, session_id: str, who: Principal, asked: dict[str, Any], therapy: Therapy
    ) -> Opened:
        child_id: str = asked["child_id"]
        alias = alias_of(child_id)
        resume_token = self._new_id()
        document = {
            "_id": session_id,
            **{k: asked[k] for k in asked if k != "client_key"},
            "opened_by": who.user_id,
            "opened_us": self._clock.time_us(),
            "node": self._node,
            "resume_sha256": hashlib.sha256(resume_token.encode()).hexdigest(),
        }
        return Opened(
            session_id=session_id,
            child_id=child_id,
            alias=alias,
            user_id=who.user_id,
            kind=asked["kind"],
            space=asked["space"],
            fps=asked["fps"],
            resume_token=resume_token,
            document=document,
            therapy=therapy,
        )

    def _again(self, session: Session, asked: dict[str, Any], player: Player) -> Session:
        if session.state is State.SEALED:
            raise sealed_error()
        if session.opened.child_id != asked["child_id"]:
            raise AppError(ErrorCode.CONFLICT, "This `client_key` opened another child's session.")
        if session.player is not None and session.player is not player:
            session.player.end(
                "superseded",
                AppError(ErrorCode.SUPERSEDED, "The session goes on through another connection."),
            )
        session.player = player
        return session

    def leave(self, session: Session, player: Player) -> None:
        """The connection is gone: what it sent still counts, then the session is sealed."""
        if session.player is not player:
            return
        session.player = None
        session.abandon()
        self._engine.touch(session)

    async def run(self) -> None:
        """Renew the children's places for ever, and give back those of sealed sessions."""
        held: dict[str, Session] = {}
        renew_at = 0.0
        while True:
            await asyncio.sleep(RELEASE_S)
            now = self._clock.monotonic()
            renewing = now >= renew_at
            if renewing:
                renew_at = now + RENEW_S
            held.update(self._engine.sessions)
            for session in list(held.values()):
                child_id = session.opened.child_id
                gone = session.id not in self._engine.sessions
                if gone or (
                    session.state is State.SEALED and session.buffered == session.cursor - 1
                ):
                    await self._buffer.release_child(child_id, session.id)
                    held.pop(session.id, None)
                elif renewing:
                    await self._buffer.hold_child(child_id, session.id, CHILD_LEASE_MS)
