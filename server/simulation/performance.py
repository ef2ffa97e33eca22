"""What a simulated child will play: sets made beforehand, with their truth, ready to be sent."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from models.catalog.library import motion_library
from sessions.catalogue import catalogue
from sessions.scoring.batch import KINDS
from sessions.scoring.plan import SetPlan, Space
from sessions.synthetic import ChildParameters, SimulatedSet, play_set, sample_child

REPS_A_SET = 8
LEAST_REPS = 2
TAIL_S = 0.25
"""A set cut short goes on for this after its last repetition, so that the fall is seen."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How the children of a run play; what is None varies from child to child."""

    motions: tuple[str, ...] = ("fist",)
    """Ids of motions, played in turn."""
    fps: float = 30.0
    frames_per_message: int = 2
    space: Space = "world"
    rom: float | None = None
    noise_mm: float | None = 1.0
    tremor_deg: float | None = None
    dropout: float = 0.0
    """Runs without a hand that begin per second."""


class Shot(NamedTuple):
    """One frame message of a set."""

    s: float
    """Seconds from the set's first picture to the last one in the message."""
    payload: bytes
    frames: int


@dataclass(frozen=True, slots=True)
class Performance:
    """One set, made beforehand. Its clock starts with its first picture."""

    simulated: SimulatedSet
    manner: Manner

    @property
    def motion(self) -> str:
        """Id of the motion."""
        return self.simulated.motion.id

    @property
    def side(self) -> str:
        """Anatomical side of the hand."""
        return self.simulated.side

    @property
    def asked_reps(self) -> int:
        """How many repetitions the set asks for: those that will be made."""
        return max(1, len(self.simulated.reps))

    @property
    def asked_hold_s(self) -> float | None:
        """How long a hold is asked for: as long as the guide rests in it; None without a hold."""
        motion = self.simulated.motion
        if motion.kind != "hold":
            return None
        legs = motion.guide.legs
        return max(now.seconds for before, now in pairwise(legs) if before.pose == now.pose)

    @property
    def lead_us(self) -> int:
        """From the first picture to the guide's start, microseconds."""
        return self.simulated.guide_t0_us

    @property
    def rep_ends_s(self) -> list[float]:
        """When each true repetition ends."""
        return [rep.end_us / 1e6 for rep in self.simulated.reps]

    def shots(self, t0_us: int, seq0: int) -> Iterator[Shot]:
        """Yield the messages, as if the first picture were taken at device time `t0_us`.

        `seq0` is the camera's counter at that picture.
        """
        manner = self.manner
        messages = self.simulated.messages(
            manner.frames_per_message, manner.space, seq0=seq0, shift_us=t0_us
        )
        for t_us, payload in messages:
            yield Shot((t_us - t0_us) / 1e6, payload, int.from_bytes(payload[4:6], "little"))

    def cut_after(self, s: float) -> float:
        """Return when a set that shall end at `s` may: after the repetition at hand."""
        for rep in self.simulated.reps:
            if rep.start_us / 1e6 <= s < rep.end_us / 1e6 + TAIL_S:
                return rep.end_us / 1e6 + TAIL_S
        return s

    def plan(self, t0_us: int, started: dict[str, Any]) -> SetPlan:
        """Return what fixes the set's score, from the server's answer to `set:start`."""
        entry = catalogue().motion(self.motion)
        if entry is None:
            raise LookupError(f"the motion {self.motion} has left the library")
        return SetPlan(
            motion=entry.image if self.manner.space == "image" else entry.compiled,
            side=self.simulated.side,
            space=self.manner.space,
            fps=self.manner.fps,
            guide_t0_us=t0_us + self.lead_us,
            guide_period_us=started["guide_period_us"],
            rest=started["anchors"]["rest"],
            target=started["anchors"]["target"],
        )


def playable() -> list[str]:
    """Return the ids of the motions that are scored and that a simulated child can make."""
    library = motion_library().latest
    return [name for name in sorted(library) if library[name].kind in KINDS and _tried(name)]


def _tried(motion_id: str) -> bool:
    try:
        play_set(ChildParameters(), motion_library().get(motion_id), reps=1, seed=0)
    except ValueError:
        return False
    return True


def cast(manner: Manner, seed: int) -> ChildParameters:
    """Return who the child of a seed is, within what `manner` fixes."""
    child = sample_child(np.random.default_rng(seed), noise_mm=manner.noise_mm, fps=manner.fps)
    child = replace(child, dropout_rate=manner.dropout)
    if manner.rom is not None:
        child = replace(child, rom=manner.rom)
    if manner.tremor_deg is not None:
        child = replace(child, tremor_deg=manner.tremor_deg)
    return child


def rehearse(
    child: ChildParameters, manner: Manner, seed: int, number: int, left_s: float | None
) -> Performance | None:
    """Make the set that a child plays next; the same for the same arguments.

    Args:
        number: counts the sets of this child from 0; the motions take turns.
        left_s: seconds until the run ends, None for no end. The set holds as many whole
            repetitions as fit; None is returned when not even `LEAST_REPS` do, but a child's
            first set always has those.
    """
    motion_id = manner.motions[(seed + number) % len(manner.motions)]
    entry = catalogue().motion(motion_id)
    if entry is None:
        raise LookupError(f"no motion is called {motion_id}")
    motion, set_seed = entry.definition, seed * 1009 + number
    if left_s is None:
        return Performance(play_set(child, motion, reps=REPS_A_SET, seed=set_seed), manner)
    # Making a set costs 40 ms, so it is not made to see that it does not fit.
    rep_s = motion.guide.period_us / 1e6 / child.tempo
    reps = min(REPS_A_SET, int(left_s / rep_s) + 1)
    while reps >= LEAST_REPS:
        simulated = play_set(child, motion, reps=reps, seed=set_seed)
        fitting = sum(rep.end_us / 1e6 <= left_s for rep in simulated.reps)
        if fitting >= reps:
            return Performance(simulated, manner)
        reps = fitting
    if number:
        return None
    return Performance(play_set(child, motion, reps=LEAST_REPS, seed=set_seed), manner)
