"""The live engine: one tick drains all inboxes, scores all hands at once, and tells everybody.

Order inside a tick: frames of every session up to its next control event are scored as one
batch; then the control events; and so on until every inbox is empty. What a session's score
depends on is therefore its own messages in their order, never the batching.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from config import metrics
from config.clock import Clock
from config.settings import LiveSettings
from models.errors import AppError, ErrorCode, internal_error
from models.play.records import Item, event_item, result_item
from sessions.catalogue import Catalogue
from sessions.feed import FeedHub, Joined, Sink
from sessions.frames import FrameError, FrameMessage, decode
from sessions.rebuild import Rebuilt, pack_snapshot
from sessions.scoring.batch import Batch
from sessions.session import TRANSITIONS, Message, Session, State
from sessions.sets import (
    OpenSet,
    kept_of,
    plan_of,
    record_of,
    result_of,
    settle_context,
    start_answer,
)
from sessions.telling import tell_mark, tell_rep, tell_score
from sessions.views import score_of, snapshot_of, summary_of

log = logging.getLogger(__name__)

SNAPSHOTS_AT_ONCE = 20
"""Snapshots made in one go: each takes the loop about a tenth of a millisecond."""
ROUNDS_S = 0.1
"""How often late answers and finished sessions are looked for."""


@dataclass(slots=True)
class _Done:
    """What handling a control event gave."""

    answer: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] | None = None
    extra: list[Item] = field(default_factory=list)
    error: AppError | None = None


class Engine:
    """Owns the sessions of this worker and the batch they are scored in."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        hub: FeedHub,
        clock: Clock,
        limits: LiveSettings,
    ) -> None:
        self.sessions: dict[str, Session] = {}
        self.due = asyncio.Event()
        """Set when an append may be due; the appender clears it."""
        self._catalogue = catalogue
        self._hub = hub
        self._clock = clock
        self._limits = limits
        self._batch = Batch()
        self._touched: dict[str, Session] = {}
        self._waiting: dict[str, Session] = {}
        self._marked: dict[str, Session] = {}
        self._rounds_at = 0.0

    # -- sessions

    def add(self, session: Session) -> None:
        """Take a session over."""
        self.sessions[session.id] = session
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
            session.set = OpenSet(now.start, now.context, slot, list(now.reps))
            session.state = State.PLAYING
        self.add(session)

    def take_snapshots(self) -> list[tuple[Session, bytes]]:
        """Return the scoring state of the open sets that are due to be kept, a few at a time."""
        now = self._clock.monotonic()
        taken: list[tuple[Session, bytes]] = []
        for session in self.sessions.values():
            if len(taken) >= SNAPSHOTS_AT_ONCE:
                break
            if session.set is None or now - session.snapshot_at < self._limits.snapshot_seconds:
                continue
            fresh = session.snapshot_at == 0.0
            session.snapshot_at = now
            if not fresh:
                saved = self._batch.save(session.set.slot)
                seq, open_set = session.cursor - 1, session.set
                taken.append((session, pack_snapshot(seq, open_set.set_no, open_set.reps, saved)))
        return taken

    def remove(self, session: Session) -> None:
        """Forget a session that is sealed, or lost to another owner."""
        if session.set is not None:
            self._batch.close(session.set.slot)
            session.set = None
        self.sessions.pop(session.id, None)
        self._hub.drop(session.id)
        for group in (self._touched, self._waiting, self._marked):
            group.pop(session.id, None)
        metrics.SESSIONS.set(len(self.sessions))

    def touch(self, session: Session) -> None:
        """Say that a session has something in its inbox."""
        self._touched[session.id] = session

    def open_sessions(self) -> Iterable[Session]:
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
            metrics.LOOP_LAG.set(max(0.0, now - next_at))
            next_at = max(next_at + period, now)
            self.tick()

    def tick(self) -> None:
        """Do everything that is due now; never waits."""
        now = self._clock.monotonic()
        if self._touched:
            with metrics.TICK.time():
                active, self._touched = list(self._touched.values()), {}
                self._waiting.update((session.id, session) for session in active)
                while active:
                    self._score(active, now)
                    active = [session for session in active if self._control(session)]
        if any(session.due(now) for session in self._waiting.values()):
            self.due.set()
        for session in [s for s in self._marked.values() if s.tell_marks(now)]:
            del self._marked[session.id]
        if now - self._rounds_at >= ROUNDS_S:
            self._rounds_at = now
            for session in list(self.sessions.values()):
                session.expire_replies(now)
                if session.over(now):
                    self.remove(session)

    def take_due(self) -> list[Session]:
        """Return the sessions whose append may start; what they hold is the caller's to cut."""
        now = self._clock.monotonic()
        due = [session for session in self._waiting.values() if session.due(now)]
        for session in due:
            del self._waiting[session.id]
        return due

    def unsettled(self) -> bool:
        """Whether a session still holds something that is not in Redis."""
        return any(s.buffered < s.cursor - 1 or s.inbox for s in self.sessions.values())

    def mark(self, session: Session) -> None:
        """Say that a mark of the session moved, or that it has more to append."""
        session.settle_outcomes()
        self._marked[session.id] = session
        self._waiting[session.id] = session

    def _score(self, active: list[Session], now: float) -> None:
        work: list[tuple[int, FrameMessage]] = []
        owners: list[Session] = []
        feeds: list[tuple[Session, bytes, int | None]] = []
        for session in active:
            inbox = session.inbox
            while inbox and inbox[0].event == "frames":
                message = inbox.popleft()
                decoded = self._decode(session, message, now)
                if decoded is None:
                    continue
                place = None
                if session.set is not None and not session.paused:
                    place = len(work)
                    work.append((session.set.slot, decoded))
                    owners.append(session)
                if self._hub.watched(session.id):
                    feeds.append((session, message.payload, place))
        told: dict[int, list[dict[str, Any]]] = {}
        if work:
            for mark in self._batch.step(work):
                owner = owners[mark.work_index]
                told.setdefault(mark.work_index, []).append(tell_mark(owner, mark))
            for session in dict.fromkeys(owners):
                tell_score(session, self._batch, now, self._limits.score_ms)
        for session, payload, place in feeds:
            extras = told.get(place, []) if place is not None else []
            self._hub.publish(session.id, payload, extras, score_of(session, self._batch))

    def _decode(self, session: Session, message: Message, now: float) -> FrameMessage | None:
        error = message.error
        if error is None:
            try:
                decoded = decode(message.payload, session.opened.space)
            except FrameError as fault:
                error = AppError(ErrorCode(fault.code), f"frames: {fault}")
            else:
                session.keep_frames(message, now)
                session.recent.append(message.payload)
                return decoded
        self._void(session, message, error)
        return None

    def _void(self, session: Session, message: Message, error: AppError) -> None:
        """Keep the place of a malformed message, so that nobody waits behind it."""
        time_us = self._clock.time_us()
        item = event_item(
            session.id, message.seq, "void", None, time_us=time_us, code=error.code.value
        )
        session.keep_items([item], message.seq + 1, time_us)
        session.resolve(message.seq, error)
        self._refused(session, message.seq, error)

    def _refused(self, session: Session, seq: int, error: AppError) -> None:
        metrics.MESSAGES_REFUSED.labels(error.code).inc()
        if seq not in session.outcomes:  # nobody waits for an answer: an event says it
            session.send("refused", {"seq": seq, **error.body()})

    def _control(self, session: Session) -> bool:
        """Handle the control events at the head of an inbox; True if frames come after them."""
        while session.inbox and session.inbox[0].event != "frames":
            message = session.inbox.popleft()
            if message.error is not None:
                self._void(session, message, message.error)
            elif message.event == "abandon":
                self._seal(session, None, [], message.seq, self._clock.time_us())
            else:
                self._handle(session, message)
        return bool(session.inbox)

    def _handle(self, session: Session, message: Message) -> None:
        time_us = self._clock.time_us()
        done = _Done()
        try:
            state = TRANSITIONS.get((session.state, message.event))
            if state is None:
                raise AppError(
                    ErrorCode.CONFLICT,
                    f"{message.event} does not fit: the session is {session.state.value}.",
                )
            if message.event != "session:close":
                done = self._act(session, message, time_us)
                session.state = state
        except AppError as refused:
            done.error = refused
        except Exception:
            log.exception("session %s: %s failed", session.id, message.event)
            done.error = internal_error()
        item = event_item(
            session.id,
            message.seq,
            message.event,
            message.payload,
            time_us=time_us,
            context=done.context,
            code=done.error.code.value if done.error else None,
        )
        if done.error is not None:
            self._refused(session, message.seq, done.error)
        elif message.event == "session:close":
            done.answer = self._seal(session, message.payload, [item], message.seq + 1, time_us)
            session.resolve(message.seq, done.answer)
            return
        session.keep_items([item, *done.extra], message.seq + 1, time_us)
        session.resolve(message.seq, done.error or done.answer)
        if done.error is None and message.event in ("set:start", "set:end"):
            self._hub.refresh(session.id, lambda offset: self._joined(session, offset))

    def _act(self, session: Session, message: Message, time_us: int) -> "_Done":
        payload: dict[str, Any] = message.payload
        if message.event == "set:start":
            context = self._start(session, payload, time_us)
            return _Done(start_answer(payload, context), context)
        if message.event == "set:end":
            if session.set is None or session.set.set_no != payload["set_no"]:
                raise AppError(ErrorCode.CONFLICT, "set:end: this `set_no` is not the open set.")
            record = self._end(session, unfinished=False)
            return _Done(
                {"record": record},
                extra=kept_of(session.id, message.seq, record, session.opened.therapy),
            )
        session.paused = payload["paused"]
        return _Done()

    def _start(self, session: Session, start: dict[str, Any], time_us: int) -> dict[str, Any]:
        if start["set_no"] <= session.last_set_no:
            raise AppError(
                ErrorCode.CONFLICT, "set:start: `set_no` must be higher than any before it."
            )
        space = session.opened.space
        context = settle_context(self._catalogue, start, space, time_us, session.opened.therapy)
        plan = plan_of(self._catalogue, start, context, space, session.opened.fps)
        session.set = OpenSet(start, context, self._batch.open(plan))
        session.last_set_no = start["set_no"]
        return context

    def _end(self, session: Session, *, unfinished: bool) -> dict[str, Any]:
        open_set = session.set
        if open_set is None:
            raise AppError(ErrorCode.CONFLICT, "No set is open.")
        session.set = None
        measures = self._batch.close(open_set.slot, unfinished=unfinished)
        # The end of a set may close its last repetition.
        told = {rep["rep_no"] for rep in open_set.reps}
        last = [tell_rep(session, open_set, r) for r in measures["reps"] if r["rep_no"] not in told]
        if last:
            self._hub.publish(session.id, b"", last, None)
        for verdict, count in measures["verdicts"].items():
            metrics.FRAMES.labels(verdict).inc(count)
        record = record_of(
            self._catalogue,
            session.opened.document,
            open_set.start,
            open_set.context,
            measures,
            unfinished=unfinished,
        )
        session.records.append(record)
        return record

    def _seal(
        self,
        session: Session,
        closing: dict[str, Any] | None,
        items: list[Item],
        next_seq: int,
        time_us: int,
    ) -> dict[str, Any]:
        last = next_seq - 1
        if session.set is not None:
            record = self._end(session, unfinished=True)
            items += kept_of(session.id, last, record, session.opened.therapy)
        result = result_of(
            session.opened.document, session.records, closing, messages=next_seq, time_us=time_us
        )
        session.keep_items([*items, result_item(session.id, last, result)], next_seq, time_us)
        session.seal()
        session.state = State.SEALED
        session.sealed_at = self._clock.monotonic()
        session.result = result
        metrics.SESSIONS_SEALED.labels(result["sealed"]).inc()
        self._hub.end(session.id, result)
        return result

    # -- what is told

    def watch(self, session_id: str, sink: Sink) -> Joined:
        """Let `sink` see a session from now on.

        Raises:
            AppError: `not_found` when this worker does not hold the session, or it is sealed.
        """
        session = self.sessions.get(session_id)
        if session is None or session.state is State.SEALED:
            raise AppError(ErrorCode.NOT_FOUND, "There is no such live session.")
        if self._hub.readers(session_id) >= self._limits.watchers:
            raise AppError(
                ErrorCode.BUSY, "As many as may already watch this session.", retry_ms=5000
            )
        return self._joined(session, self._hub.join(session_id, sink))

    def _joined(self, session: Session, offset: int) -> Joined:
        return Joined(
            session.id,
            snapshot_of(session, self._batch, self._clock.time_us()),
            session.token,
            offset,
        )

    def summary(self, session: Session) -> dict[str, Any]:
        """Return the session's line in a live list."""
        return summary_of(session, self._batch)
