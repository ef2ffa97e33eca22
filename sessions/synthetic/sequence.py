"""A course through several postures in order, again and again: oppositions, counting."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.catalog.records import MotionDefinition
from sessions.kinematics import Floats
from sessions.motions import pose_of
from sessions.synthetic.body import Body, draw_body, draw_cuts, pushes
from sessions.synthetic.child import ChildParameters
from sessions.synthetic.movement import LEAST_EXCURSION, REST_S


@dataclass(frozen=True, slots=True)
class Steps:
    """The postures of a sequence, each reached and kept for a while, and the way home."""

    home: Floats
    """(JOINTS,) posture a sequence starts and ends in."""
    far: Floats
    """(m, JOINTS) postures of the steps."""
    reach_s: Floats
    """(m + 1,) to each of them, and home."""
    stay_s: Floats
    """(m + 1,) in each of them, and at home."""


def steps_of(definition: MotionDefinition) -> Steps:
    """Return the steps of a motion's guide.

    Raises ValueError unless every posture is reached in one leg and kept in the next.
    """
    legs = definition.guide.legs
    there, kept = legs[::2], legs[1::2]
    if [leg.pose for leg in there] != [leg.pose for leg in kept]:
        raise ValueError(f"{definition.id}: a sequence reaches each posture, then stays")
    poses = np.stack([pose_of(definition.guide.poses[leg.pose]).angles() for leg in there])
    return Steps(
        poses[-1],
        poses[:-1],
        np.array([leg.seconds for leg in there]),
        np.array([leg.seconds for leg in kept]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class SequenceMovement:
    """A child's own course through k sequences of m steps."""

    body: Body
    start: Floats
    """(k,) when each sequence begins."""
    at: Floats
    """(k, m + 1) middles of the stays in the steps, and when the hand is home again."""
    played: NDArray[np.intp]
    """(k, m) which step of the guide each step really is."""
    begin: Floats
    """(legs,) start of each movement and stay."""
    lasts: Floats
    """(legs,) its length."""
    poses: Floats
    """(legs + 1, JOINTS) where each starts, and the last ends."""
    cuts: Floats
    """(legs, pushes) how each movement is made."""

    @property
    def child(self) -> ChildParameters:
        """Whose hand it is."""
        return self.body.child

    @property
    def peak(self) -> Floats:
        """(k,) the middle of the last step of each sequence."""
        return self.at[:, -2]

    @property
    def end(self) -> Floats:
        """(k,) when the hand is home again."""
        return self.at[:, -1]

    def angles(self, time: Floats, *, tremor: bool = True) -> Floats:
        """Return (n, JOINTS) true joint angles at (n,) times, with or without the tremor."""
        if not len(self.begin):
            pose = np.repeat(self.poses, len(time), axis=0)
        else:
            leg = np.clip(np.searchsorted(self.begin, time, side="right") - 1, 0, None)
            done = pushes((time - self.begin[leg]) / self.lasts[leg], self.cuts[leg])
            pose = self.poses[leg] + done[:, None] * (self.poses[leg + 1] - self.poses[leg])
        return self.body.moved(pose, time, tremor=tremor)


def plan_sequence(
    child: ChildParameters,
    definition: MotionDefinition,
    rng: np.random.Generator,
    *,
    reps: int | None,
    seconds: float | None,
    period_s: float,
) -> SequenceMovement:
    """Return a child's course through `reps` sequences, or through those done in `seconds`.

    A child that confuses the order (`order_error`) swaps two neighbouring steps.
    """
    steps = steps_of(definition)
    m = len(steps.far)
    scale = period_s * 1e6 / definition.guide.period_us
    least = 0.6 * scale / child.tempo * (steps.reach_s.sum() + steps.stay_s[:-1].sum())
    most = reps if reps is not None else max(int((seconds or 0.0) / least), 0)
    pace = scale / child.tempo * np.clip(1 + child.rep_jitter * rng.standard_normal(most), 0.6, 1.5)
    tired = 1 - child.fatigue / 100 * np.arange(most)
    spread = 1 + child.rep_jitter * np.clip(rng.standard_normal((most, m)), -2.5, 2.5)
    level = np.clip(child.rom * tired[:, None] * spread, min(child.rom, LEAST_EXCURSION), 1.0)
    latency = np.clip(child.latency_s + child.latency_sd_s * rng.standard_normal(most), 0.0, None)
    played = np.tile(np.arange(m), (most, 1))
    for row in np.flatnonzero(rng.random(most) < child.order_error):
        first = int(rng.integers(m - 1))
        played[row, [first, first + 1]] = first + 1, first
    lasts = np.stack([steps.reach_s, steps.stay_s], axis=-1).ravel() * pace[:, None]
    whole, busy = lasts.sum(axis=1), lasts[:, :-1].sum(axis=1)
    start, free = np.empty(most), 0.0
    for k in range(most):
        start[k] = max(latency[k] + k * period_s, free)
        free = start[k] + whole[k]
    if seconds is not None:
        most = int(np.searchsorted(start + busy + REST_S, seconds, side="right"))
    start, lasts, played = start[:most], lasts[:most], played[:most]
    begin = start[:, None] + np.cumsum(lasts, axis=1) - lasts
    at = begin[:, 1::2] + lasts[:, 1::2] / 2
    at[:, -1] = begin[:, -1]
    goals = steps.home + level[:most, :, None] * (steps.far[played] - steps.home)
    home = np.broadcast_to(steps.home, (most, 1, len(steps.home)))
    poses = np.repeat(np.concatenate([goals, home], axis=1), 2, axis=1)
    return SequenceMovement(
        body=draw_body(child, rng),
        start=start,
        at=at,
        played=played,
        begin=begin.ravel(),
        lasts=lasts.ravel(),
        poses=np.concatenate([steps.home[None], poses.reshape(-1, len(steps.home))]),
        cuts=draw_cuts(rng, (begin.size,), child.submovements),
    )
