"""How a child's profile and calibrations settle the anchors and the age of a set."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from pydantic import ValidationError

from models.catalog.records import Anchors, MotionDefinition
from models.grading.anchors import HandRole, SettledAnchors, settle_anchors
from models.grading.records import Roles
from models.therapy.records import (
    Calibration,
    Goal,
    Key,
    Side,
    Space,
    TherapyProfile,
    calibration_id,
)

MIN_QUALITY: Final = 0.8
"""Tracking below calibrates nothing."""
LEAST_SPAN: Final = 0.15
"""Anchors nearer to each other than this share of the default ones would score noise."""


@dataclass(frozen=True, slots=True)
class SetAnchors:
    """The anchors of one set, and the names of everything they are from."""

    rest: float
    target: float
    source: str
    """Of the target: `goal`, `baseline` or `norm` for a hand with a part in the therapy; without
    one `calibration` where the rest is the child's own, else `default`."""
    rest_source: str
    """`calibration` or `default`."""
    goal_id: str | None
    calibration_id: str | None
    other_calibration_id: str | None
    """Of the other hand, where a step from the baseline looked at it."""

    def as_dict(self) -> dict[str, Any]:
        """Return the anchors in plain JSON types."""
        return {name: getattr(self, name) for name in self.__slots__}


class Therapy:
    """A child's profile and calibrations as far as they are known."""

    def __init__(
        self, profile: TherapyProfile | None = None, calibrations: Iterable[Calibration] = ()
    ) -> None:
        self.profile = profile
        self._calibrations: dict[Key, Calibration] = {c.key: c for c in calibrations}

    def role(self, side: Side) -> HandRole | None:
        """Return a hand's part in the therapy; None when no hand is known to be affected."""
        affected = self.profile.affected_side if self.profile is not None else None
        if affected is None:
            return None
        return "affected" if affected in (side, "both") else "unaffected"

    def age(self, today: date) -> int | None:
        """Return the child's age in whole years, or None without a birth date."""
        born = self.profile.birth_date if self.profile is not None else None
        if born is None or born > today:
            return None
        return today.year - born.year - ((today.month, today.day) < (born.month, born.day))

    def goal(self, motion: MotionDefinition, side: Side, space: Space) -> Goal | None:
        """Return the therapist's goal, unless it is outside the safe limits of the motion."""
        goals = self.profile.goals if self.profile is not None else ()
        for goal in goals:
            if (goal.motion, goal.side, goal.space) == (motion.id, side, space):
                return goal if motion.accepts_target(space, goal.target) else None
        return None

    def calibration(self, key: Key) -> Calibration | None:
        """Return what the child's own movements calibrated, if they have."""
        return self._calibrations.get(key)

    def anchors(
        self, motion: MotionDefinition, roles: Roles, side: Side, space: Space
    ) -> SetAnchors:
        """Return the anchors of a set that starts now.

        A calibrated rest so near the target that movements could not be told from noise gives
        way to the default rest; a goal as near as that to the default gives way to the norm.
        """
        default = motion.default_anchors(space)
        own = self.calibration((motion.id, motion.version, side, space))
        if own is not None:
            settled = self._settled(motion, roles, side, space, own.rest)
            if _wide(settled, default):
                return settled
        settled = self._settled(motion, roles, side, space, None)
        if _wide(settled, default):
            return settled
        return SetAnchors(default.rest, default.target, "norm", "default", None, None, None)

    def _settled(
        self,
        motion: MotionDefinition,
        roles: Roles,
        side: Side,
        space: Space,
        calibrated_rest: float | None,
    ) -> SetAnchors:
        default = motion.default_anchors(space)
        """Anchors by the rest that is given, the default one if it is None."""
        role, goal = self.role(side), self.goal(motion, side, space)
        rest = default.rest if calibrated_rest is None else calibrated_rest
        other_side: Side = "left" if side == "right" else "right"
        own = self.calibration((motion.id, motion.version, side, space))
        other = self.calibration((motion.id, motion.version, other_side, space))
        if self.role(other_side) != "unaffected":
            other = None
        settled = settle_anchors(
            roles,
            role,
            rest=rest,
            norm=default.target,
            goal=goal.target if goal is not None else None,
            baseline_amplitude=own.amplitude if own is not None else None,
            unaffected_amplitude=other.amplitude if other is not None else None,
        )
        target, source = _within_limits(settled, motion, space), str(settled.source)
        if role is None:
            source = "default" if calibrated_rest is None else "calibration"
        stepped = settled.source == "baseline"
        uses_own = own is not None and (stepped or calibrated_rest is not None)
        return SetAnchors(
            rest=rest,
            target=target,
            source=source,
            rest_source="default" if calibrated_rest is None else "calibration",
            goal_id=goal.id if goal is not None and settled.source == "goal" else None,
            calibration_id=own.id if own is not None and uses_own else None,
            other_calibration_id=other.id if other is not None and stepped else None,
        )

    def learn(self, record: Mapping[str, Any]) -> Calibration | None:
        """Return the calibration a finished set gives, and keep it for the sets to come.

        The first set of a motion, hand and coordinate space whose tracking was good calibrates;
        None for any other set.
        """
        span, quality = record["span"], record["quality"]["q"]
        motion = record["motion"]
        key: Key = (motion["id"], motion["version"], record["side"], record["space"])
        if (
            key in self._calibrations
            or span is None
            or quality is None
            or quality < MIN_QUALITY
            or "chirality_inverted" in record["flags"]
        ):
            return None
        try:
            taken = Calibration(
                id=calibration_id(record["child_id"], key),
                child_id=record["child_id"],
                motion=motion["id"],
                version=motion["version"],
                side=record["side"],
                space=record["space"],
                rest=span["p5"],
                far=span["p95"],
                session_id=record["session_id"],
                set_no=record["set_no"],
                quality=quality,
            )
        except ValidationError:
            return None  # a span that does not rise is no movement
        self._calibrations[key] = taken
        return taken


def _wide(anchors: SetAnchors, default: Anchors) -> bool:
    share = (anchors.target - anchors.rest) / (default.target - default.rest)
    return share >= LEAST_SPAN


def _within_limits(settled: SettledAnchors, motion: MotionDefinition, space: Space) -> float:
    """A step from the baseline may fall short of the lowest plausible target, never beyond."""
    if settled.source != "baseline":
        return settled.target
    limits = motion.target_limits[space]
    return min(max(settled.target, limits.lowest), limits.highest)
