"""The quantities a grading model may weigh: unit, and why a value can be missing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Quantity:
    """One gradable quantity."""

    unit: str
    """`%`, `ratio` (0 to 1), `Hz`, or `1` for a pure number."""
    missing: str
    """Reason given when the quantity is null."""


QUANTITIES: Final[Mapping[str, Quantity]] = {
    "completeness_med": Quantity("%", "no_repetition"),
    "completion": Quantity("ratio", "nothing_asked"),
    "amplitude": Quantity("%", "no_repetition"),
    "shape_med": Quantity("1", "no_measured_repetition"),
    "sparc_med": Quantity("1", "no_measured_repetition"),
    "on_time": Quantity("ratio", "no_timed_repetition"),
    "rhythm_cv": Quantity("%", "fewer_than_4_repetitions"),
    "rate": Quantity("Hz", "fewer_than_2_repetitions"),
    "fatigue": Quantity("%/rep", "fewer_than_5_repetitions"),
    "hold_share": Quantity("ratio", "no_hold_asked"),
    "steadiness": Quantity("deg", "no_measured_hold"),
    "order_correct": Quantity("ratio", "no_step"),
    "contact_depth": Quantity("%", "no_step"),
}
"""`amplitude` is the median amplitude as a share of the way from rest to target, `hold_share` the
longest hold as a share of the one asked."""
