"""What is remembered of every live hand between two ticks: a struct of arrays with one slot a hand.

All of it lies in arrays with a slot axis (and a short list of finished repetitions elsewhere), so a
slot can be cleared, copied or stored without knowing what its numbers mean.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.features import ROLL, TAM
from sessions.scoring.layout import FIELDS, RINGS, ROW_TYPES, ROWS, ring_type
from sessions.scoring.plan import FEATURES, Motion, SetPlan
from sessions.scoring.signals import FORMS

EXT, VALLEY, PEAK = range(3)
"""Rows of the reversal arrays: running extreme, last valley, the peak that waits for one."""
IDLE, FALLING, RISING = range(3)
REPS, HOLD, SEQUENCE = range(3)
_KINDS: Final = {"reps": REPS, "tap": REPS, "hold": HOLD, "sequence": SEQUENCE}
NEVER: Final = 1 << 62
"""A count of frames that is not reached."""

_SPAN_S: Final = 10.0
"""The ring holds at least so much of the past: a watcher's plot, the longest usual repetition."""
_HOLD_S: Final = 20.0
"""Of a longer hold so much is measured, the last of it."""


def ring_length(plan: SetPlan) -> int:
    """Frames kept of a hand: the longest repetition and a second at 15 to 120 frames a second."""
    # A rate announced too low must not cost the repetitions that a quicker camera shows.
    fps = min(max(plan.fps, 15.0), 120.0)
    seconds = {
        REPS: max(plan.motion.t_max, _SPAN_S) + 1.0,
        HOLD: _HOLD_S,
        SEQUENCE: _SPAN_S,
    }[_KINDS[plan.motion.kind]]
    return int(np.ceil(seconds * fps))


