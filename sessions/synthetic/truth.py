"""What a simulated child really did: repetitions, steps, holds and tremor, without the camera."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.catalog.records import MotionDefinition, OppositionSignal
from sessions.kinematics import Floats, hand_points, landmarks
from sessions.motions import signal_of
from sessions.scoring.features import features_of
from sessions.synthetic.body import Course
from sessions.synthetic.sequence import SequenceMovement

_FINE_HZ: Final = 240.0
_OPP: Final = slice(31, 35)


@dataclass(frozen=True, slots=True)
class TrueRep:
    """One repetition as it really was; times on the device's clock, microseconds."""

    start_us: int
    peak_us: int
    end_us: int
    x_start: float
    """Primary signal at the valley before, the peak, and the valley after, without noise."""
    x_peak: float
    x_end: float
    full: bool
    """Whether it reaches the motion's default target in world space."""

    @property
    def amplitude(self) -> float:
        """Peak beyond the mean of the two valleys, in the unit of the signal."""
        return abs(self.x_peak - (self.x_start + self.x_end) / 2)


@dataclass(frozen=True, slots=True)
class TrueStep:
    """One step of a sequence that was really reached."""

    t_us: int
    step: int
    """The finger touched, or the number of fingers out."""


@dataclass(frozen=True, slots=True)
class TrueHold:
    """One stay in the target, by the motion's default anchors in world space."""

    start_us: int
    end_us: int

    @property
    def seconds(self) -> float:
        """Length, seconds."""
        return (self.end_us - self.start_us) / 1e6


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything a set's score can be held against."""

    reps: tuple[TrueRep, ...]
    steps: tuple[TrueStep, ...] = ()
    sequences: int = 0
    """Sequences completed in the order asked."""
    sequence_errors: int = 0
    """Steps that were not the next one."""
    holds: tuple[TrueHold, ...] = ()
    tremor_hz: float | None = None
    tremor_rms: float | None = None
    """Of the tips the motion watches, over the longest hold; mm, all three axes together."""

    @property
    def hold_time(self) -> float:
        """The longest hold, seconds."""
        return max((hold.seconds for hold in self.holds), default=0.0)

    @property
    def hold_total(self) -> float:
        """All holds together, seconds."""
        return sum(hold.seconds for hold in self.holds)


def truth_of(course: Course, motion: MotionDefinition, guide_t0_us: int) -> Truth:
    """Return the truth of a set; `guide_t0_us` is when its times begin on the device's clock."""
    reps = _reps(course, motion, guide_t0_us)
    if isinstance(course, SequenceMovement):
        steps = _steps(course, motion, guide_t0_us)
        sequences, errors = _in_order(steps, course.played.shape[1], motion)
        return Truth(reps, steps, sequences, errors)
    if motion.kind != "hold":
        return Truth(reps)
    holds = _holds(course, motion, guide_t0_us)
    longest = max(holds, key=lambda hold: hold.seconds, default=None)
    if longest is None or not course.child.tremor_deg:
        return Truth(reps, holds=holds)
    rms = _tremor_rms(course, motion, longest, guide_t0_us)
    return Truth(reps, holds=holds, tremor_hz=course.child.tremor_hz, tremor_rms=rms)


def _features(course: Course, time: Floats) -> Floats:
    angles = course.angles(time, tremor=False)
    points = landmarks(angles, length=course.child.hand_length_m)
    return features_of(points, side="right").astype(np.float64, copy=False)


def _reps(course: Course, motion: MotionDefinition, guide_t0_us: int) -> tuple[TrueRep, ...]:
    if not len(course.start):
        return ()
    times = np.stack([course.start, course.peak, course.end], axis=1)
    signal = signal_of(motion, _features(course, times.ravel())).reshape(-1, 3)
    anchors = motion.anchors.world
    reached = (signal[:, 1] - anchors.rest) / (anchors.target - anchors.rest)
    device = _device(times, guide_t0_us)
    return tuple(
        TrueRep(
            start_us=int(when[0]),
            peak_us=int(when[1]),
            end_us=int(when[2]),
            x_start=float(xs[0]),
            x_peak=float(xs[1]),
            x_end=float(xs[2]),
            full=bool(z >= motion.detector.full_at),
        )
        for when, xs, z in zip(device, signal, reached, strict=True)
    )


def _steps(
    course: SequenceMovement, motion: MotionDefinition, guide_t0_us: int
) -> tuple[TrueStep, ...]:
    """Look at the middle of every stay whether its step is reached."""
    times = course.at[:, :-1].ravel()
    if not len(times):
        return ()
    features = _features(course, times)
    signal = motion.signal
    if isinstance(signal, OppositionSignal):
        distance = features[:, _OPP]
        step = np.where(distance.min(axis=1) < signal.contact, distance.argmin(axis=1), -1)
    else:
        out = signal_of(motion, features).astype(int).reshape(len(course.start), -1)
        # A finger that did not come out is no step; nor is the number that was there before.
        before = np.pad(out[:, :-1], ((0, 0), (1, 0)))
        step = np.where(out != before, out, -1).ravel()
    device = _device(times, guide_t0_us)
    return tuple(TrueStep(int(at), int(n)) for at, n in zip(device, step, strict=True) if n >= 0)


def _in_order(
    steps: tuple[TrueStep, ...], length: int, motion: MotionDefinition
) -> tuple[int, int]:
    """Return how many sequences were completed and how many steps came out of order."""
    order = getattr(motion.signal, "order", tuple(range(length)))
    done = errors = due = 0
    for step in steps:
        if step.step == order[due]:
            due += 1
        else:
            errors += 1
            due = int(step.step == order[0])
        if due == len(order):
            done, due = done + 1, 0
    return done, errors


def _holds(course: Course, motion: MotionDefinition, guide_t0_us: int) -> tuple[TrueHold, ...]:
    if not len(course.end):
        return ()
    time = np.arange(0.0, float(course.end[-1]) + 1.0, 1 / _FINE_HZ)
    anchors, detector = motion.anchors.world, motion.detector
    x = signal_of(motion, _features(course, time))
    z = (x - anchors.rest) / (anchors.target - anchors.rest)
    holds, inside, begun = [], False, 0
    for i, level in enumerate(z.tolist()):
        if not inside and level >= detector.hold_in:
            inside, begun = True, i
        elif inside and level < detector.hold_out:
            inside = False
            device = _device(time[[begun, i]], guide_t0_us)
            holds.append(TrueHold(int(device[0]), int(device[1])))
    return tuple(holds)


def _tremor_rms(
    course: Course, motion: MotionDefinition, hold: TrueHold, guide_t0_us: int
) -> float:
    begin, end = (hold.start_us - guide_t0_us) / 1e6, (hold.end_us - guide_t0_us) / 1e6
    time = np.arange(begin, end, 1 / _FINE_HZ)
    shaken, still = (
        _palm_mm(course, time, tremor=tremor)[:, list(motion.tremor_tips)]
        for tremor in (True, False)
    )
    away = shaken - still
    away -= away.mean(axis=0)
    return float(np.sqrt((away**2).sum(axis=-1).mean()))


def _palm_mm(course: Course, time: Floats, *, tremor: bool) -> Floats:
    points = hand_points(course.angles(time, tremor=tremor), course.child.hand_length_m)
    # In the palm's own axes a hand that only shakes its fingers moves nothing else.
    return 1000.0 * points


def _device(times: Floats, guide_t0_us: int) -> NDArray[np.int64]:
    return guide_t0_us + np.rint(times * 1e6).astype(np.int64)
