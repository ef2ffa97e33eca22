"""Sequences: contacts of the thumb, or fingers held out, one step after another in order."""

from statistics import fmean
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.detector import Reversal
from sessions.scoring.features import OPP, TAM
from sessions.scoring.plan import SetPlan
from sessions.scoring.reps import entry
from sessions.scoring.signals import FORMS, OUT_BELOW
from sessions.scoring.state import NEVER, State

DWELL_US: Final = 150_000
"""A number of fingers counts once it was shown so long: others are passed on the way to it."""
_COUNT: Final = FORMS.index("count")
_NONE: Final = -1


class Touched(NamedTuple):
    """Positions, among the slots asked about, where a step ended or was made."""

    ended: list[int]
    made: list[int]


def watch(
    state: State,
    slots: NDArray[np.intp],
    features: NDArray[np.float32],
    t_us: NDArray[np.int64],
) -> tuple[Touched, NDArray[np.float32]]:
    """One frame of each slot.

    Args:
        slots: (B,) different slots with a sequence.
        features: (44, B)
        t_us: (B,) capture times.

    Returns:
        What happened, and the (B,) least `deep` of the steps before this frame.
    """
    count = state.form[slots] == _COUNT
    before, deep, told = state.touch[slots], state.deep[slots], state.touch_told[slots]
    now, value = _contact(state, slots, features, before)
    if count.any():
        number, mean = _shown(features)
        now, value = np.where(count, number, now), np.where(count, mean, value)
    fresh = now != before
    ended = fresh & told & (before > _NONE)
    since = np.where(fresh, t_us, state.touch_us[slots])
    told &= ~fresh
    made = ~told & (now > _NONE) & (t_us - since >= np.where(count, DWELL_US, 0))
    state.touch[slots], state.touch_us[slots] = now, since
    state.touch_told[slots] = told | made
    state.deep[slots] = np.where(fresh, value, np.minimum(deep, value))
    return Touched(np.flatnonzero(ended).tolist(), np.flatnonzero(made).tolist()), deep