def ring_channels(motion: Motion) -> NDArray[np.intp]:
    """What of each frame is kept, as rows of `stage.Signals.kept`.

    A repetition needs the four `tam` and the features of the shape; a hold the finger tips whose
    tremor is measured; the steps of a sequence are told at once.
    """
    kind = _KINDS[motion.kind]
    if kind == REPS:
        return np.concatenate((np.arange(FEATURES)[TAM], motion.shape_features))
    if kind == SEQUENCE:
        return np.zeros(0, np.intp)
    fingers = np.array([tip // 4 - 1 for tip in motion.tremor_tips], np.intp)
    return (FEATURES + 3 * fingers[:, None] + np.arange(3)).ravel()


class State:
    """Arrays of `capacity` slots; what each holds is said where it is written."""

    terms: NDArray[np.void]
    """What a set is scored by; this and the next two are the `ROWS`, of which the fields are
    views."""
    past: NDArray[np.void]
    """What a frame is judged by."""
    totals: NDArray[np.void]
    """What accepted frames are added to."""
    tuning: NDArray[np.float32]
    """f_min, beta, f_d, delta."""
    anchors: NDArray[np.float32]
    """rest, target - rest."""
    motion: NDArray[np.int32]
    kind: NDArray[np.int8]
    """`REPS`, `HOLD` or `SEQUENCE`."""
    form: NDArray[np.int8]
    """Code of the primary signal's form."""
    levels: NDArray[np.float32]
    """(2, slots) of a hold where it begins and ends, of opposition contact and release."""
    side: NDArray[np.uint8]
    image: NDArray[np.bool_]
    uses_roll: NDArray[np.bool_]
    guide_t0: NDArray[np.int64]
    guide_period: NDArray[np.int64]
    ring_len: NDArray[np.int64]
    ring_width: NDArray[np.int64]
    """Channels in use."""
    pause_us: NDArray[np.int64]
    """Two nominal frames: a longer pause counts as a gap."""
    begun: NDArray[np.bool_]
    """Some frame was accepted: the next five describe the last one."""
    last_us: NDArray[np.int64]
    counter: NDArray[np.int64]
    scale: NDArray[np.float32]
    """1 before there is a frame."""
    jumps: NDArray[np.int8]
    fingerprint: NDArray[np.float32]
    """Fingerprint of its landmarks."""
    run: NDArray[np.int64]
    """Accepted frames in a row with the landmarks of the last one."""
    frozen: NDArray[np.int64]
    untimed: NDArray[np.int64]
    filtered: NDArray[np.float32]
    """(slots, 64) filtered coordinates, as `in_palm` gives them."""
    speeds: NDArray[np.float32]
    """(slots, 64) their filtered speeds, per second."""
    roll: NDArray[np.float32]
    turns: NDArray[np.float32]
    """Whole turns that unwrap `roll`."""
    roll_known: NDArray[np.bool_]
    phase: NDArray[np.int8]
    pending: NDArray[np.bool_]
    rep_no: NDArray[np.int64]
    settle_at: NDArray[np.int64]
    """The count of frames at which the ring would lose the pending repetition."""
    reversals: NDArray[np.void]
    """(slots, 3) by the rows `EXT`, `VALLEY` and `PEAK`."""
    inside: NDArray[np.bool_]
    """In the target: the next two tell since when."""
    held_us: NDArray[np.int64]
    held_n: NDArray[np.int64]
    touch: NDArray[np.int8]
    """Finger touched or number of fingers out, -1 for none: the next three are of it."""
    touch_told: NDArray[np.bool_]
    touch_us: NDArray[np.int64]
    deep: NDArray[np.float32]
    frames: NDArray[np.int64]
    """Frames with a signal so far; the ring's next position is this modulo its length."""
    signal_us: NDArray[np.int64]
    z: NDArray[np.float32]
    sim: NDArray[np.float32]
    seen: NDArray[np.bool_]
    first_seen: NDArray[np.int64]
    last_seen: NDArray[np.int64]
    first_us: NDArray[np.int64]
    gap_us: NDArray[np.int64]
    counts: NDArray[np.int64]
    """(verdicts, slots): most frames are counted in one row of it."""
    tally: NDArray[np.int64]
    """(slots, 3) sums over accepted frames of the score, of curled and of palmar hands."""
    x_min: NDArray[np.float32]
    x_max: NDArray[np.float32]
    sums: NDArray[np.float64]
    """(slots, 26) sums of the 12 finger bones' lengths, of their squares, of x and similarity."""
    guide_at: NDArray[np.int64]
    """The next guide peak that no repetition was matched with."""
    hist: NDArray[np.uint32]
    rings: NDArray[np.void]
    """(slots, length) the last frames with a signal; the next four are its fields."""
    ring_us: NDArray[np.int64]
    ring_x: NDArray[np.float32]
    ring_z: NDArray[np.float32]
    ring_f: NDArray[np.float32]
    """(slots, length, channels)"""
    channels: NDArray[np.intp]
    """(slots, channels) what `ring_f` holds, as `ring_channels` says; spare ones repeat row 0."""

    def __init__(self, capacity: int) -> None:
        self._fields(capacity)
        self._rings(0, 0)

    def _fields(self, capacity: int) -> None:
        self.capacity = capacity
        for rows, row in ROW_TYPES.items():
            held = np.zeros(capacity, row)
            setattr(self, rows, held)
            for name in ROWS[rows]:
                setattr(self, name, held[name].T if FIELDS[name][1] else held[name])
        for name in FIELDS.keys() - {name for names in ROWS.values() for name in names}:
            dtype, before, after = FIELDS[name]
            setattr(self, name, np.zeros((*before, capacity, *after), dtype))

    def _rings(self, length: int, width: int) -> None:
        self.rings = np.zeros((self.capacity, length), ring_type(width))
        for name in RINGS:
            setattr(self, name, self.rings[name])
        self.channels = np.zeros((self.capacity, width), np.intp)

    def grow(self, capacity: int, length: int, width: int) -> None:
        """Make room for more slots, longer rings or more channels; nothing shrinks."""
        old = dict(vars(self))
        kept = self.capacity
        self._fields(max(capacity, kept))
        for name, (_, before, _) in FIELDS.items():
            getattr(self, name)[(slice(None),) * len(before) + (slice(kept),)] = old[name]
        self._rings(
            max(length, self.ring_us.shape[1]),
            max(width, self.ring_f.shape[2]),
        )
        for name in (*RINGS, "channels"):
            was = old[name]
            getattr(self, name)[tuple(slice(size) for size in was.shape)] = was

    def clear(self, slot: int) -> None:
        """Set every value of a slot to zero, the rings left as they are: `frames` guards them."""
        for name, (_, before, _) in FIELDS.items():
            getattr(self, name)[(slice(None),) * len(before) + (slot,)] = 0
        self.channels[slot] = 0

    def assign(self, slot: int, plan: SetPlan, number: int) -> None:
        """Prepare a slot for a set; `number` is the motion's place in the library."""
        channels = ring_channels(plan.motion)
        length, width = ring_length(plan), len(channels)
        if length > self.ring_us.shape[1] or width > self.ring_f.shape[2]:
            self.grow(self.capacity, length, width)
        self.clear(slot)
        self.tuning[:, slot] = (
            plan.motion.f_min,
            plan.motion.beta,
            plan.motion.f_d,
            plan.motion.delta,
        )
        self.motion[slot] = number
        self.kind[slot] = _KINDS[plan.motion.kind]
        self.form[slot] = FORMS.index(plan.motion.form)
        contacts = plan.motion.form == "opposition"
        self.levels[:, slot] = (
            (plan.motion.contact, plan.motion.release)
            if contacts
            else (plan.motion.hold_in, plan.motion.hold_out)
        )
        self.touch[slot] = -1
        self.side[slot] = 0 if plan.side == "left" else 1
        self.image[slot] = plan.space == "image"
        read = plan.motion.primary[ROLL] or plan.motion.guide_weights[ROLL]
        self.uses_roll[slot] = bool(read) or ROLL in channels
        self.guide_t0[slot] = min(max(plan.guide_t0_us, 0), NEVER)
        self.guide_period[slot] = min(max(plan.guide_period_us, 1), 1 << 40)
        self.ring_len[slot] = length
        self.ring_width[slot] = width
        self.pause_us[slot] = int(np.ceil(2e6 / max(plan.fps, 1.0)))
        self.settle_at[slot] = NEVER
        self.x_min[slot], self.x_max[slot] = np.inf, -np.inf
        self.scale[slot] = 1.0
        self.channels[slot, :width] = channels

    def nbytes(self) -> int:
        """Bytes held for each slot."""
        held = (value for value in vars(self).values() if isinstance(value, np.ndarray))
        return sum(value.nbytes for value in held if value.base is None) // self.capacity

    def recent(self, slot: int, count: int) -> NDArray[np.intp]:
        """Ring positions of the last `count` frames of a slot that are still held, oldest first."""
        n, length = int(self.frames[slot]), int(self.ring_len[slot])
        first = max(n - min(count, length), 0)
        return np.arange(first, n) % length
