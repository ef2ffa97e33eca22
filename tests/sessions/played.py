"""Simulated sets scored as the server scores them, for tests that hold scores against the truth."""

from collections.abc import Sequence
from typing import Any

from models.grading.library import grading_models
from sessions.frames import decode
from sessions.kinematics import age_band
from sessions.motions import motion_plan
from sessions.record import play_record
from sessions.scoring.batch import Batch
from sessions.scoring.plan import SetPlan, Space
from sessions.synthetic import SimulatedSet


def measured(
    played: Sequence[SimulatedSet], *, space: Space = "world", frames_per_message: int = 6
) -> list[dict[str, Any]]:
    """Measures of sets that are played side by side in one batch."""
    batch, slots, messages = Batch(), [], []
    for one in played:
        anchors = one.motion.default_anchors(space)
        plan = SetPlan(
            motion_plan(one.motion.id), one.side, space, one.child.fps,
            one.guide_t0_us, one.guide_period_us, anchors.rest, anchors.target,
        )  # fmt: skip
        slots.append(batch.open(plan))
        messages.append([decode(m.payload) for m in one.messages(frames_per_message, space)])
    for k in range(max(map(len, messages))):
        batch.step([(s, m[k]) for s, m in zip(slots, messages, strict=True) if k < len(m)])
    return [batch.close(slot) for slot in slots]


def record_of(played: SimulatedSet, measures: dict[str, Any]) -> dict[str, Any]:
    anchors = played.motion.anchors.world
    return play_record(
        session_id="s",
        set_no=1,
        start={
            "set_no": 1,
            "motion": played.motion.id,
            "side": played.side,
            "asked_reps": len(played.reps),
            "asked_hold_s": 3.0 if played.motion.kind == "hold" else None,
            "guide_t0_us": played.guide_t0_us,
        },
        context={
            "anchors": {"rest": anchors.rest, "target": anchors.target, "source": "norm"},
            "guide_period_us": played.guide_period_us,
            "age_band": age_band(played.child.age),
        },
        measures=measures,
        model=grading_models().standard(played.motion.id),
        unfinished=False,
    )
