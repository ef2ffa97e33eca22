"""Set stage: metrics over the repetitions of a set, range of motion, tracking quality."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median, stdev
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.layout import ANGLE_MIN, JOINTS

ON_TIME_S: Final = 0.3
_ROM_MIN: Final = 60
_CURLED_MIN: Final = 10
_INVERTED_MIN: Final = 30
_INVERTED_BELOW: Final = 0.2
_BONE_CV_MAX: Final = 0.6
SPAN_REPS: Final = 3

CLASSES: Final = ("full", "partial", "rejected", "interrupted")


@dataclass(frozen=True, slots=True)
class Tracking:
    """What a set's frames say of the tracking; times in seconds."""

    accepted: int
    frozen: int
    untimed: int
    """Pictures newer than the last by their counter and not by their clock."""
    fps: float
    duration: float
    in_gaps: float
    """Time in pauses longer than two nominal frames, also before the first and after the last."""
    score_sum: int
    """Of accepted frames, in steps of 1/255."""
    curled: int
    palmar: int
    bone_sum: NDArray[np.float64]
    """(12,) sum of the lengths of the finger bones over accepted frames, in palm lengths."""
    bone_sq: NDArray[np.float64]
    """(12,) sum of their squares."""


@overload
def inverted(curled: int, palmar: int) -> bool: ...
@overload
def inverted(curled: NDArray[np.int64], palmar: NDArray[np.int64]) -> NDArray[np.bool_]: ...
def inverted(curled: Any, palmar: Any) -> Any:
    """Whether the fingers bend to the back of the hand: side or mirroring is told wrongly."""
    return (curled >= _INVERTED_MIN) & (palmar < _INVERTED_BELOW * curled)


def quality(tracking: Tracking) -> dict[str, float | None]:
    """Q and its parts, 0..1; a part that cannot be known is None and left out of Q."""
    n = tracking.accepted
    # A clock that stands still or jumps back tells no time for pictures that were taken.
    expected = max(tracking.duration * tracking.fps + tracking.untimed, 1.0)
    parts: dict[str, float | None] = {
        "q_valid": min((n - tracking.frozen) / expected, 1.0),
        "q_gap": None,
        "q_bone": None,
        "q_chir": 1.0,
        "q_conf": tracking.score_sum / (255.0 * n) if n else None,
    }
    if tracking.duration > 0.0:
        parts["q_gap"] = max(1.0 - tracking.in_gaps / tracking.duration, 0.0)
    if n >= 2:
        mean = tracking.bone_sum / n
        var = np.maximum(tracking.bone_sq - n * mean * mean, 0.0) / (n - 1)
        cv = np.sqrt(var) / np.maximum(mean, 1e-12)
        parts["q_bone"] = 1.0 - min(float(np.median(cv)) / _BONE_CV_MAX, 1.0)
    if tracking.curled >= _CURLED_MIN:
        parts["q_chir"] = tracking.palmar / tracking.curled
    judged = [parts[key] for key in ("q_valid", "q_gap", "q_bone", "q_chir")]
    return {"q": min(part for part in judged if part is not None), **parts}


def metrics(reps: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Metrics of a set from its repetitions, in the order of their peaks.

    Counts are over all of them, everything else over the full and partial ones.
    """
    out: dict[str, Any] = {
        f"reps_{name}" if name in ("full", "partial") else name: sum(
            rep["class"] == name for rep in reps
        )
        for name in CLASSES
    }
    valid = [rep for rep in reps if rep["class"] in ("full", "partial")]
    spaces = [(b["t_us"] - a["t_us"]) / 1e6 for a, b in pairwise(valid)]
    # Holds and sequences have no amplitude.
    moved = [rep for rep in valid if rep["amplitude"] is not None]
    amplitudes = [rep["amplitude"] for rep in moved]
    out["rate"] = len(spaces) / sum(spaces) if spaces else None
    out["rhythm_cv"] = _cv(spaces) if len(valid) >= 4 else None
    out["amplitude_med"] = median(amplitudes) if moved else None
    out["amplitude_cv"] = _cv(amplitudes) if len(moved) >= 3 else None
    out["fatigue"] = None
    if len(moved) >= 5 and out["amplitude_med"]:
        slope = theil_sen([float(rep["rep_no"]) for rep in moved], amplitudes)
        out["fatigue"] = 100.0 * slope / out["amplitude_med"]
    for name, key in (
        ("completeness_med", "completeness"),
        ("duration_med", "duration"),
        ("dwell_med", "dwell"),
        ("peak_speed_med", "peak_speed"),
        ("sparc_med", "sparc"),
        ("ldlj_med", "ldlj"),
        ("shape_med", "shape"),
        ("timing_med", "timing_error"),
    ):
        values = [rep[key] for rep in valid if rep[key] is not None]
        out[name] = median(values) if values else None
    errors = [rep["timing_error"] for rep in valid if rep["timing_error"] is not None]
    out["timing_iqr"] = out["on_time"] = None
    if errors:
        low, high = np.percentile(errors, (25, 75)).tolist()
        out["timing_iqr"] = high - low
        out["on_time"] = sum(abs(error) <= ON_TIME_S for error in errors) / len(errors)
    return out


def _cv(values: Sequence[float]) -> float | None:
    """Sample standard deviation in per cent of the mean."""
    mean = fmean(values)
    return 100.0 * stdev(values) / abs(mean) if mean else None


def theil_sen(x: Sequence[float], y: Sequence[float]) -> float:
    """Median of the slopes of all pairs of points."""
    a, b = np.asarray(x), np.asarray(y)
    i, j = np.triu_indices(len(a), 1)
    return float(np.median((b[j] - b[i]) / (a[j] - a[i])))


def rom(hist: NDArray[np.uint32], frames: int) -> dict[str, float | None]:
    """95th less 5th percentile of each joint's angle, degrees; None for fewer than 60 frames.

    Args:
        hist: (joints, bins) accepted frames by degree.
    """
    if frames < _ROM_MIN:
        return dict.fromkeys((name for name, _ in JOINTS))
    return {
        name: _percentile(row, 0.95) - _percentile(row, 0.05)
        for (name, _), row in zip(JOINTS, hist, strict=True)
    }


def _percentile(row: NDArray[np.uint32], share: float) -> float:
    """Angle under which a share of the frames lies, linear inside a bin."""
    total = np.cumsum(row, dtype=np.int64)
    wanted = share * int(total[-1])
    i = int(np.searchsorted(total, wanted))
    inside = (wanted - float(total[i] - row[i])) / float(row[i])
    return ANGLE_MIN + i + inside


def span(values: Sequence[NDArray[np.float64]]) -> dict[str, float] | None:
    """5th and 95th percentile of x over the first three valid repetitions, for calibration."""
    if len(values) < SPAN_REPS:
        return None
    low, high = np.percentile(np.concatenate(values), (5, 95)).tolist()
    return {"p5": low, "p95": high}
