"""What the hand really does in a set: when each repetition starts, how far it goes, every angle.

All times are seconds of the device's clock since the guide's start.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.catalog.records import MotionDefinition
from sessions.kinematics import Floats
from sessions.motions import pose_of
from sessions.synthetic.body import Body, draw_body, draw_cuts, pushes
from sessions.synthetic.child import ChildParameters

LEAST_EXCURSION: Final = 0.4
"""A child that can reach this share of the guide's excursion does, however tired."""
MOST_EXCURSION: Final = 1.05
"""Joints end there."""
REST_S: Final = 0.6
"""Rest after the last repetition, so that its end is seen."""
_SAG: Final = 0.03
"""At its far end a hand is never quite still: this share of the way is gained and lost again."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """A motion between two postures: there, hold, back, rest."""

    home: Floats
    """(JOINTS,) posture the cycle starts and ends in."""
    far: Floats
    """(JOINTS,) posture at its far end."""
    out_s: float
    hold_s: float
    back_s: float
    rest_s: float


def cycle_of(definition: MotionDefinition) -> Cycle:
    """Return the cycle of a motion's guide. Raises ValueError unless it has just two postures."""
    legs = definition.guide.legs
    names = [leg.pose for leg in legs]
    if len(legs) != 4 or names[0] != names[1] or names[2] != names[3] or names[0] == names[2]:
        raise ValueError(f"{definition.id}: only a motion between two postures can be simulated")
    out, hold, back, rest = (leg.seconds for leg in legs)
    far, home = (pose_of(definition.guide.poses[name]).angles() for name in (names[0], names[2]))
    return Cycle(home, far, out, hold, back, rest)


@dataclass(frozen=True, slots=True, eq=False)
class Movement:
    """A child's own course through a set of k repetitions."""

    child: ChildParameters
    cycle: Cycle
    start: Floats
    """(k,) when each repetition leaves its valley."""
    out: Floats
    """(k,) durations of the four parts of each repetition."""
    hold: Floats
    back: Floats
    level: Floats
    """(k,) share of the excursion each reaches."""
    valley: Floats
    """(k + 1,) share of the excursion at which each starts, and the last ends."""
    cuts: Floats
    """(k, 2, m) ends of the pushes in each half, shares of its time."""
    body: Body

    @property
    def peak(self) -> Floats:
        """(k,) when each repetition is farthest."""
        return self.start + self.out + self.hold / 2

    @property
    def end(self) -> Floats:
        """(k,) when each repetition is back."""
        return self.start + self.out + self.hold + self.back

    def progress(self, time: Floats) -> Floats:
        """Return (n,) the share of the excursion at (n,) times."""
        if not len(self.start):
            return np.full(len(time), self.valley[0])
        rep = np.clip(np.searchsorted(self.start, time, side="right") - 1, 0, None)
        since = time - self.start[rep]
        there = pushes(since / self.out[rep], self.cuts[rep, 0])
        held = np.clip((since - self.out[rep]) / self.hold[rep], 0.0, 1.0)
        gone = pushes((since - self.out[rep] - self.hold[rep]) / self.back[rep], self.cuts[rep, 1])
        before, level, after = self.valley[rep], self.level[rep], self.valley[rep + 1]
        far = level * (1.0 - _SAG + _SAG * np.sin(np.pi * held))
        edge = level * (1.0 - _SAG)
        share: Floats = np.where(
            gone > 0, edge + (after - edge) * gone, before + (far - before) * there
        )
        return share

    def angles(self, time: Floats, *, tremor: bool = True) -> Floats:
        """Return (n, JOINTS) true joint angles at (n,) times, with or without the tremor."""
        cycle = self.cycle
        pose: Floats = cycle.home + self.progress(time)[:, None] * (cycle.far - cycle.home)
        return self.body.moved(pose, time, tremor=tremor)


def plan_movement(
    child: ChildParameters,
    definition: MotionDefinition,
    rng: np.random.Generator,
    *,
    reps: int | None,
    seconds: float | None,
    period_s: float,
    hold_s: float | None = None,
) -> Movement:
    """Return a child's course through `reps` repetitions, or through those done in `seconds`.

    A child follows the guide: it starts a little after each of the guide's cycles, or at once
    when it is late. Tapping is the exception: there the pace is the child's own. It stays at the
    far end for `hold_s` if that is given, else as long as the guide at its own pace.
    """
    cycle = cycle_of(definition)
    scale = period_s * 1e6 / definition.guide.period_us
    most = reps if reps is not None else _upper_bound(cycle, child, scale, seconds or 0.0)
    draw = rng.standard_normal((3, most))
    pace = scale / child.tempo * np.clip(1 + child.rep_jitter * draw[0], 0.6, 1.5)
    tired = 1 - child.fatigue / 100 * np.arange(most)
    level = child.rom * tired * (1 + child.rep_jitter * np.clip(draw[1], -2.5, 2.5))
    most_excursion = 1.0 if definition.kind == "hold" else MOST_EXCURSION
    level = np.clip(level, min(child.rom, LEAST_EXCURSION), most_excursion)
    latency = np.clip(child.latency_s + child.latency_sd_s * draw[2], 0.0, None)
    out, hold, back, rest = (
        part * pace for part in (cycle.out_s, cycle.hold_s, cycle.back_s, cycle.rest_s)
    )
    if hold_s is not None:
        hold = np.full(most, hold_s)
    follows = definition.kind != "tap"
    start, free = np.empty(most), 0.0
    for k in range(most):
        due = latency[k] + (k * period_s if follows or k == 0 else 0.0)
        start[k] = max(due, free)
        free = start[k] + out[k] + hold[k] + back[k] + rest[k]
    if seconds is not None:
        most = int(np.searchsorted(start + out + hold + back + REST_S, seconds, side="right"))
    cuts = draw_cuts(rng, (len(start), 2), child.submovements)
    valley = child.rom * rng.uniform(0.0, 0.05, len(start) + 1)
    return Movement(
        child, cycle, start[:most], out[:most], hold[:most], back[:most], level[:most],
        valley[: most + 1], cuts[:most], draw_body(child, rng),
    )  # fmt: skip


def _upper_bound(cycle: Cycle, child: ChildParameters, scale: float, seconds: float) -> int:
    shortest = 0.6 * scale / child.tempo * (cycle.out_s + cycle.hold_s + cycle.back_s)
    return max(int(seconds / shortest), 0)
