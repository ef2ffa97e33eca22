"""The live engine: one tick drains all inboxes, scores all hands at once, and tells everybody.

Order inside a tick: frames of every session up to its next control event are scored as one
batch; then the control events; and so on until every inbox is empty. What a session's score
depends on is therefore its own messages in their order, never the batching.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from config import metrics
from config.clock import Clock
from config.settings import LiveSettings
from models.errors import AppError, ErrorCode
from models.play.buffer import Append
from models.play.keys import PlayKeys
from sessions.catalogue import Catalogue
from sessions.control import Control
from sessions.dues import Dues
from sessions.feed import FeedHub, Joined, Sink
from sessions.rebuild import Rebuilt, pack_snapshot
from sessions.rows import Rows
from sessions.saves import Saves
from sessions.scorer import Scorer
from sessions.scoring.batch import Batch
from sessions.session import Session
from sessions.sets import OpenSet, plan_of
from sessions.terms import State
from sessions.views import joined_of, summaries_of

ROUNDS_S = 0.1
"""How often late answers and finished sessions are looked for."""
STORED_S = 0.25
"""How often those are looked for whose `stored` no `buffered` took along."""


def _nothing() -> None:
    """Bring nothing."""


class Engine:
    """Owns the sessions of this worker and the batch they are scored in."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        hub: FeedHub,
        clock: Clock,
        limits: LiveSettings,
        keys: PlayKeys,
    ) -> None:
        self.sessions: dict[str, Session] = {}
        self.due = asyncio.Event()
        """Set when an append may be due; the appender clears it."""
        self._catalogue = catalogue
        self._hub = hub
        self._clock = clock
        self._limits = limits
        self._batch = Batch()
        self._control = Control(catalogue=catalogue, hub=hub, batch=self._batch, clock=clock)
        self._rows: Rows[Session] = Rows(limits.score_ms / 1000)
        self.take_frames = self._rows.take
        """Takes frames that are like those before, of many sessions at once."""
        self._scorer = Scorer(batch=self._batch, hub=hub, control=self._control, rows=self._rows)
        self._dues = Dues(limits.chunk_ms / 1000, self._rows, keys.shards, keys.shard_of)
        self._woken: list[Session] = []
        self._watched = -1
        """How often the watched sessions had changed when it was looked last."""
        self._marked: dict[Session, None] = {}
        """Sessions whose marks moved too soon after they were told last."""
        self._stored: dict[Session, None] = {}
        """Those of which only `stored` is to be told: there is time."""
        self._pending: dict[Session, None] = {}
        """Those that owe answers, or are sealed: the others need no look in between."""
        self._saves = Saves(limits.snapshot_seconds, keys.shards, keys.shard_of)
        self._rounds_at = self._stored_at = 0.0
        self.gather: Callable[[], None] = _nothing
        """Called before each tick, for who has something to bring into the rows and the inboxes."""

    # -- sessions

    def add(self, session: Session) -> None:
        """Take a session over."""
        self.sessions[session.id] = session
        session.woken = self._woken
        self._dues.enter(session)
        self._watched = -1
        self._saves.enter(session, self._clock.monotonic())
        metrics.SESSIONS.set(len(self.sessions))

    def adopt(self, session: Session, rebuilt: Rebuilt) -> None:
        """Go on with a session as its messages left it."""
        session.records = rebuilt.records
        session.last_set_no = rebuilt.last_set_no
        session.paused = rebuilt.paused
        now = rebuilt.open
        if now is not None:
            opened = session.opened
            plan = plan_of(self._catalogue, now.start, now.context, opened.space, opened.fps)
            slot = self._batch.load(plan, now.saved)
            session.open_set = OpenSet(now.start, now.context, slot, list(now.reps))
            session.state = State.PLAYING
        self.add(session)

    def take_snapshots(self) -> list[tuple[Session, bytes]]:
        """Return the scoring state of open sets that are due to be kept, a few at a time."""
        due = [
            (session, session.open_set)
            for session in self._saves.take(self._clock.monotonic(), self.sessions)
            if session.open_set is not None
        ]
        saved = self._batch.saves([open_set.slot for _, open_set in due])
        return [
            (session, pack_snapshot(session.done - 1, open_set.set_no, one))
            for (session, open_set), one in zip(due, saved, strict=True)
        ]

    def remove(self, session: Session) -> None:
        """Forget a session that is sealed, or lost to another owner."""
        if session.open_set is not None:
            self._batch.close(session.open_set.slot)
            session.open_set = None
        # It may be back already, taken up anew: that one is another, and stays.
        if self.sessions.get(session.id) is session:
            del self.sessions[session.id]
            self._hub.drop(session.id)
        session.woken = []  # whatever its connection still sends wakes nobody
        self._dues.leave(session)
        self._marked.pop(session, None)
        self._stored.pop(session, None)
        self._pending.pop(session, None)
        metrics.SESSIONS.set(len(self.sessions))

    def open_sessions(self) -> list[Session]:
        """The sessions that are not sealed."""
        return [s for s in self.sessions.values() if s.state is not State.SEALED]

    # -- the tick

    async def run(self) -> None:
        """Tick for ever."""
        period = self._limits.tick_ms / 1000
        loop = asyncio.get_running_loop()
        next_at = loop.time() + period
        while True:
            await asyncio.sleep(next_at - loop.time())
            now = loop.time()
            late = max(0.0, now - next_at)
            metrics.LOOP_LAG.set(late)
            metrics.LATENESS.observe(late)
            next_at = max(next_at + period, now)
            self.tick()

    def tick(self) -> None:
        """Do everything that is due now; never waits."""
        self.gather()
        now = self._clock.monotonic()
        if self._woken or self._rows.fresh:
            with metrics.TICK.time():
                self._play(now)
        if self._dues.pass_time(now):
            self.due.set()
        for session in [s for s in self._marked if s.tell_marks(now)]:
            del self._marked[session]
        if now - self._rounds_at >= ROUNDS_S:
            self._rounds_at = now
            self._go_round(now)

    def _play(self, now: float) -> None:
        """Empty the inboxes: frames of all sessions, then control events, and so on."""
        active = self._woken.copy()
        self._woken.clear()
        taken = sum(len(rows) for rows, _ in self._rows.fresh)
        for session in active:
            session.awake = False
            taken += len(session.inbox)
        metrics.MESSAGES.inc(taken)
        metrics.INBOX.set(taken)
        self._look_who_watches()
        left = active
        while left or self._rows.fresh:
            self._scorer.score(left, now)
            watch = metrics.Stopwatch()
            left = [s for s in left if s.inbox and self._control.handle(s)]
            watch.lap("control")
        for session in active:
            if session.urgent or not session.in_turn:
                self._dues.note(session)
            if session.answers.owed or session.sealed_at is not None:
                self._pending[session] = None
            session.start_taking()
        metrics.UNAPPENDED.set(self._dues.waiting)

    def _look_who_watches(self) -> None:
        if self._watched != self._hub.changes:
            self._watched = self._hub.changes
            known = self.sessions
            self._rows.watch([known[i].row for i in self._hub.sessions if i in known])

    def _go_round(self, now: float) -> None:
        if now - self._stored_at >= STORED_S:
            self._stored_at = now
            for session in [s for s in self._stored if s.tell_marks(now)]:
                del self._stored[session]
        for session in list(self._pending):
            session.answers.expire(now)
            if session.sealed_at is None:
                if not session.answers.owed:
                    del self._pending[session]
            elif session.over(now):
                self.remove(session)

    def cut_due(self, time_us: int) -> list[tuple[Session, Append]]:
        """Return what may be appended now; a session has no other append until its is known."""
        cut = [
            (session, session.cut(time_us, count, packed))
            for session, count, packed in self._dues.take()
        ]
        if self._dues:
            self.due.set()
        return cut

    def unsettled(self) -> bool:
        """Whether a session still holds something that is not in Redis."""
        return any(s.buffered < s.cursor - 1 or s.inbox for s in self.sessions.values())

    def marks_moved(self, sessions: Iterable[Session]) -> None:
        """Tell marks that moved, now or as soon as they may be told again.

        What a session took meanwhile may be appended from now on.
        """
        now = self._clock.monotonic()
        for session in sessions:
            if session.holds:
                self._dues.note(session)
            if not session.tell_marks(now):
                late = self._marked if session.buffered != session.told[0] else self._stored
                late[session] = None

    def stored_moved(self, sessions: Iterable[Session]) -> None:
        """Tell `stored` with the next `buffered`, or by itself when none comes: there is time."""
        self._stored.update(dict.fromkeys(sessions))

    # -- what is told

    def watch(self, session_id: str, sink: Sink) -> Joined:
        """Let `sink` see a session from now on.

        Raises:
            AppError: `not_found` when this worker does not hold the session, or it is sealed.
        """
        session = self.sessions.get(session_id)
        if session is None or session.state is State.SEALED:
            raise AppError(ErrorCode.NOT_FOUND, "There is no such live session.")
        offset = self._hub.join(session_id, sink)
        return joined_of(session, self._batch, offset, self._clock.time_us())

    def summaries(self, session_ids: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Return the lines in a live list of the sessions that are not sealed.

        Of those named, so far as this worker holds them; of all when none are named.
        """
        known = self.sessions
        asked = known if session_ids is None else [i for i in session_ids if i in known]
        named = [known[session_id] for session_id in asked]
        return summaries_of([s for s in named if s.state is not State.SEALED], self._batch)
