"""Opening, resuming and leaving sessions; a child's place is held for one of them at a time."""

import asyncio
import contextlib
import dataclasses
import hashlib
import hmac
import logging
from collections.abc import Callable, Container
from typing import Any

import msgpack
from redis.exceptions import RedisError

from config.clock import Clock
from config.settings import LiveSettings
from models.accounts.records import Principal
from models.bus import Bus
from models.children.access import Access, Visit
from models.children.records import Child
from models.db import DatabaseError
from models.errors import AppError, ErrorCode
from models.play.keys import PlayKeys
from models.play.ownership import Ownership
from models.play.pressure import Pressure
from models.play.records import session_item, utc
from models.therapy.repo import TherapyRepo
from models.therapy.rules import Therapy
from sessions.answers import busy_error
from sessions.engine import Engine
from sessions.opened import Opened, opened_of
from sessions.places import CHILD_LEASE_MS, ChildPlaces
from sessions.session import Session, sealed_error
from sessions.takeover import Takeover
from sessions.terms import Player, State

log = logging.getLogger(__name__)

RELEASE_S = 0.2
LEAVING_TRIES = 20
"""Looks, half a `RELEASE_S` apart, at the place of a session that is being sealed."""
THERAPY_S = 1.0
"""How long an opening waits for the child's therapy profile."""


