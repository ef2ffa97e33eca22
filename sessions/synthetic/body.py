"""What every movement of a simulated child goes through: pushes, pull of the neighbours, tremor."""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from sessions.kinematics import DIP, FLEXION, MCP, PIP, ROLL, TILT, WAVE, Floats, minimum_jerk
from sessions.synthetic.child import ChildParameters

_SWAY_HZ: Final = np.array([0.11, 0.07, 0.09])
_SWAY_DEG: Final = np.array([1.5, 2.5, 1.0])
"""Slow wandering of roll, tilt and wave."""
_THUMB_FLEXION: Final = [18, 19]
"""Places of the thumb's MCP and IP flexion in a pose."""
_WANDER_RAD: Final = 0.8
_WANDER_HZ: Final = 0.23
"""A tremor's phase wanders slowly, or its spectrum would be one sharp line."""


class Course(Protocol):
    """What the hand does in a set. Times are seconds since the guide's start."""

    @property
    def child(self) -> ChildParameters:
        """Whose hand it is."""
        ...

    @property
    def start(self) -> Floats:
        """(k,) when each repetition or sequence begins."""
        ...

    @property
    def peak(self) -> Floats:
        """(k,) when each is farthest; of a sequence, the middle of its last step."""
        ...

    @property
    def end(self) -> Floats:
        """(k,) when each is back."""
        ...

    def angles(self, time: Floats, *, tremor: bool = True) -> Floats:
        """Return (n, JOINTS) true joint angles at (n,) times, with or without the tremor."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """How a child's body colours any course its hand takes."""

    child: ChildParameters
    sway: Floats
    """(7,) offsets of roll, tilt and wave, degrees; phases of their and the tremor's wandering."""
    phases: Floats
    """(8,) of the tremor at the MCP and PIP joints, radians."""

    def moved(self, pose: Floats, time: Floats, *, tremor: bool) -> Floats:
        """Return (n, JOINTS) angles of the hand that is meant to be in (n, JOINTS) `pose`."""
        pose = pose.copy()
        for joint in (MCP, PIP, DIP):
            pose[:, joint] = _pulled(pose[:, joint], self.child.synergy)
        wander = np.sin(2 * np.pi * _SWAY_HZ * time[:, None] + self.sway[3:6])
        pose[:, [ROLL, TILT, WAVE]] += self.sway[:3] + _SWAY_DEG * wander
        if tremor and self.child.tremor_deg:
            drift = _WANDER_RAD * np.sin(2 * np.pi * _WANDER_HZ * time + self.sway[6])
            angle = 2 * np.pi * self.child.tremor_hz * time + drift
            shake = self.child.tremor_deg * np.sin(angle[:, None] + self.phases)
            pose[:, FLEXION][:, :8] += shake * np.repeat([1.0, 0.7], 4)
            pose[:, _THUMB_FLEXION] += shake[:, [0, 4]] * [1.0, 0.7]
        return pose


def draw_body(child: ChildParameters, rng: np.random.Generator) -> Body:
    """Return how the child holds its hand before the camera this time."""
    sway = rng.uniform(-1, 1, 7) * np.array([3.0, 4.0, 2.0, *[np.pi] * 4])
    sway[1] -= 8.0
    return Body(child, sway, np.tile(rng.uniform(-0.6, 0.6, 4), 2))


def draw_cuts(rng: np.random.Generator, shape: tuple[int, ...], count: int) -> Floats:
    """Return (*shape, count) ends of the pushes of movements, shares of their time."""
    widths = rng.uniform(0.75, 1.25, (*shape, count))
    cuts: Floats = np.cumsum(widths / widths.sum(axis=-1, keepdims=True), axis=-1)
    cuts[..., -1] = 1.0
    return cuts


def pushes(u: Floats, cuts: Floats) -> Floats:
    """Return (n,) how far movements are at shares (n,) of their time, made in (n, m) pushes."""
    done, begin = np.zeros_like(u), np.zeros_like(u)
    for k in range(cuts.shape[1]):
        width = cuts[:, k] - begin
        done += width * minimum_jerk((u - begin) / width)
        begin = cuts[:, k]
    return done


def _pulled(flexion: Floats, synergy: float) -> Floats:
    """Neighbours that bend more pull a finger along."""
    padded = np.pad(flexion, ((0, 0), (1, 1)), mode="edge")
    neighbours = (padded[:, :-2] + padded[:, 2:]) / 2
    pulled: Floats = flexion + synergy * np.maximum(neighbours - flexion, 0.0)
    return pulled
