"""Control events: what a numbered message that is no `frames` does to its session."""

import logging
from dataclasses import dataclass, field
from typing import Any

from config import metrics
from config.clock import Clock
from models.errors import AppError, ErrorCode, internal_error
from models.play.records import Item, event_item, result_item
from sessions.catalogue import Catalogue
from sessions.feed import FeedHub
from sessions.scoring.batch import Batch
from sessions.session import Session
from sessions.sets import (
    OpenSet,
    kept_of,
    plan_of,
    record_of,
    result_of,
    settle_context,
    start_answer,
)
from sessions.telling import tell_rep
from sessions.terms import TRANSITIONS, Message, State
from sessions.views import joined_of

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Done:
    """What handling a control event gave."""

    answer: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] | None = None
    extra: list[Item] = field(default_factory=list)
    error: AppError | None = None


class Control:
    """Starts and ends sets, pauses and seals sessions; keeps each message with what it did."""

    def __init__(self, *, catalogue: Catalogue, hub: FeedHub, batch: Batch, clock: Clock) -> None:
        self._catalogue = catalogue
        self._hub = hub
        self._batch = batch
        self._clock = clock

    def handle(self, session: Session) -> bool:
        """Handle the control events at the head of an inbox; True if frames come after them."""
        inbox = session.inbox
        while inbox and not isinstance(message := inbox[0], bytes):
            inbox.popleft()
            if message.error is not None:
                self.void(session, message.seq, message.error)
            elif message.event == "abandon":
                self._seal(session, None, [], message.seq, self._clock.time_us())
            else:
                self._handle(session, message)
        return bool(inbox)

    def void(self, session: Session, seq: int, error: AppError) -> None:
        """Keep the place of a malformed message, so that nobody waits behind it."""
        time_us = self._clock.time_us()
        item = event_item(session.id, seq, "void", None, time_us=time_us, code=error.code.value)
        session.keep_items([item], seq + 1, time_us)
        session.answers.resolve(seq, error)
        self._refused(session, seq, error)

    def _refused(self, session: Session, seq: int, error: AppError) -> None:
        metrics.MESSAGES_REFUSED.labels(error.code).inc()
        if seq not in session.answers:  # nobody waits for an answer: an event says it
            session.send("refused", {"seq": seq, **error.body()})

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
            session.answers.resolve(message.seq, done.answer)
            return
        session.keep_items([item, *done.extra], message.seq + 1, time_us)
        session.answers.resolve(message.seq, done.error or done.answer)
        if done.error is None and message.event in ("set:start", "set:end"):
            self._hub.refresh(
                session.id,
                lambda offset: joined_of(session, self._batch, offset, self._clock.time_us()),
            )

    def _act(self, session: Session, message: Message, time_us: int) -> "_Done":
        payload: dict[str, Any] = message.payload
        if message.event == "set:start":
            context = self._start(session, payload, time_us)
            return _Done(start_answer(payload, context), context)
        if message.event == "set:end":
            if session.open_set is None or session.open_set.set_no != payload["set_no"]:
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
        session.open_set = OpenSet(start, context, self._batch.open(plan))
        session.last_set_no = start["set_no"]
        return context

    def _end(self, session: Session, *, unfinished: bool) -> dict[str, Any]:
        open_set = session.open_set
        if open_set is None:
            raise AppError(ErrorCode.CONFLICT, "No set is open.")
        session.open_set = None
        measures = self._batch.close(open_set.slot, unfinished=unfinished)
        # The end of a set may close its last repetition.
        told = {rep["rep_no"] for rep in open_set.reps}
        last = [tell_rep(session, open_set, r) for r in measures["reps"] if r["rep_no"] not in told]
        if last:
            self._hub.publish(session.id, b"", last)
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
        if session.open_set is not None:
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
