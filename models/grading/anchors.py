"""Which target a hand is measured against: the therapist's goal, the norm, or a step from here."""

from dataclasses import dataclass
from typing import Final, Literal

from models.grading.records import Roles

BASELINE_STEP: Final = 1.15
"""Without a goal an affected hand is asked for this much of its own amplitude."""
OTHER_HAND_SHARE: Final = 0.8
"""Or for this much of the other hand's, if that is more."""

HandRole = Literal["affected", "unaffected"]
TargetSource = Literal["norm", "goal", "baseline"]


@dataclass(frozen=True, slots=True)
class SettledAnchors:
    """The two values of the primary signal that are z = 0 and z = 1, and where z = 1 is from."""

    rest: float
    target: float
    source: TargetSource


def settle_anchors(
    roles: Roles,
    role: HandRole | None,
    *,
    rest: float,
    norm: float,
    goal: float | None = None,
    baseline_amplitude: float | None = None,
    unaffected_amplitude: float | None = None,
) -> SettledAnchors:
    """Return the anchors of a set for a hand's part in the therapy, null when it has none.

    `roles` are the grading model's. `rest` is the calibrated or default rest, `norm` the motion's
    default target in the space in use, all in the unit of the primary signal; amplitudes count
    from the rest. A step from the baseline never asks for more than the norm.
    """
    if role is None or getattr(roles, role).anchor == "norm":
        return SettledAnchors(rest, norm, "norm")
    if goal is not None:
        return SettledAnchors(rest, goal, "goal")
    if baseline_amplitude is None:
        return SettledAnchors(rest, norm, "norm")
    step = BASELINE_STEP * baseline_amplitude
    if unaffected_amplitude is not None:
        step = max(step, OTHER_HAND_SHARE * unaffected_amplitude)
    if rest + step >= norm:
        return SettledAnchors(rest, norm, "norm")
    return SettledAnchors(rest, rest + step, "baseline")
