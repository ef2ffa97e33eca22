"""One set of a session: what the server adds at its start, and the record at its end.

Live scoring and re-scoring both come through here, so they cannot differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from models.errors import AppError, ErrorCode
from models.grading.records import GradingModel
from models.grading.rules import session_grade
from models.play.records import Item, calibration_item, record_item
from models.therapy.rules import Therapy
from sessions.catalogue import Catalogue
from sessions.kinematics import HAND_LENGTH_M, PALM_FRACTION, AgeBand, age_band
from sessions.record import play_record
from sessions.scoring.plan import SetPlan, Space
from sessions.symmetry import symmetry


@dataclass(slots=True)
class OpenSet:
    """The set being played."""

    start: dict[str, Any]
    context: dict[str, Any]
    slot: int
    reps: list[dict[str, Any]] = field(default_factory=list)
    """Those told so far."""
    set_no: int = field(init=False)
    """The client's number of the set."""
    full: int = field(init=False, default=0)
    """How many of the repetitions are full, and how many partial."""
    partial: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Go on from the repetitions told before."""
        self.set_no = self.start["set_no"]
        for rep in self.reps:
            self._count(rep)

    def tell(self, rep: dict[str, Any]) -> None:
        """Keep a repetition that is told."""
        self.reps.append(rep)
        self._count(rep)

    def _count(self, rep: Mapping[str, Any]) -> None:
        self.full += rep["class"] == "full"
        self.partial += rep["class"] == "partial"


def settle_context(
    catalogue: Catalogue,
    start: Mapping[str, Any],
    space: Space,
    time_us: int,
    therapy: Therapy | None = None,
) -> dict[str, Any]:
    """Return what the server adds to `set:start`; it is stored with it and fixes the score.

    Args:
        start: the payload of `set:start`.
        space: coordinate space of the session.
        time_us: the server's Unix time, microseconds.
        therapy: what is known of the child's hands; nothing when it is not given.

    Raises:
        AppError: `invalid` when the motion is not in the library.
    """
    entry = catalogue.motion(start["motion"])
    if entry is None:
        raise AppError(
            ErrorCode.INVALID,
            "set:start: `motion` is not in the library; `session:open` answers the list.",
        )
    therapy = therapy or Therapy()
    model, side = entry.model, start["side"]
    anchors = therapy.anchors(entry.definition, model.roles, side, space)
    age = therapy.age(datetime.fromtimestamp(time_us / 1e6, UTC).date())
    return {
        "time_us": time_us,
        "anchors": anchors.as_dict(),
        "goal": anchors.target if anchors.source == "goal" else None,
        "guide_period_us": entry.compiled.period_us,
        "motion": {
            "id": entry.compiled.id,
            "version": entry.compiled.version,
            "sha256": entry.compiled.sha256,
        },
        "model": _named(model),
        "shadow": [_named(other) for other in entry.shadow],
        "age_band": age_band(age) if age is not None else None,
        "role": therapy.role(side),
    }


def _named(model: GradingModel) -> dict[str, Any]:
    return {"id": model.id, "version": model.version, "sha256": model.sha256}


def plan_of(
    catalogue: Catalogue,
    start: Mapping[str, Any],
    context: Mapping[str, Any],
    space: Space,
    fps: float,
) -> SetPlan:
    """Return the scoring plan that a stored `set:start` and its context fix.

    Raises:
        AppError: `not_found` when the library no longer holds the motion as it was.
    """
    entry = catalogue.motion(start["motion"], context["motion"]["version"])
    if entry is None or entry.compiled.sha256 != context["motion"]["sha256"]:
        raise AppError(
            ErrorCode.NOT_FOUND, "The library does not hold the motion this set was played with."
        )
    return SetPlan(
        motion=entry.compiled if space == "world" else entry.image,
        side=start["side"],
        space=space,
        fps=fps,
        guide_t0_us=start["guide_t0_us"],
        guide_period_us=context["guide_period_us"],
        rest=context["anchors"]["rest"],
        target=context["anchors"]["target"],
        palm_mm=_palm_mm(context["age_band"]),
    )


def _palm_mm(band: AgeBand | None) -> float | None:
    """Return the usual length of the palm at an age, mm; None when the age is not known."""
    return None if band is None else 1000.0 * PALM_FRACTION * HAND_LENGTH_M[band]


def start_answer(start: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to `set:start`."""
    return {
        "set_no": start["set_no"],
        "anchors": {key: context["anchors"][key] for key in ("rest", "target", "source")},
        "goal": context["goal"],
        "guide_period_us": context["guide_period_us"],
        "model": {key: context["model"][key] for key in ("id", "version")},
    }