def _contact(
    state: State,
    slots: NDArray[np.intp],
    features: NDArray[np.float32],
    before: NDArray[np.int8],
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The finger that the thumb touches, or none, and its distance.

    A touch lasts until the finger is let go of, or until another one is nearer by as much as
    letting go takes: two tips side by side do not alternate with the noise.
    """
    opp = features[OPP]
    contact, release = state.levels[:, slots]
    nearest = opp.argmin(axis=0).astype(np.int8)
    least = opp.min(axis=0)
    own = opp[before.clip(0, 3), np.arange(len(slots))]
    free = (before == _NONE) | (own > release) | (own - least >= release - contact)
    now = np.where(free, np.where(least < contact, nearest, _NONE), before).astype(np.int8)
    return now, np.where(now == before, own, least)


def _shown(features: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The number of fingers out, and the mean bend of those."""
    tam = features[TAM]
    out = tam < OUT_BELOW
    number = out.sum(axis=0)
    bent = np.where(out, np.maximum(tam, 0.0), 0.0)
    total = (bent[0] + bent[1]) + (bent[2] + bent[3])
    return number.astype(np.int8), (total / np.maximum(number, 1)).astype(np.float32)


class Step(NamedTuple):
    """A step of a sequence as it is told at once."""

    rep_no: int
    in_order: bool
    closed: dict[str, Any] | None
    """The sequence that it completed or broke off."""


class SequenceBook:
    """The steps of the hand in one slot, and the sequences they make."""

    def __init__(self, plan: SetPlan, slot: int) -> None:
        self.plan = plan
        self.slot = slot
        self.reps: list[dict[str, Any]] = []
        self.spans: list[NDArray[np.float64]] = []
        self.counts: dict[str, int] = {"full": 0, "partial": 0}
        self.rep_no = 0
        self._steps = 0
        self._errors = 0
        self._times: list[int] = []
        """Of the steps in order since the sequence began."""
        self._spaces: list[float] = []
        """Seconds between two steps in order."""
        self._depths: list[float] = []
        self._last = _NONE
        """The step before, or no finger out."""
        self._real = False
        """The contact now, or the number shown now, is a step."""
        self._back = False
        """The fingers close after a whole sequence: what they pass is no step."""

    _KEPT: Final = (
        *("reps", "counts", "rep_no", "_steps", "_errors", "_times", "_spaces", "_depths"),
        *("_last", "_real", "_back"),
    )

    def dump(self) -> dict[str, Any]:
        """What `restore` needs, in types that are packed without a loss."""
        return {name: getattr(self, name) for name in self._KEPT}

    def restore(self, held: dict[str, Any]) -> None:
        """Take up what `dump` gave."""
        for name in self._KEPT:
            setattr(self, name, held[name])

    def settle(self, state: State) -> None:
        """Nothing that a sequence needs is lost with the oldest frames."""
        state.settle_at[self.slot] = NEVER

    def ended(self, deep: float) -> None:
        """Keep how deep a step went: 100 at no distance, or straight fingers, 0 at the limit."""
        if not self._real:
            return
        motion = self.plan.motion
        limit = OUT_BELOW if motion.form == "count" else motion.contact
        self._depths.append(100.0 * min(max(1.0 - deep / limit, 0.0), 1.0))

    def made(self, step: int, t_us: int, z: float, origin: int) -> Step | None:
        """Take a step; None if it is none, but the same again or the way back to the start.

        Args:
            step: finger touched or number of fingers out.
            t_us: when, microseconds; `origin` is when the guide began.
            z: signal at this frame.
        """
        motion = self.plan.motion
        before, self._last = self._last, step
        self._back &= step < before
        self._real = step != before
        if motion.form == "count":
            self._real &= step > 0 and not self._back
        if not self._real:
            return None
        self._steps += 1
        due = len(self._times)
        closed = None
        in_order = step == motion.order[due]
        if not in_order:
            self._errors += 1
            if due:
                closed = self._close("partial", "sequence_error", z, origin)
        if in_order or step == motion.order[0]:
            if not self._times:
                self.rep_no += 1
            else:
                self._spaces.append((t_us - self._times[-1]) / 1e6)
            self._times.append(t_us)
        told = self.rep_no if closed is None else closed["rep_no"]
        if len(self._times) == len(motion.order):
            closed = self._close("full", None, z, origin)
            self._back = True
        return Step(max(told, 1), in_order, closed)

    def broken(self, z: float, origin: int, *, gap: bool) -> dict[str, Any] | None:
        """Keep a sequence that was begun and cut off, by a gap or the end of the set."""
        if gap:
            self._last, self._back = _NONE, False
        if not self._times:
            return None
        if gap:
            return self._close("interrupted", "gap", z, origin)
        return self._close("partial", None, z, origin)

    def metrics(self) -> dict[str, Any]:
        """What the set says of its steps."""
        spaces, steps = self._spaces, self._steps
        return {
            "sequences": self.counts["full"],
            "sequence_errors": self._errors,
            "order_correct": (steps - self._errors) / steps if steps else None,
            "contact_depth": fmean(self._depths) if self._depths else None,
            "steps": steps,
            "rate": len(spaces) / sum(spaces) if spaces else None,
        }

    def _close(self, cls: str, reason: str | None, z: float, origin: int) -> dict[str, Any]:
        times, order = self._times, self.plan.motion.order
        rep = entry(self.rep_no, cls, reason, Reversal(times[-1], 0.0, z, 0))
        rep["completeness"] = 100.0 * len(times) / len(order)
        rep["t_on"], rep["t_off"] = (times[0] - origin) / 1e6, (times[-1] - origin) / 1e6
        rep["duration"] = (times[-1] - times[0]) / 1e6
        rep["steps"] = len(times)
        if cls in self.counts:
            self.counts[cls] += 1
        self.reps.append(rep)
        self._times = []
        return rep
