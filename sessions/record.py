"""The PlayRecord of one set: measurements, grade, and the names of everything that made them."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import numpy as np

from config.version import VERSION
from models.canonical import canonical_json
from models.catalog.library import motion_library
from models.grading.records import GradingModel
from models.grading.rules import Grade, grade

_COUNTED: Final = ("full", "partial")
_OWN_PLACE: Final = frozenset(
    {"anchors", "goal", "guide_period_us", "age_band", "model", "motion", "shadow"}
)
"""Keys of the context that stand at the top of the record."""


@cache
def code_version() -> Mapping[str, str]:
    """Return what the bits of a score depend on besides its input.

    float32 functions of numpy differ in the last bit between SIMD levels: equal bytes are
    promised only where all of these agree.
    """
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    levels = [*simd.get("baseline", []), *simd.get("found", [])]
    return {"gemgem": VERSION, "numpy": np.__version__, "simd": " ".join(levels)}


def play_record(
    *,
    session_id: str,
    set_no: int,
    start: Mapping[str, Any],
    context: Mapping[str, Any],
    measures: Mapping[str, Any],
    model: GradingModel,
    unfinished: bool,
    shadow: Sequence[GradingModel] = (),
) -> dict[str, Any]:
    """Return the record of a set in plain JSON types; the same input gives the same record.

    `start` is the payload of `set:start`. `context` is what the server fixed with it: `anchors`
    {rest, target, source}, `goal`, `guide_period_us`, `age_band`, `motion` {id, version, sha256}
    (the newest version where it is not given); anything else in it is kept as it is. `measures`
    is what the scoring returned for the set. `shadow` are models that grade beside `model`, for
    comparison only: their grades stand in `shadow` and count nowhere. `unfinished` marks a set
    that ended with its session instead of by `set:end`.
    """
    kept = {key: value for key, value in context.items() if key not in _OWN_PLACE}
    record: dict[str, Any] = plain(
        {
            "schema": measures["schema"],
            "session_id": session_id,
            "set_no": set_no,
            "motion": context.get("motion") or _newest(start["motion"]),
            "side": start["side"],
            "asked_reps": start.get("asked_reps", 0),
            "asked_hold_s": start.get("asked_hold_s"),
            "difficulty": start.get("difficulty"),
            "guide_t0_us": start["guide_t0_us"],
            "guide_period_us": context["guide_period_us"],
            "anchors": context["anchors"],
            "goal": context.get("goal"),
            "age_band": context.get("age_band"),
            "context": kept,
            "code": code_version(),
            "verdicts": measures["verdicts"],
            "quality": measures["quality"],
            "reps": measures["reps"],
            "metrics": measures["metrics"],
            "rom": measures["rom"],
            "span": measures["span"],
            "duration": measures["duration"],
            "flags": sorted(measures["flags"]),
            "unfinished": unfinished,
        }
    )
    beside = [{k: v for k, v in graded(record, m).items() if k != "explanation"} for m in shadow]
    return record | graded(record, model) | {"shadow": beside}


def graded(record: Mapping[str, Any], model: GradingModel) -> dict[str, Any]:
    """Return the part of a record that a model makes of its measurements.

    Works on a record as stored: `record | graded(record, model)` is the same set under another
    model.
    """
    anchors = record["anchors"]
    result = grade(
        model,
        record["metrics"],
        record["quality"],
        asked_reps=record["asked_reps"] or 0,
        age_band=record["age_band"],
        asked_hold_s=record["asked_hold_s"],
        span=anchors["target"] - anchors["rest"],
        timing_errors=[r["timing_error"] for r in record["reps"] if r["class"] in _COUNTED],
        flags=record["flags"],
    )
    return _as_stored(result, model)


def _as_stored(result: Grade, model: GradingModel) -> dict[str, Any]:
    parts = result.as_dict()
    return {
        "model": {"id": model.id, "version": model.version, "sha256": model.sha256},
        "indicators": parts["indicators"],
        "grade": parts["grade"],
        "grade_reason": parts["reason"],
        "grade_flags": parts["flags"],
        "stars": parts["stars"],
        "explanation": {lang: " ".join(texts) for lang, texts in parts["explanation"].items()},
    }


def canonical(record: Mapping[str, Any]) -> bytes:
    """Return the bytes by which two records are compared.

    They are the same before and after MongoDB: its integers and floats come back as their own
    types, its order of keys does not matter.
    """
    return canonical_json(plain(record))


def plain(value: Any) -> Any:
    """Return a value in JSON's own types, all the way down.

    numpy's scalars and arrays become Python's, tuples lists, aware times ISO text in UTC; a
    number that is not finite is no measurement and becomes null. Raises TypeError for anything
    else, and for a key that is not a string.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"a key of a record is text, not {key!r}")
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain(item) for item in value]
    raise TypeError(f"a record cannot hold {type(value).__name__}")


def _newest(motion_id: str) -> dict[str, Any]:
    motion = motion_library().get(motion_id)
    return {"id": motion.id, "version": motion.version, "sha256": motion.sha256}
