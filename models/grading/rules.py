"""From measurements to a grade: pure arithmetic in float64, recomputable from a stored record."""

import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from models.grading.explanation import explain
from models.grading.indicators import QUANTITIES
from models.grading.records import AgeFactors, GradingModel, Indicator, Knot

MIN_QUALITY: Final = 0.6
"""Below, the camera saw too little to grade."""
GOOD_QUALITY: Final = 0.8
"""Below, a grade is flagged `low_quality`."""

Metrics = Mapping[str, float | int | None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the child was asked for: repetitions or sequences, and the length of a hold."""

    reps: int
    hold_s: float | None


@dataclass(frozen=True, slots=True)
class IndicatorScore:
    """One indicator of a grade; `score` is null with a `reason`, never 0 for a missing value."""

    key: str
    raw: float | None
    unit: str
    score: float | None
    weight: float
    reason: str | None

    @property
    def lost(self) -> float:
        """Points of the grade this indicator took away."""
        return 0.0 if self.score is None else self.weight * (100.0 - self.score)


@dataclass(frozen=True, slots=True)
class Grade:
    """The interpretation of one set's measurements by one model."""

    grade: float | None
    """0 to 100 with one decimal; null with a `reason`."""
    reason: str | None
    flags: tuple[str, ...]
    """`low_quality`, `age_unknown`."""
    stars: int
    """0 to 3, a reward: never part of a trend or a report."""
    indicators: tuple[IndicatorScore, ...]
    explanation: Mapping[str, tuple[str, ...]]
    """Fixed sentences for a guardian by language, `ko` and `en`."""

    def as_dict(self) -> dict[str, Any]:
        """Return the grade in plain JSON types."""
        return {
            "grade": self.grade,
            "reason": self.reason,
            "flags": list(self.flags),
            "stars": self.stars,
            "indicators": [
                {
                    "key": part.key,
                    "raw": part.raw,
                    "unit": part.unit,
                    "score": part.score,
                    "weight": part.weight,
                    "reason": part.reason,
                }
                for part in self.indicators
            ],
            "explanation": {lang: list(texts) for lang, texts in self.explanation.items()},
        }


def grade(
    model: GradingModel,
    metrics: Metrics,
    quality: Metrics,
    *,
    asked_reps: int,
    age_band: str | None,
    asked_hold_s: float | None = None,
    span: float | None = None,
    timing_errors: Sequence[float | None] | None = None,
    flags: Collection[str] = (),
) -> Grade:
    """Grade one set.

    `metrics` are the set's (keys of the set stage: `reps_full`, `completeness_med`, ...),
    `quality` its quality with `q`; a key that is absent counts as null. `age_band` is null when
    no birth date is known. `asked_hold_s` is the hold asked, each of `asked_reps` times or once
    where none are; without it `hold_share` is null. `span` is x_target - x_rest in the unit of
    the primary signal; without it `amplitude` is null. `timing_errors` are those of the counted
    repetitions, seconds: with them `on_time` follows the model's window for the age, without
    them the metric is taken as it is. `flags` are those of the measurement;
    `chirality_inverted` leaves the set ungraded.
    """
    known = model.age_bands.get(age_band) if age_band is not None else None
    factors = known or AgeFactors()
    asked = Asked(asked_reps, asked_hold_s)
    raws = _raw_values(model, metrics, factors, asked, span, timing_errors)
    inverted = "chirality_inverted" in flags
    parts = tuple(
        _score(indicator, raws[indicator.key], factors, inverted) for indicator in model.indicators
    )
    q = _value(quality, "q")
    done = _attempted(metrics)
    value, reason = _total(model, parts, q, done, inverted)
    notes = []
    if value is not None and q is not None and q < GOOD_QUALITY:
        notes.append("low_quality")
    if known is None:
        notes.append("age_unknown")
    attempt = done and q is not None and q >= MIN_QUALITY
    lost = [(part.key, part.lost) for part in parts]
    return Grade(
        value, reason, tuple(notes), _stars(model, attempt, value), parts, explain(reason, lost)
    )


def session_grade(sets: Iterable[tuple[float | None, int]]) -> float | None:
    """Return the grade of a session from its sets' (grade, asked repetitions), or null.

    The mean of the grades that are not null, weighted by asked repetitions; a set that asks for
    none, such as a hold, counts 1.
    """
    weighed = [(value, max(asked, 1)) for value, asked in sets if value is not None]
    if not weighed:
        return None
    total = math.fsum(value * weight for value, weight in weighed)
    return half_up(total / sum(weight for _, weight in weighed))


def half_up(value: float) -> float:
    """Round to one decimal, halves up."""
    return math.floor(value * 10.0 + 0.5) / 10.0


def _raw_values(
    model: GradingModel,
    metrics: Metrics,
    factors: AgeFactors,
    asked: Asked,
    span: float | None,
    timing_errors: Sequence[float | None] | None,
) -> dict[str, float | None]:
    raws = {indicator.key: _value(metrics, indicator.key) for indicator in model.indicators}
    raws["completion"] = completion(metrics, asked)
    longest = _value(metrics, "hold_time")
    raws["hold_share"] = longest / asked.hold_s if longest is not None and asked.hold_s else None
    amplitude = _value(metrics, "amplitude_med")
    if amplitude is None or not span:
        raws["amplitude"] = None
    else:
        raws["amplitude"] = 100.0 * amplitude / abs(span)
    if timing_errors is not None:
        window = model.timing_window_s * factors.timing
        near = [abs(error) <= window for error in timing_errors if error is not None]
        raws["on_time"] = sum(near) / len(near) if near else None
    return raws


def completion(metrics: Metrics, asked: Asked) -> float | None:
    """Return the share done of what was asked: of repetitions, sequences, or seconds held."""
    held, sequences = _value(metrics, "hold_total"), _value(metrics, "sequences")
    if held is not None:
        wanted = (asked.hold_s or 0.0) * max(asked.reps, 1)
        done = held
    elif sequences is not None:
        wanted, done = float(asked.reps), sequences
    else:
        wanted = float(asked.reps)
        done = _count(metrics, "reps_full") + 0.5 * _count(metrics, "reps_partial")
    return min(done / wanted, 1.0) if wanted > 0 else None


def _attempted(metrics: Metrics) -> bool:
    """Tell whether anything was done: a repetition, a step of a sequence, a moment of hold."""
    counted = ("reps_full", "reps_partial", "steps", "hold_total")
    return any((_value(metrics, key) or 0.0) > 0.0 for key in counted)


def _score(
    indicator: Indicator, raw: float | None, factors: AgeFactors, inverted: bool
) -> IndicatorScore:
    quantity = QUANTITIES[indicator.key]
    score, reason = None, None
    if inverted:
        reason = "chirality_inverted"
    elif raw is None:
        reason = quantity.missing
    else:
        score = interpolate(_for_age(indicator, factors), raw)
    return IndicatorScore(indicator.key, raw, quantity.unit, score, indicator.weight, reason)


def _for_age(indicator: Indicator, factors: AgeFactors) -> Sequence[Knot]:
    if indicator.key == "rate":
        return [(x * factors.rate, y) for x, y in indicator.knots]
    if indicator.key == "sparc_med":
        return [(x + factors.sparc, y) for x, y in indicator.knots]
    return indicator.knots


def interpolate(knots: Sequence[Knot], x: float) -> float:
    """Return the points at `x`: piecewise linear through knots in either order, clamped."""
    if knots[0][0] > knots[-1][0]:
        knots = knots[::-1]
    if x <= knots[0][0]:
        return knots[0][1]
    for (x0, y0), (x1, y1) in itertools.pairwise(knots):
        if x < x1:
            # Clipped to its ends, lest rounding leave the segment and break monotony.
            between = y0 + (y1 - y0) * ((x - x0) / (x1 - x0))
            return min(max(between, min(y0, y1)), max(y0, y1))
    return knots[-1][1]


def _total(
    model: GradingModel,
    parts: Sequence[IndicatorScore],
    q: float | None,
    done: bool,
    inverted: bool,
) -> tuple[float | None, str | None]:
    if inverted:
        return None, "chirality_inverted"
    if q is None or q < MIN_QUALITY:
        return None, "insufficient_tracking"
    if not done:
        return 0.0, "no_repetition"
    scored = [(part.weight, part.score) for part in parts if part.score is not None]
    available = math.fsum(weight for weight, _ in scored)
    # Weights are decimals: 0.35 + 0.25 must count as 0.6.
    if available < model.min_available_weight - 1e-9:
        return None, "min_available_weight"
    return half_up(math.fsum(weight * score for weight, score in scored) / available), None


def _stars(model: GradingModel, attempt: bool, value: float | None) -> int:
    if not attempt:
        return 0
    two, three = model.stars[1][1], model.stars[2][1]
    if value is None or value < two:
        return 1
    return 3 if value >= three else 2


def _value(values: Metrics, key: str) -> float | None:
    value = values.get(key)
    if value is None or not math.isfinite(value):
        return None
    return float(value)


def _count(metrics: Metrics, key: str) -> int:
    return int(metrics.get(key) or 0)
