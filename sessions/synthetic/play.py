"""A simulated child plays: sets of frames with their true repetitions, and their messages."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.catalog.records import MotionDefinition
from sessions.frames import NO_HAND, REC, SIDES, encode, quantised
from sessions.kinematics import Floats
from sessions.scoring.plan import Side, Space
from sessions.synthetic.body import Course
from sessions.synthetic.camera import (
    HEIGHT,
    WIDTH,
    frame_times_us,
    image_landmarks,
    take_picture,
)
from sessions.synthetic.child import ChildParameters
from sessions.synthetic.movement import REST_S, plan_movement
from sessions.synthetic.sequence import plan_sequence
from sessions.synthetic.truth import TrueRep, Truth, truth_of

_WRIST_UNIT = 1 / 16384


class TimedMessage(NamedTuple):
    """A binary frame message, and the device time at which its last picture was taken."""

    t_us: int
    payload: bytes


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedSet:
    """One set of (n,) frames with its truth."""

    motion: MotionDefinition
    child: ChildParameters
    seed: int
    guide_t0_us: int
    guide_period_us: int
    t_us: NDArray[np.int64]
    """(n,) capture times on the device's clock, microseconds."""
    landmarks: Floats
    """(n, 21, 3) world landmarks as tracked, camera axes, metres."""
    absent: NDArray[np.bool_]
    score: NDArray[np.uint8]
    presence: NDArray[np.uint8]
    wrist: Floats
    angles: Floats
    """(n, JOINTS) true joint angles, degrees, tremor included."""
    truth: Truth

    @property
    def reps(self) -> tuple[TrueRep, ...]:
        """The repetitions, or the sequences gone through, as they really were."""
        return self.truth.reps

    @property
    def side(self) -> Side:
        """Anatomical side of the hand."""
        return self.child.side

    @property
    def end_us(self) -> int:
        """Capture time of the last frame."""
        return int(self.t_us[-1])

    def image_landmarks(self) -> Floats:
        """Return (n, 21, 3) image landmarks: x and z in shares of the width, y of the height."""
        return image_landmarks(self.landmarks, self.wrist)

    def records(self, space: Space = "world") -> NDArray[np.void]:
        """Return (n,) records of the binary message; `dt` and `dseq` count from the set's start."""
        records = np.zeros(len(self.t_us), REC)
        points = self.landmarks if space == "world" else self.image_landmarks()
        records["dt"] = self.t_us - self.t_us[0]
        records["dseq"] = np.arange(len(self.t_us))
        records["side"] = SIDES.index(self.side)
        records["flags"] = np.where(self.absent, NO_HAND, 0)
        records["score"], records["presence"] = self.score, self.presence
        records["wrist"] = np.rint(self.wrist / _WRIST_UNIT)
        records["lm"] = quantised(points, space)
        records["lm"][self.absent] = 0
        return records

    def messages(
        self,
        frames_per_message: int = 2,
        space: Space = "world",
        *,
        seq0: int = 0,
        shift_us: int = 0,
    ) -> list[TimedMessage]:
        """Return the set as binary frame messages in order.

        `seq0` is the camera's counter at the first frame, `shift_us` moves all times, so that a
        set made beforehand can be played now.
        """
        records = self.records(space)
        counter = np.arange(len(records))
        first = counter - counter % frames_per_message
        records["dt"] = self.t_us - self.t_us[first]
        records["dseq"] = counter - first
        messages = []
        for at in range(0, len(records), frames_per_message):
            part = records[at : at + frames_per_message]
            t0 = int(self.t_us[at]) + shift_us
            payload = encode(space, t0, (seq0 + at) % 2**32, WIDTH, HEIGHT, part)
            messages.append(TimedMessage(t0 + int(part["dt"][-1]), payload))
        return messages


def play_set(
    child: ChildParameters,
    motion: MotionDefinition,
    *,
    reps: int | None = None,
    seconds: float | None = None,
    hold_s: float | None = None,
    t0_us: int = 0,
    guide_t0_us: int | None = None,
    guide_period_us: int | None = None,
    seed: int,
) -> SimulatedSet:
    """Play one set, the same for the same arguments to the last bit.

    Either `reps` repetitions, or as many whole ones as `seconds` from the first frame on allow.
    The first frame is taken at `t0_us`; the guide starts at `guide_t0_us`, by default 0.3 s
    later. A hold is kept for `hold_s`, by default as long as the guide's at the child's pace. The
    set ends with a short rest after its last repetition.

    Raises ValueError unless exactly one of `reps` and `seconds` is given, and for a motion whose
    guide no child can follow.
    """
    if (reps is None) == (seconds is None):
        raise ValueError("give either reps or seconds")
    guide_t0_us = t0_us + 300_000 if guide_t0_us is None else guide_t0_us
    guide_period_us = motion.guide.period_us if guide_period_us is None else guide_period_us
    lead_s = (guide_t0_us - t0_us) / 1e6
    rng = np.random.default_rng([seed, motion.version, *motion.id.encode()])
    asked: dict[str, Any] = {
        "reps": reps,
        "seconds": None if seconds is None else seconds - lead_s,
        "period_s": guide_period_us / 1e6,
    }
    movement: Course
    if motion.kind == "sequence":
        movement = plan_sequence(child, motion, rng, **asked)
    else:
        movement = plan_movement(child, motion, rng, **asked, hold_s=hold_s)
    last = float(movement.end[-1]) if len(movement.end) else 0.0
    t_us = t0_us + frame_times_us(rng, child.fps, lead_s + last + REST_S)
    time = (t_us - guide_t0_us) / 1e6
    picture = take_picture(child, movement, time, rng)
    return SimulatedSet(
        motion=motion,
        child=child,
        seed=seed,
        guide_t0_us=guide_t0_us,
        guide_period_us=guide_period_us,
        t_us=t_us,
        landmarks=picture.landmarks,
        absent=picture.absent,
        score=picture.score,
        presence=picture.presence,
        wrist=picture.wrist,
        angles=movement.angles(time),
        truth=truth_of(movement, motion, guide_t0_us),
    )


def stream(
    child: ChildParameters,
    motion: MotionDefinition,
    *,
    reps: int = 10,
    pause_s: float = 2.0,
    t0_us: int = 0,
    guide_period_us: int | None = None,
    seed: int,
) -> Iterator[SimulatedSet]:
    """Play set after set without end, with a pause between; every set has a seed of its own."""
    number = 0
    while True:
        played = play_set(
            child,
            motion,
            reps=reps,
            t0_us=t0_us,
            guide_period_us=guide_period_us,
            seed=seed + number * 1_000_003,
        )
        yield played
        t0_us = played.end_us + round(pause_s * 1e6)
        number += 1
