"""Carries what the sessions hold to the stream, all due ones in one round trip, and marks them."""

import asyncio
import logging
from collections.abc import Callable

import msgpack
from redis.exceptions import RedisError

from config import metrics
from config.clock import Clock
from models.bus import Bus
from models.errors import AppError, ErrorCode
from models.play.buffer import Answer, Append, PlayBuffer, Taken
from models.play.keys import PlayKeys
from models.play.ownership import Ownership
from sessions.engine import Engine
from sessions.session import Session

log = logging.getLogger(__name__)

BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)
SNAPSHOTS_S = 0.1
"""How often it is looked whether snapshots are due."""
SNAPSHOTS_APART_S = 0.02
"""Between two rounds of snapshots while there are more: the others have the loop."""
REFRESH_S = 2.5
"""How often it is looked whose stored mark stands still, to read it from Redis: what was said while
that was away is lost."""


class Appender:
    """One loop, one append in flight, so a session's messages can only arrive in order."""

    def __init__(
        self,
        *,
        engine: Engine,
        buffer: PlayBuffer,
        ownership: Ownership,
        bus: Bus,
        keys: PlayKeys,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._buffer = buffer
        self._ownership = ownership
        self._bus = bus
        self._keys = keys
        self._clock = clock
        self._idle = asyncio.Event()
        self._idle.set()
        self._held: list[tuple[Session, Append]] = []
        self._lagging: dict[str, int] = {}
        """The stored marks of those that lagged when it was looked last."""
        self.on_sealed: list[Callable[[Session], None]] = []
        """Called with each session whose seal is in Redis."""

    def is_appending(self) -> bool:
        """Tell whether an append is under way."""
        return bool(self._held)

    async def start(self) -> None:
        """Listen to what the flushers have stored."""
        for shard in range(self._keys.shards):
            await self._bus.subscribe(self._keys.stored(shard), self._heard)

    async def run(self) -> None:
        """Append for ever. What an earlier run left without an answer is sent again first."""
        while True:
            if not self._held:
                self._idle.set()
                await self._engine.due.wait()
            self._engine.due.clear()
            self._idle.clear()
            await self.append_due()

    async def append_due(self) -> None:
        """Append what is due now, after what is still without an answer."""
        watch = metrics.Stopwatch()
        self._held += self._engine.cut_due(self._clock.time_us())
        watch.lap("append")
        metrics.APPENDING.set(len(self._held))
        if self._held:
            await self._land()
            metrics.APPENDING.set(0)

    async def settle(self) -> None:
        """Wait until nothing is left to append."""
        while self._held or self._engine.due.is_set() or self._engine.unsettled():
            await self._idle.wait()
            await asyncio.sleep(0.01)

    async def _land(self) -> None:
        attempts = 0
        while True:
            try:
                with metrics.APPEND.time():
                    answers = await self._buffer.append([append for _, append in self._held])
                break
            except (RedisError, OSError, TimeoutError) as error:
                # Not known whether it was written: the same append is sent again. If it was,
                # the script answers `moved` with `last` at the append's end.
                metrics.APPEND_ERRORS.inc()
                if attempts == 0:
                    log.warning("Redis does not take appends (%s); trying again", error)
                await asyncio.sleep(BACKOFF_S[min(attempts, len(BACKOFF_S) - 1)])
                attempts += 1
        watch = metrics.Stopwatch()
        held, self._held = self._held, []
        landed = [
            session
            for (session, append), answer in zip(held, answers, strict=True)
            if self._landed(session, append, answer)
        ]
        self._engine.marks_moved(landed)
        watch.lap("ack")

    def _landed(self, session: Session, append: Append, answer: Answer) -> bool:
        done = answer.taken is Taken.TAKEN or (
            answer.taken in (Taken.MOVED, Taken.SEALED) and answer.last == append.last
        )
        if done:
            session.landed()
            if append.seal:
                for told in self.on_sealed:
                    told(session)
            return True
        log.warning("session %s: append refused as %s", session.id, answer.taken)
        if session.player is not None:
            if answer.taken is Taken.FENCED:
                session.player.end("superseded", AppError(ErrorCode.SUPERSEDED, "Taken over."))
            else:
                # Redis lost something: who resumes is told from where to send again.
                error = AppError(ErrorCode.BUSY, "Resume the session.", retry_ms=200)
                session.player.end("closed", error)
        self._engine.remove(session)
        return False

    def _heard(self, raw: bytes) -> None:
        self._store(msgpack.unpackb(raw))

    def _store(self, marks: dict[str, int]) -> None:
        watch = metrics.Stopwatch()
        moved = []
        for session_id, stored in marks.items():
            session = self._engine.sessions.get(session_id)
            if session is not None and stored > session.stored:
                session.reached(stored)
                moved.append(session)
        self._engine.stored_moved(moved)
        watch.lap("ack")

    async def run_refresh(self) -> None:
        """Read the stored marks that were missed, for ever."""
        while True:
            await asyncio.sleep(REFRESH_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Read the stored marks of the sessions that lag and heard nothing since the last time."""
        sessions, before = self._engine.sessions.values(), self._lagging
        self._lagging = {s.id: s.stored for s in sessions if s.stored < s.buffered}
        silent = [i for i, stored in self._lagging.items() if before.get(i) == stored]
        if silent:
            self._store(await self._buffer.read_stored(silent))

    async def run_snapshots(self) -> None:
        """Keep the scoring state of open sets for whoever takes them over, for ever."""
        while True:
            more = await self.keep_snapshots()
            await asyncio.sleep(SNAPSHOTS_APART_S if more else SNAPSHOTS_S)

    async def keep_snapshots(self) -> bool:
        """Keep a few snapshots that are due now; False if there were none."""
        watch = metrics.Stopwatch()
        taken = [(s.id, s.token, snapshot) for s, snapshot in self._engine.take_snapshots()]
        watch.lap("snapshot")
        if taken:
            await self._ownership.keep_snapshots(taken)
        return bool(taken)
