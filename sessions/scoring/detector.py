"""Repetition detector: the reversals of each hand's signal that exceed its threshold."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.layout import put_rows
from sessions.scoring.state import EXT, FALLING, IDLE, NEVER, PEAK, RISING, VALLEY, State

_BACK = np.array([np.nan, 1.0, -1.0], np.float32)
"""By phase the direction that leads back from the extreme: there is none while a hand is idle."""


class Reversal(NamedTuple):
    """A valley or a peak of the signal."""

    us: int
    """Capture time, microseconds."""
    x: float
    z: float
    n: int
    """Frames with a signal before this one, in the set."""


class Cycle(NamedTuple):
    """A repetition from valley to valley; `column` is the frame that confirmed the second."""

    column: int
    start: Reversal
    peak: Reversal
    end: Reversal


def reversal(state: State, row: int, slot: int) -> Reversal:
    """One of a slot's reversals: `EXT`, `VALLEY` or `PEAK`."""
    return Reversal(*state.reversals.item(slot, row))


def advance(
    state: State,
    slots: NDArray[np.intp],
    z: NDArray[np.float32],
    x: NDArray[np.float32],
    t_us: NDArray[np.int64],
    delta: NDArray[np.float32],
) -> tuple[list[int], list[Cycle]]:
    """One frame of each slot.

    Args:
        slots: (B,) different slots; their `frames` do not count this frame yet.
        z: (B,) signal between the anchors.
        x: (B,) the same in native units.
        t_us: (B,) capture times.
        delta: (B,) thresholds, in z.

    Returns:
        Positions in `slots` at which a peak was found, and the repetitions closed.
    """
    phase = state.phase.take(slots)
    place = slots * state.reversals.shape[1]
    place += EXT
    ext = state.reversals.take(place)
    back = z - ext["z"]
    back *= _BACK.take(phase)
    turned = back >= delta
    # What goes on, or begins, has a new extreme; nothing compares with NaN.
    moved = ~(back >= 0.0)
    moved |= turned
    cycles: list[Cycle] = []
    peaks: list[int] = []
    if np.count_nonzero(turned):
        up, down = turned & (phase == FALLING), turned & (phase == RISING)
        for i in np.flatnonzero(up).tolist():
            slot = int(slots[i])
            if state.pending[slot]:
                start, peak = reversal(state, VALLEY, slot), reversal(state, PEAK, slot)
                cycles.append(Cycle(i, start, peak, reversal(state, EXT, slot)))
                state.pending[slot] = False
                state.settle_at[slot] = NEVER
            _keep(state, VALLEY, slot)
        for i in np.flatnonzero(down).tolist():
            slot = int(slots[i])
            _keep(state, PEAK, slot)
            state.pending[slot] = True
            state.rep_no[slot] += 1
            # From here on the ring may overwrite the start of the movement; look before it does.
            held_from = reversal(state, VALLEY, slot).n
            state.settle_at[slot] = held_from + state.ring_len[slot]
            peaks.append(i)
        phase[up] = RISING
        phase[down] = FALLING
        state.phase[slots] = phase
    if np.count_nonzero(phase) < len(phase):
        state.phase[slots[phase == IDLE]] = FALLING
    now = np.empty(len(slots), ext.dtype)
    now["us"], now["x"], now["z"], now["n"] = t_us, x, z, state.frames.take(slots)
    put_rows(state.reversals, place.compress(moved), now.compress(moved))
    return peaks, cycles


def last_cycle(state: State, slot: int) -> Cycle | None:
    """The repetition that the end of the set closes, if its peak was left far enough."""
    if not state.pending[slot]:
        return None
    start, peak = reversal(state, VALLEY, slot), reversal(state, PEAK, slot)
    end = reversal(state, EXT, slot)
    if peak.z - end.z < max(float(state.tuning[3, slot]), 0.5 * (peak.z - start.z)):
        return None
    return Cycle(-1, start, peak, end)


def forget(state: State, slot: int) -> None:
    """Begin anew after a gap."""
    state.phase[slot] = IDLE
    state.pending[slot] = False
    state.settle_at[slot] = NEVER
    state.inside[slot] = False
    state.touch[slot], state.touch_told[slot] = -1, False


def _keep(state: State, row: int, slot: int) -> None:
    """Note the running extreme as a valley or a peak."""
    state.reversals[slot, row] = state.reversals[slot, EXT]
