"""What a tablet's camera and tracker make of a hand: frame times, noise, losses, the picture."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sessions.kinematics import Floats, landmarks
from sessions.synthetic.body import Course
from sessions.synthetic.child import ChildParameters

WIDTH: Final = 640
HEIGHT: Final = 480
_FRAME_JITTER_S: Final = 0.005
_DEPTH_NOISE: Final = 3.0
"""Depth from one camera is this many times as noisy as the place in the picture."""
_RHO: Final = 0.6
"""Correlation of the noise from one frame to the next."""
_DISTANCE_SCALE: Final = 2.4
"""Heights of the picture per metre at the child's distance: a hand fills about a third."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """(n,) frames as the tracker reports them."""

    landmarks: Floats
    """(n, 21, 3) world landmarks, camera axes, metres."""
    absent: NDArray[np.bool_]
    """(n,) frames in which no hand was found."""
    score: NDArray[np.uint8]
    presence: NDArray[np.uint8]
    wrist: Floats
    """(n, 2) place of the wrist in the picture, shares of its width and height."""


def frame_times_us(rng: np.random.Generator, fps: float, seconds: float) -> NDArray[np.int64]:
    """Return (n,) capture times from 0 on, microseconds, strictly rising."""
    n = max(int(seconds * fps) + 1, 1)
    most = min(0.4 / fps, 0.012)
    jitter = np.clip(rng.normal(0.0, _FRAME_JITTER_S, n), -most, most)
    times = np.arange(n) / fps + jitter
    times -= times[0]
    return np.rint(times * 1e6).astype(np.int64)


def take_picture(
    child: ChildParameters, movement: Course, time: Floats, rng: np.random.Generator
) -> Picture:
    """Return what the tracker reports at (n,) times, seconds since the guide's start."""
    n = len(time)
    points = landmarks(movement.angles(time), length=child.hand_length_m, side=child.side)
    points += _noise(rng, n, child.landmark_noise_mm / 1000)
    jumps = rng.random(n) < child.jump_rate
    points[jumps] *= rng.choice([0.5, 1.7], jumps.sum())[:, None, None]
    points[rng.random(n) < child.mirror_error, :, 0] *= -1
    absent = _absences(rng, n, child)
    certain = np.where(absent, rng.integers(0, 90, n), rng.integers(225, 254, n)).astype(np.uint8)
    return Picture(points, absent, certain, certain, _wrist(rng, time, points))


def image_landmarks(points: Floats, wrist: Floats) -> Floats:
    """Return (n, 21, 3) image landmarks: x and z in shares of the width, y of the height."""
    about_wrist: Floats = (points - points[:, :1]) * _DISTANCE_SCALE
    about_wrist[..., [0, 2]] *= HEIGHT / WIDTH
    about_wrist[..., :2] += wrist[:, None]
    return about_wrist


def _noise(rng: np.random.Generator, n: int, sd: float) -> Floats:
    """AR(1) noise of the given stationary deviation, by doubling: sums of powers of rho."""
    noise: Floats = rng.standard_normal((n, 21, 3)) * (sd * np.sqrt(1 - _RHO**2))
    if n:
        noise[0] /= np.sqrt(1 - _RHO**2)
    step, factor = 1, _RHO
    while step < n and factor > 1e-12:
        noise[step:] += factor * noise[:-step]
        step, factor = 2 * step, factor * factor
    noise[..., 2] *= _DEPTH_NOISE
    return noise


def _absences(rng: np.random.Generator, n: int, child: ChildParameters) -> NDArray[np.bool_]:
    absent = np.zeros(n, np.bool_)
    starts = np.flatnonzero(rng.random(n) < child.dropout_rate / child.fps)
    lengths = np.ceil(rng.exponential(child.dropout_s, len(starts)) * child.fps).astype(int)
    for start, length in zip(starts, lengths, strict=True):
        absent[start : start + max(length, 1)] = True
    return absent


def _wrist(rng: np.random.Generator, time: Floats, points: Floats) -> Floats:
    """A hand held up before a tablet drifts about its place in the lower middle."""
    at = np.array([0.5, 0.72]) + rng.uniform(-0.04, 0.04, 2)
    phase = rng.uniform(0, 2 * np.pi, (2, 2))
    slow = 0.025 * np.sin(2 * np.pi * np.outer(time, [0.06, 0.045]) + phase[0])
    quick = 0.006 * np.sin(2 * np.pi * np.outer(time, [0.31, 0.37]) + phase[1])
    sway: Floats = points[:, 0, :2] * [0.15 * HEIGHT / WIDTH, 0.15]
    place: Floats = at + slow + quick + sway
    return place