class Registry:
    """Opens the sessions of this worker and holds their children's places."""

    def __init__(
        self,
        *,
        node: str,
        engine: Engine,
        ownership: Ownership,
        takeover: Takeover,
        pressure: Pressure,
        access: Access,
        therapies: TherapyRepo,
        bus: Bus,
        keys: PlayKeys,
        clock: Clock,
        limits: LiveSettings,
        day_start_hour: int,
        new_id: Callable[[], str],
    ) -> None:
        self._node = node
        self._engine = engine
        self._ownership = ownership
        self._takeover = takeover
        self._pressure = pressure
        self._access = access
        self._therapies = therapies
        self._bus = bus
        self._keys = keys
        self._clock = clock
        self._limits = limits
        self._day_start_hour = day_start_hour
        self._new_id = new_id
        self._opening: dict[str, asyncio.Lock] = {}
        self._places = ChildPlaces(ownership, clock)
        self._away: dict[str, Session] = {}
        """Sessions whose player left."""
        self._left = asyncio.Event()
        """Somebody left: the place of a child is free."""

    async def start(self) -> None:
        """Listen to what other workers take over or open."""
        await self._bus.subscribe(self._keys.taken(), self._heard)

    # -- opening

    async def open(self, who: Principal, asked: dict[str, Any], player: Player) -> Session:
        """Open the session of this `client_key`, or return it if this worker holds it already.

        Args:
            asked: the payload of `session:open`.

        Raises:
            AppError: `not_found` (child), `consent_required`, `session_limit`, `session_sealed`,
                `conflict`, `busy`.
        """
        child = await self.admit(who, asked["child_id"], "session:open")
        self._check_room()
        self._pressure.check()
        try:
            return await self._open(who, asked, child, player)
        except (RedisError, DatabaseError, OSError, TimeoutError) as error:
            raise busy_error() from error

    async def admit(self, who: Principal, child_id: str, event: str) -> Child:
        """Return the child if `who` may play it.

        Raises:
            AppError: `not_found`, `consent_required`, `busy`.
        """
        now = self._clock.now()
        return await self._access.child(
            who, child_id, Visit("play", event, None, None, None, now, via="live")
        )

    def _check_room(self) -> None:
        if len(self._engine.sessions) >= self._limits.sessions:
            raise AppError(
                ErrorCode.SESSION_LIMIT, "This worker is full; try again.", retry_ms=5000
            )

    async def _open(
        self, who: Principal, asked: dict[str, Any], child: Child, player: Player
    ) -> Session:
        fresh = self._new_id()
        session_id, resume_token = await self._ownership.claim_opening(
            who.user_id, asked["client_key"], fresh, self._new_id()
        )
        if session_id != fresh:
            known = await self._open_again(who, asked, session_id, resume_token, player)
            if known is not None:
                return known
        await self._hold_child(asked["child_id"], session_id)
        therapy = await self._therapy(asked["child_id"])
        opened = self._opened(session_id, who, asked, child, therapy, resume_token)
        item = session_item(session_id, {**opened.document, "at": utc(self._clock.time_us())})
        token = await self._ownership.open(session_id, opened.child_id, item)
        if token is None:
            raise AppError(ErrorCode.BUSY, "The session is being opened; ask again.", retry_ms=500)
        session = Session(opened, self._limits, token)
        session.player = player
        self._engine.add(session)
        self._places.keep(session)
        return session

    async def _open_again(
        self,
        who: Principal,
        asked: dict[str, Any],
        session_id: str,
        resume_token: str,
        player: Player,
    ) -> Session | None:
        """Return the session this key opened before, on any worker; None if it never was."""
        known = self._engine.sessions.get(session_id)
        document = known.opened.document if known else await self._takeover.find_opened(session_id)
        if document is None:
            return None
        if document["child_id"] != asked["child_id"]:
            raise AppError(ErrorCode.CONFLICT, "This `client_key` is of another child.")
        session, _, _ = await self.resume(who, session_id, resume_token, player)
        if session is None or session.state is State.SEALED:
            raise sealed_error()
        session.opened = dataclasses.replace(session.opened, resume_token=resume_token)
        return session

    async def _hold_child(self, child_id: str, session_id: str) -> None:
        # A session of the child without a connection is sealed first, here or elsewhere.
        for other in self._engine.open_sessions():
            if other.opened.child_id == child_id and other.id != session_id and not other.player:
                other.abandon()
        self._bus.publish(self._keys.taken(), msgpack.packb([session_id, 0, child_id]))
        for _ in range(LEAVING_TRIES):
            if await self._ownership.hold_child(child_id, session_id, CHILD_LEASE_MS):
                return
            holder = self._places.find(await self._ownership.child_holder(child_id))
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
        self,
        session_id: str,
        who: Principal,
        asked: dict[str, Any],
        child: Child,
        therapy: Therapy,
        resume_token: str,
    ) -> Opened:
        now = self._clock.now()
        document = {
            "_id": session_id,
            "alias": child.alias,
            "zone": child.zone_at(now),
            "local_date": child.local_date(now, self._day_start_hour).isoformat(),
            **{k: asked[k] for k in asked if k != "client_key"},
            "opened_by": who.user_id,
            "opened_us": self._clock.time_us(),
            "node": self._node,
            "resume_sha256": _digest(resume_token),
        }
        return opened_of(document, therapy, resume_token)

    # -- resuming

    async def resume(
        self, who: Principal, session_id: str, resume_token: str, player: Player
    ) -> tuple[Session | None, str, dict[str, Any]]:
        """Take a session up on this worker, wherever it was before.

        Returns:
            The session (None when it is sealed), the outcome, and its result if it is sealed.

        Raises:
            AppError: `not_found` for an unknown session and a wrong token alike, `busy`.
        """
        lock = self._opening.setdefault(session_id, asyncio.Lock())
        try:
            async with lock:
                return await self._resume(who, session_id, resume_token, player)
        except (RedisError, DatabaseError, OSError, TimeoutError) as error:
            raise busy_error() from error
        finally:
            if not lock.locked():
                self._opening.pop(session_id, None)

    async def _resume(
        self, who: Principal, session_id: str, resume_token: str, player: Player
    ) -> tuple[Session | None, str, dict[str, Any]]:
        session = self._engine.sessions.get(session_id)
        document = (
            session.opened.document
            if session is not None
            else await self._takeover.find_opened(session_id)
        )
        if (
            document is None
            or document["opened_by"] != who.user_id
            or not hmac.compare_digest(document["resume_sha256"], _digest(resume_token))
        ):
            raise AppError(ErrorCode.NOT_FOUND, "There is no such session to resume.")
        await self._still_admit(who, document["child_id"])
        if session is not None and session.state is not State.SEALED:
            outcome = "resumed" if session.player is None else "taken_over"
            await self._hold_child(session.opened.child_id, session_id)
            self._attach(session, player)
            self._places.keep(session)
            return session, outcome, {}
        if session is not None:
            session.player = player
            return session, "sealed", session.result or {}
        self._check_room()
        connected = await self._ownership.child_holder(document["child_id"]) == session_id
        taken = await self._takeover.take(document, await self._therapy(document["child_id"]))
        if taken.session is None:
            return None, "sealed", taken.result
        if not connected:
            await self._hold_child(document["child_id"], session_id)
        taken.session.player = player
        self._engine.adopt(taken.session, taken.rebuilt)
        self._places.keep(taken.session)
        if taken.lost:
            return taken.session, "restarted", {}
        return taken.session, "taken_over" if connected else "resumed", {}

    async def _still_admit(self, who: Principal, child_id: str) -> None:
        """Look again whether somebody may play a child whose session they opened.

        A database that is away stops nobody who plays: nothing can be withdrawn in it meanwhile.
        """
        try:
            async with asyncio.timeout(THERAPY_S):
                await self.admit(who, child_id, "session:resume")
        except TimeoutError:
            log.warning("who may play is not looked up: a session goes on by its resume token")
        except AppError as error:
            if error.code is not ErrorCode.BUSY:
                raise
            log.warning("who may play is not looked up: a session goes on by its resume token")

    @property
    def held(self) -> Container[str]:
        """The sessions that this worker has."""
        return self._engine.sessions

    async def seal_lost(self, session_id: str) -> None:
        """Seal a session nobody has: its worker is gone and nobody came back.

        Raises:
            redis.exceptions.RedisError, models.db.DatabaseError: it stays for the next look.
        """
        document = await self._takeover.find_opened(session_id)
        if document is None or session_id in self._engine.sessions:
            return
        taken = await self._takeover.take(document, await self._therapy(document["child_id"]))
        if taken.session is not None:
            self._engine.adopt(taken.session, taken.rebuilt)
            taken.session.abandon()

    # -- leaving

    def _attach(self, session: Session, player: Player) -> None:
        old, session.player, session.detached_at = session.player, player, None
        if old is not None and old is not player:
            old.end("superseded", _superseded())

    def _heard(self, raw: bytes) -> None:
        session_id, token, child_id = msgpack.unpackb(raw)
        session = self._engine.sessions.get(session_id)
        if session is not None and 0 < session.token < token:
            if session.player is not None:
                session.player.end("superseded", _superseded())
            self._engine.remove(session)
            self._places.lose(session)
        if token == 0:  # the child opens another session: what it left elsewhere ends now
            for other in self._engine.open_sessions():
                mine = other.opened.child_id == child_id and other.id != session_id
                if mine and other.player is None:
                    other.abandon()

    def leave(self, session: Session, player: Player) -> None:
        """The connection is gone. The session waits for it; after that it is sealed."""
        if session.player is player:
            session.player = None
            session.detached_at = self._clock.monotonic()
            self._away[session.id] = session
            self._places.leave(session)
            self._left.set()

    def sealed(self, session: Session) -> None:
        """A session is over, whoever is still connected: its child may play another."""
        self._places.leave(session)

    async def run(self) -> None:
        """Hold the places of those who play, give back the others, seal who stays away."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), RELEASE_S)
            self._left.clear()
            self._abandon_away()
            await self._places.settle()

    def _abandon_away(self) -> None:
        now = self._clock.monotonic()
        for session in list(self._away.values()):
            left = session.detached_at
            if left is None or self._engine.sessions.get(session.id) is not session:
                del self._away[session.id]  # somebody came back, here or elsewhere
            elif now - left > self._limits.grace_seconds:
                session.detached_at = None
                session.abandon()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _superseded() -> AppError:
    return AppError(ErrorCode.SUPERSEDED, "The session goes on through another connection.")