def record_of(
    catalogue: Catalogue,
    opened: Mapping[str, Any],
    start: Mapping[str, Any],
    context: Mapping[str, Any],
    measures: Mapping[str, Any],
    *,
    unfinished: bool,
) -> dict[str, Any]:
    """Return the PlayRecord of a set from its start, its context and what was measured.

    Args:
        opened: the session's document: `_id`, `child_id`, `space`, `fps`.
        measures: what `Batch.close` gave.
        unfinished: the session ended while the set was open.

    Raises:
        AppError: `not_found` when a grading model is not in the library as it was.
    """
    model = _held(catalogue, context["model"])
    record = play_record(
        session_id=opened["_id"],
        set_no=start["set_no"],
        start=start,
        context=context,
        measures=measures,
        model=model,
        shadow=[_held(catalogue, name) for name in context.get("shadow", ())],
        unfinished=unfinished,
    )
    return {
        **record,
        "child_id": opened["child_id"],
        "space": opened["space"],
        "started_us": context["time_us"],
    }


def _held(catalogue: Catalogue, name: Mapping[str, Any]) -> GradingModel:
    model = catalogue.model(name["id"], name["version"])
    if model is None or model.sha256 != name["sha256"]:
        raise AppError(ErrorCode.NOT_FOUND, "The library does not hold this grading model.")
    return model


def result_of(
    opened: Mapping[str, Any],
    records: list[dict[str, Any]],
    closing: Mapping[str, Any] | None,
    *,
    messages: int,
    time_us: int,
) -> dict[str, Any]:
    """Return the TherapyResult of a session from its PlayRecords.

    Args:
        closing: the payload of `session:close`; None for an abandoned session.
        messages: how many numbered messages the session has.
        time_us: the server's Unix time at the seal, microseconds.
    """
    sets = [
        {
            "set_no": record["set_no"],
            "motion": record["motion"]["id"],
            "side": record["side"],
            "asked_reps": record["asked_reps"],
            "reps_full": record["metrics"]["reps_full"],
            "reps_partial": record["metrics"]["reps_partial"],
            "grade": record["grade"],
            "stars": record["stars"],
            "quality": record["quality"]["q"],
            "unfinished": record["unfinished"],
        }
        for record in records
    ]
    said = closing or {}
    return {
        "session_id": opened["_id"],
        "child_id": opened["child_id"],
        "kind": opened["kind"],
        "schedule_id": opened["schedule_id"],
        "sealed": "closed" if closing is not None else "abandoned",
        "reason": said.get("reason"),
        "pain": said.get("pain"),
        "effort": said.get("effort"),
        "note": said.get("note"),
        "opened_us": opened["opened_us"],
        "ended_us": time_us,
        "messages": messages,
        "incomplete": False,
        "sets": sets,
        "totals": {
            "sets": len(sets),
            "reps_full": sum(s["reps_full"] for s in sets),
            "reps_partial": sum(s["reps_partial"] for s in sets),
            "asked_reps": sum(s["asked_reps"] for s in sets),
        },
        "symmetry": symmetry(records),
        "grade": session_grade((s["grade"], s["asked_reps"]) for s in sets),
    }


def kept_of(session_id: str, last: int, record: dict[str, Any], therapy: Therapy) -> list[Item]:
    """Return what is stored of a finished set: its record, and a calibration if it gave one."""
    items = [record_item(session_id, last, record)]
    calibration = therapy.learn(record)
    if calibration is not None:
        document = calibration.model_dump(mode="json", by_alias=True)
        items.append(calibration_item(session_id, last, document))
    return items
