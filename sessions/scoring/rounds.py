"""One round of a tick: each hand's next frame through what its kind of motion watches for."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sessions.scoring import holds, sequences
from sessions.scoring.book import Book, Closing
from sessions.scoring.detector import Cycle, advance, forget, last_cycle, reversal
from sessions.scoring.holds import HoldBook
from sessions.scoring.layout import put_rows
from sessions.scoring.marks import Mark, Peak, Rep
from sessions.scoring.plan import SetPlan
from sessions.scoring.sequences import SequenceBook
from sessions.scoring.stage import Signals, Tick
from sessions.scoring.state import HOLD, PEAK, SEQUENCE, State
from sessions.scoring.verdicts import ACCEPTED_GAP

AnyBook = Book | HoldBook | SequenceBook
Found = list[tuple[int, Mark]]
"""Marks with the record that made each."""


def book_of(plan: SetPlan, slot: int) -> AnyBook:
    """An empty book for a set."""
    if plan.motion.kind == "hold":
        return HoldBook(plan, slot)
    if plan.motion.kind == "sequence":
        return SequenceBook(plan, slot)
    return Book(plan, slot)


class Round:
    """The records `at` of a tick, at most one of each slot."""

    def __init__(
        self,
        state: State,
        book: Callable[[int], AnyBook],
        tick: Tick,
        seen: Signals,
        waiting: list[Closing],
    ) -> None:
        self._state = state
        self._book = book
        self._tick = tick
        self._seen = seen
        self._waiting = waiting
        self._slot, self._work = tick.columns.slot, tick.columns.work
        self._found: Found = []

    def play(self, at: NDArray[np.intp]) -> Found:
        """Advance the hands of the records `at`; what happened, hand by hand in order."""
        state, seen, columns = self._state, self._seen, self._tick.columns
        self._found = []
        if self._tick.gaps:
            for i in at[self._tick.code[at] == ACCEPTED_GAP].tolist():
                self._interrupt(i)
        if seen.known is not None:
            at = at[seen.known[at]]
        # Most ticks are one round in which all is known: then views save every copy.
        where: NDArray[np.intp] | slice = slice(0, len(at)) if len(at) == len(columns) else at
        slots, t_us = columns.slot[where], columns.t_us[where]
        x, z = seen.x[where], seen.z[where]
        frames, terms = state.frames.take(slots), self._tick.terms
        delta = terms["tuning"][where, 3]
        moving = at, slots, z, x, t_us, delta
        if self._tick.mixed:
            kind = terms["kind"][where]
            # A hold is over before the frame that left the target is written.
            self._hold(at[kind == HOLD])
            self._sequence(at[kind == SEQUENCE])
            others = kind != SEQUENCE
            moving = at[others], slots[others], z[others], x[others], t_us[others], delta[others]
        kept = state.channels.take(slots, axis=0)
        kept *= seen.kept.shape[1]
        kept += at[:, None]
        # All that is kept of a frame lies together: one place is written for each hand.
        row = np.empty(len(at), state.rings.dtype)
        row["ring_us"], row["ring_x"], row["ring_z"] = t_us, x, z
        row["ring_f"] = seen.kept.take(kept)
        place = slots * state.rings.shape[1]
        place += frames % state.ring_len[slots]
        put_rows(state.rings, place, row)
        state.signal_us[slots] = t_us
        state.z[slots] = z
        state.sim[slots] = seen.sim[where]
        peaks, cycles = advance(state, *moving[1:])
        frames += 1
        state.frames[slots] = frames
        if peaks or cycles:
            self._reverse(*moving[:2], peaks, cycles)
        for slot in slots[frames >= state.settle_at[slots]].tolist():
            self._book(slot).settle(state)
        return self._found

    def _reverse(
        self,
        at: NDArray[np.intp],
        slots: NDArray[np.intp],
        peaks: Sequence[int],
        cycles: Sequence[Cycle],
    ) -> None:
        """Tell what `advance` found among the records `at`, and close repetitions."""
        state = self._state
        for p in peaks:
            i, slot = int(at[p]), int(slots[p])
            top, book = reversal(state, PEAK, slot), self._book(slot)
            if isinstance(book, Book):
                self._tell(i, Peak(slot, self._of(i), int(state.rep_no[slot]), top.us, top.z))
            elif isinstance(book, HoldBook) and top.z < state.levels[0, slot]:
                rep = book.missed(state)
                self._tell(i, Peak(slot, self._of(i), rep["rep_no"], top.us, top.z))
                self._close(i, rep)
        for cycle in cycles:
            i, slot = int(at[cycle.column]), int(slots[cycle.column])
            book = self._book(slot)
            if isinstance(book, Book):
                closing = book.close(state, int(state.rep_no[slot]), cycle)
                self._waiting.append(closing)
                self._close(i, closing.rep)

    def _hold(self, at: NDArray[np.intp]) -> None:
        state, slots, t_us = self._state, self._slot[at], self._tick.columns.t_us[at]
        turned = holds.watch(state, slots, self._seen.z[at], t_us)
        for k in (*turned.entered, *turned.left):
            i, slot, book = int(at[k]), int(slots[k]), self._book(int(slots[k]))
            if not isinstance(book, HoldBook):
                continue
            if state.inside[slot]:
                book.rep_no += 1
                z = float(self._seen.z[i])
                self._tell(i, Peak(slot, self._of(i), book.rep_no, int(t_us[k]), z))
            else:
                self._close(i, book.stayed(state, int(t_us[k])))

    def _sequence(self, at: NDArray[np.intp]) -> None:
        state, slots, t_us = self._state, self._slot[at], self._tick.columns.t_us[at]
        touched, deep = sequences.watch(state, slots, self._seen.features[:, at], t_us)
        for k in touched.ended:
            book = self._book(int(slots[k]))
            if isinstance(book, SequenceBook):
                book.ended(float(deep[k]))
        for k in touched.made:
            i, slot, book = int(at[k]), int(slots[k]), self._book(int(slots[k]))
            if not isinstance(book, SequenceBook):
                continue
            step, when = int(state.touch[slot]), int(state.touch_us[slot])
            z, origin = float(self._seen.z[i]), int(state.guide_t0[slot])
            made = book.made(step, when, z, origin)
            if made is not None:
                number, in_order = made.rep_no, made.in_order
                self._tell(i, Peak(slot, self._of(i), number, when, z, step, in_order))
                if made.closed is not None:
                    self._close(i, made.closed)

    def _interrupt(self, i: int) -> None:
        """Close what a gap cut off at record i, and begin the hand anew."""
        slot = int(self._slot[i])
        for rep in cut_off(self._state, self._book(slot), self._waiting, gap=True):
            self._close(i, rep)
        forget(self._state, slot)

    def _tell(self, i: int, mark: Mark) -> None:
        self._found.append((i, mark))

    def _close(self, i: int, rep: dict[str, Any]) -> None:
        self._tell(i, Rep(int(self._slot[i]), self._of(i), rep["rep_no"], rep))

    def _of(self, i: int) -> int:
        return int(self._work[i])


def cut_off(
    state: State, book: AnyBook, waiting: list[Closing], *, gap: bool
) -> list[dict[str, Any]]:
    """Keep what a gap cuts off, or what is open when the set ends; that may be left `waiting`."""
    slot = book.slot
    if isinstance(book, HoldBook):
        if not state.inside[slot]:
            return []
        return [book.stayed(state, int(state.signal_us[slot]), interrupted=gap)]
    if isinstance(book, SequenceBook):
        if state.touch_told[slot]:
            book.ended(float(state.deep[slot]))
        rep = book.broken(float(state.z[slot]), int(state.guide_t0[slot]), gap=gap)
        return [] if rep is None else [rep]
    if gap:
        if not state.pending[slot]:
            return []
        return [book.interrupt(state, int(state.rep_no[slot]))]
    cycle = last_cycle(state, slot)
    if cycle is None:
        return []
    waiting.append(book.close(state, int(state.rep_no[slot]), cycle))
    return [waiting[-1].rep]
