"""What the scoring tells while a set runs."""

from typing import Any, Literal, NamedTuple

RepClass = Literal["full", "partial", "rejected", "interrupted"]


class Peak(NamedTuple):
    """A peak of the signal was passed, a hold begun, a step made: the instant feedback."""

    slot: int
    work_index: int
    """The message, in the tick's work, whose record showed it."""
    rep_no: int
    """Repetitions, holds or sequences begun in the set, counted from 1."""
    t_us: int
    """Capture time of the peak."""
    z: float
    step: int | None = None
    """Of a sequence: the finger touched, 0 index .. 3 little, or the number of fingers out."""
    in_order: bool | None = None
    """Whether it was the step asked."""


class Rep(NamedTuple):
    """A repetition, hold or sequence closed, or was interrupted by a gap."""

    slot: int
    work_index: int
    rep_no: int
    values: dict[str, Any]
    """As in the set's `reps`; not to be changed."""

    @property
    def cls(self) -> RepClass:
        """Its class, as in the values."""
        cls: RepClass = self.values["class"]
        return cls


Mark = Peak | Rep


class Live(NamedTuple):
    """A set at its latest accepted frame."""

    t_us: int
    z: float
    sim: float | None
    """0..100; None for a motion without a guide."""
    quality: float
    """Share of valid frames of the last second, 0..1."""
    full: int
    partial: int
    held: float | None = None
    """Seconds in the target so far, 0 outside; None for a motion without a hold."""


class Advice(NamedTuple):
    """How well the hand is tracked now."""

    valid: float
    """Share of valid frames of the last second, 0..1."""
    hand_missing: bool
    """No frame of the asked hand was accepted for a second of capture time."""
    chirality_inverted: bool
