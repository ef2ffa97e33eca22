"""The frames of a tick: kept, scored as one batch, and told to players and watchers."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from config import metrics
from models.errors import AppError, ErrorCode
from sessions.control import Control
from sessions.feed import FeedHub
from sessions.frames import SHAPE_BYTES, FrameError, decode
from sessions.fresh import Fresh
from sessions.packing import packed_scores
from sessions.scoring.batch import Batch
from sessions.session import Session
from sessions.telling import Told, tell_advice, tell_mark
from sessions.words import advice_codes

Feed = tuple[Session, bytes, int]
"""A watched session's message, and its place among those that are scored; -1 when it is not."""
ToldAt = dict[int, list[Told]]
"""Peaks and repetitions, by the place of the message that completed them."""


class _Work(NamedTuple):
    """What a tick scores, and what watchers see of it."""

    slots: list[int]
    messages: list[bytes | memoryview]
    owners: list[Session]
    feeds: list[Feed]


class Scorer:
    """Takes the frames out of the inboxes, all sessions together."""

    def __init__(self, *, batch: Batch, hub: FeedHub, control: Control, score_s: float) -> None:
        self._batch = batch
        self._hub = hub
        self._control = control
        self._score_s = score_s

    def score(self, active: Iterable[Session], fresh: Fresh, now: float) -> None:
        """Score fresh frames, and those of some sessions up to their next control event."""
        watch = metrics.Stopwatch()
        work = _Work([], [], [], [])
        self._take_fresh(fresh, work)
        self._take_inboxes(active, work)
        watch.lap("decode")
        slots, messages, owners, feeds = work
        told: ToldAt = {}
        if slots:
            marks = self._batch.step_plain(slots, messages)
            watch.lap("score")
            for mark in marks:
                owner = owners[mark.work_index]
                told.setdefault(mark.work_index, []).append(tell_mark(owner, mark))
        self._tell(owners, feeds, told, now, watch)

    def _take_fresh(self, fresh: Fresh, work: "_Work") -> None:
        slots, messages, owners, feeds = work
        watched = self._hub.watched
        for session, payload in zip(fresh.sessions, fresh.payloads, strict=True):
            open_set = session.set
            playing = open_set is not None and not session.paused
            if watched(session.id):
                feeds.append((session, payload, len(slots) if playing else -1))
            if open_set is not None and playing:
                slots.append(open_set.slot)
                messages.append(payload)
                owners.append(session)

    def _take_inboxes(self, active: Iterable[Session], work: "_Work") -> None:
        slots, messages, owners, feeds = work
        for session in active:
            inbox = session.inbox
            playing = session.set is not None and not session.paused
            watched = self._hub.watched(session.id)
            shape, shape_size = session.shape, session.shape_size
            while inbox and type(payload := inbox[0]) is bytes:
                inbox.popleft()
                plain: bytes | memoryview = payload
                if len(payload) != shape_size or not payload.startswith(shape):
                    examined = self._examined(session, payload)
                    if examined is None:
                        continue
                    plain = examined
                    shape, shape_size = session.shape, session.shape_size
                session.keep_frames(payload)
                if watched:
                    feeds.append((session, payload, len(slots) if playing else -1))
                if playing and session.set is not None:
                    slots.append(session.set.slot)
                    messages.append(plain)
                    owners.append(session)

    def _examined(self, session: Session, payload: bytes) -> bytes | memoryview | None:
        """Look at a message that is not like the last one; None if it is refused."""
        try:
            decoded = decode(payload, session.opened.space)
        except FrameError as fault:
            error = AppError(ErrorCode(fault.code), f"frames: {fault}")
            self._control.void(session, session.cursor, error)
            return None
        if decoded.payload:
            session.shape, session.shape_size = payload[:SHAPE_BYTES], len(payload)
        return decoded.plain()

    def _tell(
        self,
        owners: Sequence[Session],
        feeds: Sequence[Feed],
        told: ToldAt,
        now: float,
        watch: metrics.Stopwatch,
    ) -> None:
        due: dict[Session, None] = {}
        for session in owners:
            if now >= session.score_at:
                self._plan_score(session, now)
                due[session] = None
        # Those that are due play, and come first.
        shown = dict.fromkeys((*due, *(session for session, _, _ in feeds)))
        sets = {session: session.set for session in shown if session.set is not None}
        scores: dict[Session, bytes] = {}
        if sets:
            look = self._batch.look([open_set.slot for open_set in sets.values()])
            packed = packed_scores(list(sets.values()), look)
            scores = dict(zip(sets, packed, strict=True))
            for session, score, code in zip(due, packed, advice_codes(look), strict=False):
                if score:
                    session.tell("score", score)
                tell_advice(session, code)
        watch.lap("tell")
        for session, payload, place in feeds:
            self._hub.publish(session.id, payload, told.get(place, ()), scores.get(session, b""))
        watch.lap("feed")

    def _plan_score(self, session: Session, now: float) -> None:
        """Put a session's next score on a grid of its own, so that all together come evenly."""
        phase = session.score_phase * self._score_s
        session.score_at = now + self._score_s - (now - phase) % self._score_s
