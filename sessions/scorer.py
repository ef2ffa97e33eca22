"""The frames of a tick: kept, scored as one batch, and told to players and watchers."""

from collections.abc import Iterable, Sequence

import numpy as np

from config import metrics
from models.errors import AppError, ErrorCode
from sessions.control import Control
from sessions.feed import FeedHub
from sessions.frames import SHAPE_BYTES, FrameError, decode
from sessions.packing import packed_scores
from sessions.rows import Ints, Rows
from sessions.scoring.batch import Batch
from sessions.scoring.intake import Block, blocks_of
from sessions.session import Session
from sessions.telling import Told, tell_advice, tell_mark
from sessions.words import advice_codes

ToldAt = dict[int, list[Told]]
"""Peaks and repetitions, by the place of the message that completed them."""


class _Work:
    """What a tick scores, and what watchers see of it."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.rows: list[Ints] = []
        """Of each block, whose messages they are."""
        self.size = 0
        """Messages in all blocks."""
        self.feeds: list[tuple[Session, bytes, int]] = []
        """A watched session's message, and its place in the blocks; below 0 when it has none."""

    def add(self, rows: Ints, block: Block) -> None:
        """Add a block."""
        self.blocks.append(block)
        self.rows.append(rows)
        self.size += len(rows)


class Scorer:
    """Takes the frames out of the rows and the inboxes, all sessions together."""

    def __init__(
        self, *, batch: Batch, hub: FeedHub, control: Control, rows: Rows[Session]
    ) -> None:
        self._batch = batch
        self._hub = hub
        self._control = control
        self._rows = rows

    def score(self, active: Iterable[Session], now: float) -> None:
        """Score what the rows took, and what some sessions have before their next control event."""
        watch = metrics.Stopwatch()
        work = _Work()
        self._take_fresh(work)
        self._take_inboxes(active, work)
        watch.lap("decode")
        told: ToldAt = {}
        due: list[int] = []
        if work.blocks:
            rows = work.rows[0] if len(work.rows) == 1 else np.concatenate(work.rows)
            marks = self._batch.step_blocks(work.blocks)
            watch.lap("score")
            for mark in marks:
                place = mark.work_index
                owner = self._session(int(rows[place]))
                told.setdefault(place, []).append(tell_mark(owner, mark))
            due = self._rows.scores_due(rows, now)
        self._tell([self._session(row) for row in due], work, told, watch)

    def _session(self, row: int) -> Session:
        session = self._rows.sessions[row]
        if session is None:
            raise LookupError(f"row {row} is nobody's")
        return session

    def _take_fresh(self, work: _Work) -> None:
        fresh, self._rows.fresh = self._rows.fresh, []
        for rows, messages in fresh:
            slots = self._rows.slot[rows]
            playing = slots >= 0
            places = np.where(playing, work.size + np.cumsum(playing) - 1, -1)
            watched = np.flatnonzero(self._rows.watched[rows])
            if watched.size:
                # All made bytes at once, as scores are.
                seen: list[bytes] = messages[watched].view(f"V{messages.shape[1]}")[:, 0].tolist()
                owners = map(self._session, rows[watched].tolist())
                work.feeds += zip(owners, seen, places[watched].tolist(), strict=True)
            if playing.all():
                work.add(rows, (slots, messages))
            elif playing.any():
                work.add(rows[playing], (slots[playing], messages[playing]))

    def _take_inboxes(self, active: Iterable[Session], work: _Work) -> None:
        rows: list[int] = []
        slots: list[int] = []
        messages: list[bytes | memoryview] = []
        for session in active:
            inbox = session.inbox
            open_set = None if session.paused else session.open_set
            watched = self._hub.watched(session.id)
            while inbox and type(payload := inbox[0]) is bytes:
                inbox.popleft()
                plain = self._examined(session, payload)
                if plain is None:
                    continue
                session.keep_frames(payload)
                if watched:
                    place = -1 if open_set is None else work.size + len(messages)
                    work.feeds.append((session, payload, place))
                if open_set is not None:
                    rows.append(session.row)
                    slots.append(open_set.slot)
                    messages.append(plain)
        done = 0
        for block in blocks_of(slots, messages):
            end = done + len(block[0])
            work.add(np.array(rows[done:end]), block)
            done = end

    def _examined(self, session: Session, payload: bytes) -> bytes | memoryview | None:
        """Look at a message unless it is like the last one; None if it is refused."""
        like = session.like
        if len(payload) == len(like) and payload.startswith(like[:SHAPE_BYTES]):
            return payload
        try:
            decoded = decode(payload, session.opened.space)
        except FrameError as fault:
            error = AppError(ErrorCode(fault.code), f"frames: {fault}")
            self._control.void(session, session.cursor, error)
            return None
        if decoded.payload:
            session.like = payload
        return decoded.plain()

    def _tell(
        self, due: Sequence[Session], work: _Work, told: ToldAt, watch: metrics.Stopwatch
    ) -> None:
        # Those that are due play, and come first.
        shown = dict.fromkeys(due)
        shown.update(dict.fromkeys([session for session, _, _ in work.feeds]))
        sets = {one: open_set for one in shown if (open_set := one.open_set) is not None}
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
        for session, payload, place in work.feeds:
            self._hub.publish(session.id, payload, told.get(place, ()), scores.get(session, b""))
        watch.lap("feed")
