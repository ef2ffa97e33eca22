"""What the hand really does in a set: when each repetition starts, how far it goes, every angle.

All times are seconds of the device's clock since the guide's start.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.catalog.records import MotionDefinition
from sessions.kinematics import DIP, FLEXION, MCP, PIP, ROLL, TILT, WAVE, Floats, minimum_jerk
from sessions.motions import pose_of
from sessions.synthetic.child import ChildParameters

LEAST_EXCURSION: Final = 0.4
"""A child that can reach this share of the guide's excursion does, however tired."""
MOST_EXCURSION: Final = 1.05
"""Joints end there."""
REST_S: Final = 0.6
"""Rest after the last repetition, so that its end is seen."""
_SAG: Final = 0.03
"""At its far end a hand is never quite still: this share of the way is gained and lost again."""


_SWAY_HZ: Final = np.array([0.11, 0.07, 0.09])
_SWAY_DEG: Final = np.array([1.5, 2.5, 1.0])
"""Slow wandering of roll, tilt and wave."""


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
    sway: Floats
    """(7,) offsets of roll, tilt and wave, degrees; phases of their and the tremor's wandering."""
    phases: Floats
    """(8,) of the tremor at the MCP and PIP joints, radians."""

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
        there = self._pushes(since / self.out[rep], rep, 0)
        held = np.clip((since - self.out[rep]) / self.hold[rep], 0.0, 1.0)
        gone = self._pushes((since - self.out[rep] - self.hold[rep]) / self.back[rep], rep, 1)
        before, level, after = self.valley[rep], self.level[rep], self.valley[rep + 1]
        far = level * (1.0 - _SAG + _SAG * np.sin(np.pi * held))
        edge = level * (1.0 - _SAG)
        share: Floats = np.where(
            gone > 0, edge + (after - edge) * gone, before + (far - before) * there
        )
        return share

    def _pushes(
        self, u: Floats, rep: np.ndarray[tuple[int, ...], np.dtype[np.intp]], half: int
    ) -> Floats:
        cuts = self.cuts[rep, half]
        done, begin = np.zeros_like(u), np.zeros_like(u)
        for k in range(cuts.shape[1]):
            width = cuts[:, k] - begin
            done += width * minimum_jerk((u - begin) / width)
            begin = cuts[:, k]
        return done

    def angles(self, time: Floats, *, tremor: bool = True) -> Floats:
        """Return (n, JOINTS) true joint angles at (n,) times, with or without the tremor."""
        cycle = self.cycle
        pose: Floats = cycle.home + self.progress(time)[:, None] * (cycle.far - cycle.home)
        for joint in (MCP, PIP, DIP):
            pose[:, joint] = _pulled(pose[:, joint], self.child.synergy)
        wander = np.sin(2 * np.pi * _SWAY_HZ * time[:, None] + self.sway[3:6])
        pose[:, [ROLL, TILT, WAVE]] += self.sway[:3] + _SWAY_DEG * wander
        if tremor and self.child.tremor_deg:
            # A tremor's phase wanders slowly, or its spectrum would be one sharp line.
            drift = 0.8 * np.sin(2 * np.pi * 0.23 * time + self.sway[6])
            angle = 2 * np.pi * self.child.tremor_hz * time + drift
            shake = self.child.tremor_deg * np.sin(angle[:, None] + self.phases)
            pose[:, FLEXION][:, :8] += shake * np.repeat([1.0, 0.7], 4)
        return pose


def _pulled(flexion: Floats, synergy: float) -> Floats:
    """Neighbours that bend more pull a finger along."""
    padded = np.pad(flexion, ((0, 0), (1, 1)), mode="edge")
    neighbours = (padded[:, :-2] + padded[:, 2:]) / 2
    pulled: Floats = flexion + synergy * np.maximum(neighbours - flexion, 0.0)
    return pulled


def plan_movement(
    child: ChildParameters,
    definition: MotionDefinition,
    rng: np.random.Generator,
    *,
    reps: int | None,
    seconds: float | None,
    period_s: float,
) -> Movement:
    """Return a child's course through `reps` repetitions, or through those done in `seconds`.

    A child follows the guide: it starts a little after each of the guide's cycles, or at once
    when it is late. Tapping is the exception: there the pace is the child's own.
    """
    cycle = cycle_of(definition)
    scale = period_s * 1e6 / definition.guide.period_us
    most = reps if reps is not None else _upper_bound(cycle, child, scale, seconds or 0.0)
    draw = rng.standard_normal((3, most))
    pace = scale / child.tempo * np.clip(1 + child.rep_jitter * draw[0], 0.6, 1.5)
    tired = 1 - child.fatigue / 100 * np.arange(most)
    level = child.rom * tired * (1 + child.rep_jitter * np.clip(draw[1], -2.5, 2.5))
    level = np.clip(level, min(child.rom, LEAST_EXCURSION), MOST_EXCURSION)
    latency = np.clip(child.latency_s + child.latency_sd_s * draw[2], 0.0, None)
    out, hold, back, rest = (
        part * pace for part in (cycle.out_s, cycle.hold_s, cycle.back_s, cycle.rest_s)
    )
    follows = definition.kind != "tap"
    start, free = np.empty(most), 0.0
    for k in range(most):
        due = latency[k] + (k * period_s if follows or k == 0 else 0.0)
        start[k] = max(due, free)
        free = start[k] + out[k] + hold[k] + back[k] + rest[k]
    if seconds is not None:
        most = int(np.searchsorted(start + out + hold + back + REST_S, seconds, side="right"))
    cuts = _cuts(rng, len(start), child.submovements)
    valley = child.rom * rng.uniform(0.0, 0.05, len(start) + 1)
    sway = rng.uniform(-1, 1, 7) * np.array([3.0, 4.0, 2.0, *[np.pi] * 4])
    sway[1] -= 8.0
    phases = np.tile(rng.uniform(-0.6, 0.6, 4), 2)
    return Movement(
        child, cycle, start[:most], out[:most], hold[:most], back[:most], level[:most],
        valley[: most + 1], cuts[:most], sway, phases,
    )  # fmt: skip


def _upper_bound(cycle: Cycle, child: ChildParameters, scale: float, seconds: float) -> int:
    shortest = 0.6 * scale / child.tempo * (cycle.out_s + cycle.hold_s + cycle.back_s)
    return max(int(seconds / shortest), 0)


def _cuts(rng: np.random.Generator, reps: int, pushes: int) -> Floats:
    widths = rng.uniform(0.75, 1.25, (reps, 2, pushes))
    cuts: Floats = np.cumsum(widths / widths.sum(axis=-1, keepdims=True), axis=-1)
    cuts[..., -1] = 1.0
    return cuts
