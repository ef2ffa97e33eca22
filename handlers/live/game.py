"""`/game`: the connection a child plays through. One connection plays one session."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic import BaseModel

from config import metrics
from handlers.deps import Deps
from handlers.errors import as_app_error
from handlers.live.base import MAX_SEQ, Connection, Event, LiveNamespace, Wire, parse
from handlers.live.protocol import (
    ClockAsk,
    SessionClose,
    SessionOpen,
    SessionPause,
    SessionResume,
    SetEnd,
    SetStart,
    plain,
)
from models.accounts.records import Principal, Role
from models.errors import AppError, ErrorCode
from sessions.answers import Reply
from sessions.berth import NO_BERTH
from sessions.catalogue import catalogue
from sessions.session import Session
from sessions.terms import Message
from sessions.views import resumed_state

ROOM_SECONDS = 0.02
"""How often a connection that is not read is looked at: whether its session has room again."""
CONTROL_BYTES = 256
"""What a control message counts for in the room of a session."""

NUMBERED: dict[str, type[BaseModel]] = {
    "set:start": SetStart,
    "set:end": SetEnd,
    "session:pause": SessionPause,
    "session:close": SessionClose,
}
"""The messages besides `frames` that are taken now."""


class Player(Connection):
    """A game client, and the session it plays once it has opened one."""

    __slots__ = ("last_size", "opening", "session")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.session: Session | None = None
        self.opening = False
        self.last_size = 0
        """Bytes of the message after which its session had no room."""


class GameNamespace(LiveNamespace[Player]):
    """Dispatches `/game`."""

    name = "/game"
    roles = frozenset({Role.GUARDIAN, Role.CHILD})
    in_person = True  # what is played counts as the child's own
    _changes = 0
    """Counts the news of access: an opening that was under way meanwhile is looked at again."""

    def __init__(self, deps: Deps, wire: Wire) -> None:
        super().__init__(deps, wire)
        self._stopped: set[Player] = set()
        self._some_stopped = asyncio.Event()

    def events(self) -> dict[str, Event]:
        """The events a game client may send."""
        return {
            "session:open": Event(SessionOpen, self._open),
            "session:resume": Event(SessionResume, self._resume),
            "frames": Event(None, self._frames, numbered=True, hot=self._stream, berth=_berth),
            "clock": Event(ClockAsk, self._clock),
            **{
                name: Event(model, partial(self._control, name, model), numbered=True)
                for name, model in NUMBERED.items()
            },
        }

    def joined(self, eio_sid: str, who: Principal) -> Player:
        """Make the connection."""
        return Player(self.wire, self.name, eio_sid, who)

    def access_changed(self, child_id: str) -> None:
        """Somebody may play a child no longer: look again, and close what is not theirs."""
        self._changes += 1
        for player in self.connections.values():
            if player.session is not None and player.session.opened.child_id == child_id:
                self.later(self._look_again(player, child_id), "access", lambda _: None)

    async def _look_again(self, player: Player, child_id: str) -> dict[str, Any]:
        try:
            await self.deps.registry.admit(player.who, child_id, "access")
        except AppError as error:
            if error.code is ErrorCode.BUSY:
                raise
            player.end("closed", error)
        return {}

    async def left(self, connection: Player) -> None:
        """Leave the session; what was sent still counts."""
        if connection in self._stopped:
            self._stopped.discard(connection)
            connection.hold(False)
        if connection.session is not None:
            self.deps.registry.leave(connection.session, connection)

    def _open(self, player: Player, asked: SessionOpen, reply: Callable[..., None]) -> None:
        if player.opening:
            raise AppError(ErrorCode.CONFLICT, "A session is being opened; wait for its answer.")
        player.opening = True
        self.later(self._opened(player, plain(asked)), "session:open", reply)

    async def _opened(self, player: Player, asked: dict[str, Any]) -> dict[str, Any]:
        changes = self._changes
        try:
            session = await self.deps.registry.open(player.who, asked, player)
        finally:
            player.opening = False
        if player.session is not None and player.session is not session:
            self.deps.registry.leave(session, player)
            raise AppError(
                ErrorCode.CONFLICT, "This connection plays a session; open another connection."
            )
        player.session = session
        if not player.open:
            self.deps.registry.leave(session, player)
        elif changes != self._changes:
            await self._look_again(player, session.opened.child_id)
        return {
            "session_id": session.id,
            "resume_token": session.opened.resume_token,
            "expected": session.expected,
            "limits": self._limits(),
            "motions": catalogue().motions,
            "config_version": self.deps.version,
        }

    def _limits(self) -> dict[str, int]:
        live = self.deps.settings.live
        return {
            "unacked": live.unacked_messages,
            "unacked_bytes": live.unacked_bytes,
            "chunk_ms": live.chunk_ms,
            "grace_s": live.grace_seconds,
        }

    def _resume(self, player: Player, asked: SessionResume, reply: Callable[..., None]) -> None:
        if player.opening or player.session is not None:
            raise AppError(ErrorCode.CONFLICT, "This connection has a session already.")
        player.opening = True
        self.later(self._resumed(player, asked), "session:resume", reply)

    async def _resumed(self, player: Player, asked: SessionResume) -> dict[str, Any]:
        try:
            session, outcome, result = await self.deps.registry.resume(
                player.who, asked.session_id, asked.resume_token, player
            )
        finally:
            player.opening = False
        metrics.RESUMES.labels(outcome).inc()
        if session is not None:
            player.session = session
            if not player.open:
                self.deps.registry.leave(session, player)
        answer = {"outcome": outcome, "session_id": asked.session_id, "limits": self._limits()}
        if session is None:
            state: dict[str, Any] = {"state": "sealed", "set": None, "paused": False}
            last = result.get("messages", 0) - 1
            return {
                **answer,
                "expected": last + 1,
                "stored": last,
                "state": {**state, "last_set_no": 0, "result": result},
            }
        return {
            **answer,
            "expected": session.expected,
            "stored": session.stored,
            "state": resumed_state(session),
        }

    def _stream(self, player: Player, seq: int, payload: bytes) -> None:
        session = player.session
        if session is None or not player.open:
            player.send("refused", {"seq": seq, **_not_open("frames").body()})
        elif not session.offer_frames(seq, payload) and session.full(len(payload)):
            self._stop(player, len(payload))

    def _frames(self, player: Player, args: list[Any], reply: Reply | None) -> None:
        seq = _seq(args, "frames")
        session = player.session
        if session is None:
            player.send("refused", {"seq": seq, **_not_open("frames").body()})
            return
        payload = args[1] if len(args) == 2 else None
        error = None
        if not isinstance(payload, bytes | bytearray):
            error = AppError(ErrorCode.INVALID, "frames takes a seq and one binary argument.")
            payload = b""
        message = Message(seq, "frames", bytes(payload), error)
        self._offer(player, session, message, len(payload), reply)

    def _control(
        self,
        event: str,
        model: type[BaseModel],
        player: Player,
        args: list[Any],
        reply: Reply | None,
    ) -> None:
        seq = _seq(args, event)
        session = player.session
        if session is None:
            raise _not_open(event)
        try:
            message = Message(seq, event, plain(parse(model, args[1:], event)))
        except AppError as error:
            # It takes its number all the same: nobody may wait behind it.
            message = Message(seq, event, None, as_app_error(error, event))
        self._offer(player, session, message, CONTROL_BYTES, reply)

    def _offer(
        self, player: Player, session: Session, message: Message, size: int, reply: Reply | None
    ) -> None:
        wait = self.deps.settings.live.close_seconds
        deadline = self.deps.clock.monotonic() + wait
        session.offer(message, size, reply, deadline)
        if session.full(size):
            self._stop(player, size)

    def _stop(self, player: Player, size: int) -> None:
        """Read nothing more of a player before its session has room for as much again."""
        player.last_size = size
        if player not in self._stopped:
            metrics.LIMITED.labels("unacked").inc()
            self._stopped.add(player)
            self._some_stopped.set()
            player.hold(True)

    async def run_rooms(self) -> None:
        """Read on from those whose sessions have room again, for ever."""
        while True:
            if not self._stopped:
                self._some_stopped.clear()
                await self._some_stopped.wait()
            await asyncio.sleep(ROOM_SECONDS)
            for player in [p for p in self._stopped if not _is_full(p)]:
                self._stopped.discard(player)
                player.hold(False)

    def _clock(self, _: Player, asked: ClockAsk, reply: Callable[..., None]) -> None:
        reply({"t_us": asked.t_us, "server_us": self.deps.clock.time_us()})


def _is_full(player: Player) -> bool:
    session = player.session
    return player.open and session is not None and session.full(player.last_size)


def _seq(args: list[Any], event: str) -> int:
    seq = args[0] if args else None
    if type(seq) is not int or not 0 <= seq < MAX_SEQ:
        raise AppError(
            ErrorCode.INVALID, f"{event}: the first argument is the message's number, from 0."
        )
    return seq


def _berth(player: Player) -> tuple[int, int]:
    """Return where frames of a player may be taken together with those of others."""
    session = player.session
    mine = session is not None and player.open and session.player is player
    return session.berth() if session is not None and mine else NO_BERTH


def _not_open(event: str) -> AppError:
    return AppError(ErrorCode.CONFLICT, f"{event}: open a session first.")
