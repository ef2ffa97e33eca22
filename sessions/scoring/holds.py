"""Holds: staying in the target, attempts that did not reach it, and what a stay measures."""

from math import fsum
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.detector import Reversal, reversal
from sessions.scoring.plan import SetPlan
from sessions.scoring.reps import entry, matched_peak
from sessions.scoring.signals import in_degrees
from sessions.scoring.state import NEVER, PEAK, State
from sessions.scoring.tremor import STEADY, TREMOR, measurable, steadiness, tremor

HELD: Final = (*STEADY, *TREMOR)


class Turned(NamedTuple):
    """Positions, among the slots asked about, of hands that reached or left their targets."""

    entered: list[int]
    left: list[int]


def watch(
    state: State, slots: NDArray[np.intp], z: NDArray[np.float32], t_us: NDArray[np.int64]
) -> Turned:
    """One frame of each slot; their `frames` do not count this frame yet.

    Args:
        slots: (B,) different slots with a hold.
        z: (B,) signal between the anchors.
        t_us: (B,) capture times.
    """
    inside = state.inside[slots]
    reach, leave = state.levels[:, slots]
    entered = ~inside & (z >= reach)
    left = inside & (z < leave)
    if entered.any():
        new = slots[entered]
        state.inside[new] = True
        state.held_us[new] = t_us[entered]
        state.held_n[new] = state.frames[new]
    state.inside[slots[left]] = False
    return Turned(np.flatnonzero(entered).tolist(), np.flatnonzero(left).tolist())


class HoldBook:
    """The stays of the hand in one slot, and its attempts that fell short."""

    def __init__(self, plan: SetPlan, slot: int) -> None:
        self.plan = plan
        self.slot = slot
        self.reps: list[dict[str, Any]] = []
        self.spans: list[NDArray[np.float64]] = []
        self.counts: dict[str, int] = {"full": 0, "partial": 0}
        self.rep_no = 0
        self._best: dict[str, Any] | None = None

    def dump(self) -> dict[str, Any]:
        """What `restore` needs, in types that are packed without a loss."""
        best = None if self._best is None else self.reps.index(self._best)
        return {"reps": self.reps, "counts": self.counts, "rep_no": self.rep_no, "best": best}

    def restore(self, held: dict[str, Any]) -> None:
        """Take up what `dump` gave."""
        self.reps, self.counts, self.rep_no = held["reps"], held["counts"], held["rep_no"]
        self._best = None if held["best"] is None else self.reps[held["best"]]

    def settle(self, state: State) -> None:
        """Nothing that a hold needs is lost with the oldest frames."""
        state.settle_at[self.slot] = NEVER

    def missed(self, state: State) -> dict[str, Any]:
        """Keep an attempt whose highest point, the peak in the state, is below the target."""
        self.rep_no += 1
        rep = entry(self.rep_no, "partial", None, reversal(state, PEAK, self.slot))
        rep |= dict.fromkeys(HELD)
        self.counts["partial"] += 1
        self.reps.append(rep)
        return rep

    def stayed(self, state: State, end_us: int, *, interrupted: bool = False) -> dict[str, Any]:
        """Keep a stay that is over; frames up to the last in the ring belong to it."""
        slot, plan = self.slot, self.plan
        begin = int(state.held_us[slot])
        seconds = (end_us - begin) / 1e6
        at = state.recent(slot, int(state.frames[slot] - state.held_n[slot]))
        level = float(state.ring_z[slot, at].astype(np.float64).mean())
        cls, reason = "full", None
        if interrupted:
            cls, reason = "interrupted", "gap"
        elif seconds < plan.motion.t_min:
            cls, reason = "rejected", "too_short"
        rep = entry(self.rep_no, cls, reason, Reversal(begin, 0.0, level, 0))
        origin = int(state.guide_t0[slot])
        rep["t_on"], rep["t_off"] = (begin - origin) / 1e6, (end_us - origin) / 1e6
        rep["duration"] = seconds
        rep |= self._measured(state, at)
        if reason is None:
            self.counts["full"] += 1
            match = matched_peak(
                (begin + end_us) // 2 - origin,
                int(state.guide_period[slot]),
                plan.motion.guide_peaks,
                int(state.guide_at[slot]),
            )
            if match is not None:
                state.guide_at[slot] = min(match[0] + 1, NEVER)
                rep["timing_error"] = match[1]
        if cls != "rejected" and (self._best is None or seconds > self._best["duration"]):
            self._best = rep
        self.reps.append(rep)
        return rep

    def metrics(self) -> dict[str, Any]:
        """What the set says of its holds: sums over all stays, the rest of the longest one."""
        stays = [rep["duration"] for rep in self.reps if rep["class"] in ("full", "interrupted")]
        best = self._best
        return {
            "hold_time": 0.0 if best is None else best["duration"],
            "hold_total": fsum(stays),
            **{key: None if best is None else best[key] for key in HELD},
        }

    def _measured(self, state: State, at: NDArray[np.intp]) -> dict[str, Any]:
        """Steadiness and tremor over the ring's positions `at`; None for what is too short."""
        slot, motion = self.slot, self.plan.motion
        out: dict[str, Any] = dict.fromkeys(HELD)
        t = (state.ring_us[slot, at] - state.ring_us[slot, at[:1]]) / 1e6
        if not measurable(t):
            return out
        x = state.ring_x[slot, at].astype(np.float64)
        if self.plan.target < self.plan.rest:
            x = -x
        out |= steadiness(t, in_degrees(motion, x))
        millimetres = self.plan.palm_mm if self.plan.space == "image" else 1000.0
        if millimetres is not None and motion.tremor_tips:
            width = int(state.ring_width[slot])
            tips = state.ring_f[slot, at, :width].astype(np.float64) * millimetres
            out |= tremor(t, tips.reshape(len(t), -1, 3))
        return out
