"""The batch: every live hand in one struct of arrays, advanced a tick at a time."""

import math
from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sessions.frames import FrameMessage
from sessions.scoring.book import Closing, finish
from sessions.scoring.intake import (
    Block,
    Columns,
    blocks_of,
    columns_of,
    columns_of_blocks,
    in_rounds,
)
from sessions.scoring.library import Library, check_motion
from sessions.scoring.looks import Look, Looks
from sessions.scoring.marks import Advice, Live, Mark, Peak, Rep
from sessions.scoring.plan import Motion, SetPlan
from sessions.scoring.result import set_result
from sessions.scoring.rounds import AnyBook, Round, book_of, cut_off
from sessions.scoring.snapshot import SnapshotError, Snapshots, restore, unpacked
from sessions.scoring.stage import accumulate, admit, examine, signals
from sessions.scoring.state import EXT, State
from sessions.scoring.verdicts import OTHER_HAND

__all__ = ["Advice", "Batch", "Live", "Mark", "Peak", "Rep"]

TRACE_US = 10_000_000
_FAR = 1e6
KINDS = ("reps", "tap", "hold", "sequence")


class Batch:
    """Scores all sets of a process. Owned by one task; nothing here waits or looks at a clock."""

    def __init__(self, capacity: int = 64) -> None:
        self._state = State(max(capacity, 1))
        self._books: list[AnyBook | None] = [None] * self._state.capacity
        self._looks = Looks(self._state)
        self._snapshots = Snapshots(self._state)
        self._free = list(range(self._state.capacity - 1, -1, -1))
        self._taken = np.zeros(self._state.capacity, np.bool_)
        """Which slots have an open set."""
        self._motions: list[Motion] = []
        self._library: Library
        self._users: dict[Motion, list[int]] = {}
        """Place in `_motions` and number of open sets of each motion in use."""

    def open(self, plan: SetPlan) -> int:
        """Begin a set.

        Returns:
            Its slot, free for another set once closed.

        Raises:
            ValueError: the plan's anchors or its motion's arrays make no sense.
        """
        if not (math.isfinite(plan.fps) and plan.fps > 0.0):
            raise ValueError("fps is not a positive number")
        _check_anchors(plan.rest, plan.target)
        number = self._enrol(plan.motion)
        if not self._free:
            kept = self._state.capacity
            self._state.grow(2 * kept, 0, 0)
            self._books += [None] * kept
            self._taken = np.append(self._taken, np.zeros(kept, np.bool_))
            self._free = list(range(2 * kept - 1, kept - 1, -1))
        slot = self._free.pop()
        self._state.assign(slot, plan, number)
        self._state.anchors[:, slot] = plan.rest, plan.target - plan.rest
        self._books[slot] = book_of(plan, slot)
        self._looks.begin(slot, plan)
        self._taken[slot] = True
        return slot

    def save(self, slot: int) -> bytes:
        """A snapshot of an open set, from which `load` goes on as if nothing had been between."""
        return self.saves((slot,))[0]

    def saves(self, slots: Sequence[int]) -> list[bytes]:
        """Some sets, as `save` returns each."""
        return self._snapshots.of([self._book(slot) for slot in slots]) if slots else []

    def reps(self, slot: int) -> list[dict[str, Any]]:
        """The repetitions of an open set so far, in the order in which they were told."""
        return list(self._book(slot).reps)

    def load(self, plan: SetPlan, data: bytes) -> int:
        """Take up a set where `save` left it, in any batch.

        Args:
            plan: as the set was opened with; anchors that moved since are those of the snapshot.

        Returns:
            Its slot.

        Raises:
            SnapshotError: the snapshot does not fit this build or this set.
            ValueError: as for `open`.
        """
        held = unpacked(plan, data)
        rest, target = held["anchors"]
        slot = self.open(replace(plan, rest=rest, target=target))
        try:
            restore(self._state, slot, held["state"])
            self._book(slot).restore(held["book"])
        except (KeyError, TypeError, ValueError) as error:
            self._leave(slot)
            raise SnapshotError(f"a damaged snapshot: {error}") from error
        return slot

    def step(self, work: Sequence[tuple[int, FrameMessage]]) -> list[Mark]:
        """Score one tick's messages.

        Args:
            work: slot and message, in order of arrival; several messages of a slot are allowed.

        Returns:
            What happened, in the order of the records that made it happen. For each slot it is a
            function of the slot's own records in their order, however they were cut into messages
            and ticks.
        """
        return self.feed(columns_of(work)) if work else []

    def step_plain(
        self, slots: Sequence[int], messages: Sequence[bytes | memoryview]
    ) -> list[Mark]:
        """Do the same for the bytes of messages that are known to be well formed.

        Args:
            slots: the slot of each message.
            messages: with records of the known length, as `FrameMessage.plain` returns them.
        """
        return self.step_blocks(blocks_of(slots, messages)) if messages else []

    def step_blocks(self, blocks: Sequence[Block]) -> list[Mark]:
        """Do the same for messages that lie in arrays, of one length each."""
        return self.feed(columns_of_blocks(blocks))

    def feed(self, columns: Columns) -> list[Mark]:
        """Score records that did not come as messages."""
        state = self._state
        if not len(columns):
            return []
        self._check(columns.slot)
        often = bool(np.count_nonzero(np.bincount(columns.slot)) < len(columns))
        self._note_seen(columns, often)
        own = columns.side == state.side.take(columns.slot)
        arrival: NDArray[np.intp] | None = None
        if np.count_nonzero(own) < len(columns):
            np.add.at(state.counts, (OTHER_HAND, columns.slot[~own]), 1)
            arrival = np.flatnonzero(own)
            if not arrival.size:
                return []
            columns = columns.take(arrival)
        bounds = [0, len(columns)]
        if often:
            order, bounds = in_rounds(columns.slot)
            columns = columns.take(order)
            arrival = order if arrival is None else arrival[order]
        tick = examine(state, columns, bounds)
        admit(state, tick)
        seen = signals(state, self._library, tick)
        marks: list[tuple[int, Mark]] = []
        waiting: list[Closing] = []
        round_ = Round(state, self._book, tick, seen, waiting)
        for at in tick.rounds:
            if at.size:
                accumulate(state, tick, seen, at)
                marks += round_.play(at)
        finish(state, waiting)
        if arrival is not None:
            marks = [(int(arrival[i]), mark) for i, mark in marks]
        # Two marks of one record keep their order: sorting is stable.
        marks.sort(key=itemgetter(0))
        return [mark for _, mark in marks]

    def look(self, slots: Sequence[int]) -> Look:
        """How some sets stand now, as columns."""
        asked = np.array(slots, np.intp)
        self._check(asked)
        return self._looks.at(asked)

    def lives(self, slots: Sequence[int]) -> list[Live | None]:
        """Some sets at their latest accepted frame; None before there is one."""
        return self.look(slots).lives([self._book(slot) for slot in slots])

    def live(self, slot: int) -> Live | None:
        """One set at its latest accepted frame; None before there is one."""
        return self.lives((slot,))[0]

    def advices(self, slots: Sequence[int]) -> list[Advice]:
        """How well some hands are tracked now, as far as records tell; silence is not seen here."""
        return self.look(slots).advices()

    def trace(self, slot: int) -> list[tuple[int, float]]:
        """Capture time and z of the frames of the last 10 s, oldest first."""
        self._book(slot)
        state = self._state
        at = state.recent(slot, int(state.ring_len[slot]))
        at = at[state.ring_us[slot, at] > state.signal_us[slot] - TRACE_US]
        times, values = state.ring_us[slot, at].tolist(), state.ring_z[slot, at].tolist()
        return list(zip(times, values, strict=True))

    def retarget(self, slot: int, rest: float, target: float) -> None:
        """Move the anchors for the frames to come.

        Raises:
            ValueError: the anchors are equal, absurd, or turn the direction of the motion.
        """
        book, state = self._book(slot), self._state
        _check_anchors(rest, target)
        if (target > rest) != (book.plan.target > book.plan.rest):
            raise ValueError("the anchors turn the direction of the motion")
        state.anchors[:, slot] = rest, target - rest
        book.plan = replace(book.plan, rest=rest, target=target)
        # The running extreme is compared with values on the new scale from now on.
        anchor, span = state.anchors[:, slot]
        ext = state.reversals[slot, EXT]
        ext["z"] = (ext["x"] - anchor) / span

    def close(self, slot: int, *, unfinished: bool = False) -> dict[str, Any]:
        """End a set.

        Args:
            unfinished: the set was cut off rather than ended; only noted as a flag.

        Returns:
            Its measures in plain JSON types; what is not known is None.
        """
        book, state = self._book(slot), self._state
        waiting: list[Closing] = []
        cut_off(state, book, waiting, gap=False)
        finish(state, waiting)
        result = set_result(state, slot, book, unfinished=unfinished)
        self._leave(slot)
        return result

    def bytes_per_hand(self) -> int:
        """Memory held for each slot, bytes."""
        return self._state.nbytes()

    def _book(self, slot: int) -> AnyBook:
        book = self._books[slot] if 0 <= slot < len(self._books) else None
        if book is None:
            raise ValueError(f"slot {slot} has no open set")
        return book

    def _leave(self, slot: int) -> None:
        motion = self._book(slot).plan.motion
        self._books[slot] = None
        self._taken[slot] = False
        self._free.append(slot)
        users = self._users[motion]
        users[1] -= 1
        if not users[1]:
            del self._users[motion]

    def _enrol(self, motion: Motion) -> int:
        users = self._users.get(motion)
        if users is not None:
            users[1] += 1
            return users[0]
        check_motion(motion)
        taken = {number for number, _ in self._users.values()}
        number = next(i for i in range(len(taken) + 1) if i not in taken)
        self._motions[number : number + 1] = [motion]
        self._users[motion] = [number, 1]
        self._library = Library.of(self._motions)
        return number

    def _check(self, slots: NDArray[np.intp]) -> None:
        """Raise ValueError unless all these slots have open sets."""
        # As numbers without a sign negative ones are too large as well.
        held = not len(slots) or np.maximum.reduce(slots.view(np.uintp)) < len(self._taken)
        if not (held and np.count_nonzero(self._taken.take(slots)) == len(slots)):
            free = set(slots.tolist()) - set(np.flatnonzero(self._taken).tolist())
            raise ValueError(f"slot {min(free)} has no open set")

    def _note_seen(self, columns: Columns, often: bool) -> None:
        """Keep the time span of each set's records, whatever becomes of them."""
        state, slot = self._state, columns.slot
        seen = state.seen.take(slot)
        if np.count_nonzero(seen) < len(seen):
            # Of several first records of a slot the one assigned last stays: go backwards.
            first = np.flatnonzero(~seen)[::-1]
            state.first_seen[slot[first]] = columns.t_us[first]
            state.seen[slot] = True
        if often:
            np.maximum.at(state.last_seen, slot, columns.t_us)
        else:
            state.last_seen[slot] = np.maximum(state.last_seen.take(slot), columns.t_us)


def _check_anchors(rest: float, target: float) -> None:
    # NaN compares as false, and no signal comes near the limit.
    if not (-_FAR < rest < _FAR and -_FAR < target < _FAR) or np.float32(target - rest) == 0.0:
        raise ValueError("the anchors are not two different numbers within reach of a signal")
