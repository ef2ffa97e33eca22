"""Sets, plans and messages for the tests of the scoring."""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.catalog.library import motion_library
from sessions.frames import REC, SIDES, FrameMessage, decode, encode, quantised
from sessions.motions import motion_plan
from sessions.scoring.batch import Batch
from sessions.scoring.intake import Columns
from sessions.scoring.marks import Mark, Peak
from sessions.scoring.plan import SetPlan, Side, Space
from sessions.synthetic import ChildParameters, play_set

ANCHORS = {
    "fist": (7.0, 248.0),
    "spread": (12.0, 46.0),
    "tap": (-37.0, -1.0),
    "turn": (0.0, 140.0),
    "wave": (-25.0, 25.0),
}
STEPS = {"oppose": (1.2, 0.25), "count": (0.0, 4.0)}
HOLDS = {"pinch": (-1.2, -0.2), "thumbup": (0.0, 0.6), "scissors": (0.0, 0.6)}
FRAME_US = 33_333
MOTIONS = (*ANCHORS, *STEPS, *HOLDS)


def plan(motion: str = "fist", **changes: Any) -> SetPlan:
    """A set of a motion with the anchors of the kinematic hand."""
    compiled = motion_plan(motion)
    rest, target = (ANCHORS | STEPS | HOLDS)[motion]
    fields: dict[str, Any] = {
        "motion": compiled,
        "side": "right",
        "space": "world",
        "fps": 30.0,
        "guide_t0_us": 0,
        "guide_period_us": compiled.period_us,
        "rest": rest,
        "target": target,
    }
    return SetPlan(**fields | changes)


def played(
    motion: str = "fist",
    *,
    seed: int = 1,
    reps: int = 3,
    space: Space = "world",
    hold_s: float | None = None,
    **child: Any,
) -> NDArray[np.void]:
    """Records of a simulated set, `dt` from time 0."""
    options = {"landmark_noise_mm": 0.5} | child
    definition = motion_library().get(motion)
    made = play_set(ChildParameters(**options), definition, reps=reps, seed=seed, hold_s=hold_s)
    return made.records(space)


def message(records: NDArray[np.void], *, t0: int = 0, seq0: int = 0, **head: Any) -> FrameMessage:
    """Records as they come out of the codec."""
    fields = {"space": "world", "width": 640, "height": 480} | head
    payload = encode(fields["space"], t0, seq0, fields["width"], fields["height"], records)
    return decode(payload)


def cut(records: NDArray[np.void], sizes: Iterable[int], **head: Any) -> list[FrameMessage]:
    """Records as consecutive messages of the given sizes, what is left in one of 32 each."""
    out, at = [], 0
    sizes = iter(sizes)
    while at < len(records):
        size = next(sizes, 32)
        out.append(message(records[at : at + size], **head))
        at += size
    return out


def score(plan: SetPlan, messages: Sequence[FrameMessage]) -> tuple[list[Mark], dict[str, Any]]:
    """Marks and result of a set alone in its batch, one message a tick."""
    batch = Batch(1)
    slot = batch.open(plan)
    marks = [mark for one in messages for mark in batch.step([(slot, one)])]
    return marks, batch.close(slot)


def still(
    n: int, *, side: Side = "right", score: int = 255, jitter: float = 1e-4, seed: int = 0
) -> NDArray[np.void]:
    """Records of an open hand that trembles a little: no two are equal."""
    one = played(reps=0, landmark_noise_mm=0.0)[0]["lm"].astype(np.float64) * 1e-5
    rng = np.random.default_rng(seed)
    out = np.zeros(n, REC)
    out["dt"] = np.arange(n) * FRAME_US
    out["dseq"] = np.arange(n)
    out["side"] = SIDES.index(side)
    out["score"] = score
    out["lm"] = quantised(one + rng.normal(0.0, jitter, (n, 21, 3)), "world")
    return out


def columns(
    lm: NDArray[np.float32], *, slot: int = 0, score: int = 255, first: int = 0, aspect: float = 1.0
) -> Columns:
    """Float landmarks (n, 21, 3) of a right hand as records 33 ms apart."""
    n = len(lm)
    count = np.arange(first, first + n)
    return Columns(
        work=np.zeros(n, np.intp),
        slot=np.full(n, slot, np.intp),
        t_us=count * FRAME_US,
        counter=count,
        side=np.full(n, SIDES.index("right"), np.uint8),
        flags=np.zeros(n, np.uint8),
        score=np.full(n, score, np.uint8),
        unit=np.ones(n),
        aspect=np.full(n, aspect),
        lm=lm,
    )


@cache
def spoilt(motion: str) -> NDArray[np.void]:
    """Two repetitions with noise, dropouts and jumps."""
    child = {"dropout_rate": 0.3, "jump_rate": 0.02, "landmark_noise_mm": 1.0}
    if motion in ANCHORS:
        return played(motion, reps=2, seed=4, **child)
    return played(motion, reps=2, seed=4, hold_s=2.5, rom=1.0, **child)


@cache
def alone(motion: str) -> tuple[list[Any], str]:
    marks, result = score(plan(motion), cut(spoilt(motion), [1] * 2000))
    return [facts(mark) for mark in marks], json.dumps(result, allow_nan=False)


def facts(mark: Mark) -> Any:
    if isinstance(mark, Peak):
        return "peak", mark.rep_no, mark.t_us, mark.z, mark.step, mark.in_order
    return "rep", mark.rep_no, mark.cls, json.dumps(mark.values)
