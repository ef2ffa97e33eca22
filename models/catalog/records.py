"""What a motion is: the definition every set, guide and grade of it refers to."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from models.canonical import sha256
from models.catalog.features import FEATURE_INDEX, is_distance

Space = Literal["world", "image"]
Kind = Literal["reps", "tap", "hold", "sequence"]


def _known_feature(name: str) -> str:
    if name not in FEATURE_INDEX:
        raise ValueError(f"no feature is called {name!r}")
    return name


FeatureName = Annotated[str, AfterValidator(_known_feature)]
Degrees = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Fingers = tuple[Degrees, Degrees, Degrees, Degrees]
"""Index, middle, ring, little."""
Number = Annotated[float, Field(allow_inf_nan=False)]


class Definition(BaseModel):
    """Base of catalogue data: frozen, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Text(Definition):
    """The same words in the two languages of the product."""

    ko: str = Field(min_length=1)
    en: str = Field(min_length=1)


class LinearSignal(Definition):
    """A primary signal that is a weighted sum of features; `roll` enters unwrapped."""

    form: Literal["linear"]
    unit: Literal["deg", "palm"]
    weights: dict[FeatureName, Number] = Field(min_length=1)


class OppositionSignal(Definition):
    """The distance from the thumb's tip to the nearest other tip: it falls to a contact."""

    form: Literal["opposition"]
    unit: Literal["palm"]
    contact: float = Field(gt=0, lt=1)
    """The thumb touches a finger below this distance, palm lengths."""
    release: float = Field(gt=0, lt=2)
    """And has let go of it above this."""
    order: tuple[Annotated[int, Field(ge=0, le=3)], ...] = Field(min_length=2)
    """Fingers in the order asked: 0 index .. 3 little."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.release <= self.contact:
            raise ValueError("release must be above contact")
        return self


class CountSignal(Definition):
    """The number of fingers held out, 0 to 4: those whose `tam` is below 90 degrees."""

    form: Literal["count"]
    unit: Literal["fingers"]
    order: tuple[Annotated[int, Field(ge=1, le=4)], ...] = Field(min_length=2)
    """Numbers of fingers out in the order asked."""


class PoseSignal(Definition):
    """The likeness to a posture, 0 to 1: exp(-(d/25)^2) of the weighted distance d in degrees."""

    form: Literal["pose"]
    unit: Literal["1"]
    poses: dict[Space, dict[FeatureName, Number]]
    """The posture as each coordinate space shows it: the same features in both, degrees."""
    weights: dict[FeatureName, Annotated[float, Field(gt=0)]] = Field(min_length=1)
    """Relative weights of those features."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for space in ("world", "image"):
            if self.poses.get(space, {}).keys() != self.weights.keys():
                raise ValueError(f"the posture in {space} space must name the weighted features")
        if distances := sorted(filter(is_distance, self.weights)):
            raise ValueError(f"a posture is made of angles, not of {distances}")
        return self


Signal = Annotated[
    LinearSignal | OppositionSignal | CountSignal | PoseSignal, Field(discriminator="form")
]


class Anchors(Definition):
    """Where the primary signal rests and what it should reach, in its own unit."""

    rest: Number
    target: Number
    provisional: bool = False
    """A first guess, not yet measured on children in this coordinate space."""


class Spaces(Definition):
    """Anchors by coordinate space; `kinematic` are those of the kinematic hand itself."""

    world: Anchors
    image: Anchors
    kinematic: Anchors


class TargetLimits(Definition):
    """Targets outside are refused, whoever asks: beyond them lies no plausible or safe hand."""

    lowest: Number
    highest: Number

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.highest <= self.lowest:
            raise ValueError("highest must be above lowest")
        return self


class Filter(Definition):
    """One Euro filter of the landmarks."""

    f_min: float = Field(gt=0, le=15)
    beta: float = Field(ge=0, le=100)
    f_d: float = Field(default=1.0, gt=0, le=15)


class Detector(Definition):
    """What the repetition detector takes for a repetition."""

    delta: float = Field(default=0.25, gt=0, lt=1)
    full_at: float = Field(default=0.9, gt=0, le=1.25)
    t_min: float = Field(default=0.2, gt=0)
    t_max: float = Field(default=10.0, gt=0)
    hold_in: float = Field(default=0.9, gt=0, le=1.25)
    """A hold begins when z reaches this."""
    hold_out: float = Field(default=0.8, gt=0)
    """And ends when z falls below this."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.t_max <= self.t_min:
            raise ValueError("t_max must be above t_min")
        if self.hold_out > self.hold_in:
            raise ValueError("hold_out must not be above hold_in")
        return self


class GuidePose(Definition):
    """A posture of the guide's hand, degrees; the joints of `sessions.kinematics.Pose`."""

    mcp: Fingers
    pip: Fingers
    dip: Fingers
    abd: Fingers = (0.0, 0.0, 0.0, 0.0)
    thumb: Fingers
    """Radial abduction, palmar abduction, MCP flexion, IP flexion."""
    roll: Degrees = 0.0
    tilt: Degrees = 0.0
    wave: Degrees = 0.0


class Leg(Definition):
    """Reach a posture within a time, or rest in it when it is the one before."""

    seconds: float = Field(gt=0, le=60, allow_inf_nan=False)
    pose: str


class Guide(Definition):
    """The movement shown to the child: an endless loop of legs, ending where it begins."""

    poses: dict[str, GuidePose]
    legs: tuple[Leg, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _poses_match(self) -> Self:
        used = {leg.pose for leg in self.legs}
        if missing := used - self.poses.keys():
            raise ValueError(f"legs name postures that are not given: {sorted(missing)}")
        if idle := self.poses.keys() - used:
            raise ValueError(f"postures that no leg uses: {sorted(idle)}")
        return self

    @property
    def period_us(self) -> int:
        """Length of one cycle at the default pace, microseconds."""
        return round(sum(leg.seconds for leg in self.legs) * 1e6)


class MotionDefinition(Definition):
    """One version of one motion. A changed number is a new version, or old results would lie."""

    id: str = Field(pattern=r"^[a-z]{3,20}$")
    version: int = Field(ge=1)
    name: Text
    kind: Kind
    signal: Signal
    anchors: Spaces
    target_limits: dict[Space, TargetLimits]
    filter: Filter
    detector: Detector = Detector()
    guide: Guide
    similarity: dict[FeatureName, Annotated[float, Field(gt=0)]] = Field(min_length=1)
    """Relative weights of the live similarity to the guide."""
    shape: tuple[FeatureName, ...] = Field(min_length=1)
    """Features whose course over a repetition is compared with the guide's."""
    tremor_tips: tuple[Literal[4, 8, 12, 16, 20], ...] = ()
    """Landmarks of the finger tips whose tremor is measured during a hold."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.shape)) != len(self.shape):
            raise ValueError("a shape feature is named twice")
        if missing := {"world", "image"} - self.target_limits.keys():
            raise ValueError(f"target limits are missing for {sorted(missing)}")
        self._check_direction()
        if (self.kind == "sequence") != (self.signal.form in ("opposition", "count")):
            raise ValueError(f"a motion of kind {self.kind} has no {self.signal.form} signal")
        if self.tremor_tips and self.kind != "hold":
            raise ValueError("tremor is measured in holds only")
        for space in self.target_limits:
            if not self.accepts_target(space, self.default_anchors(space).target):
                raise ValueError(f"the default target is outside the limits of {space} space")
        return self

    def _check_direction(self) -> None:
        falls = self.signal.form == "opposition"
        for anchors in (self.anchors.world, self.anchors.image, self.anchors.kinematic):
            rises = anchors.target > anchors.rest
            if anchors.target == anchors.rest or rises == falls:
                raise ValueError(
                    "the target must lie below the rest: the thumb closes in"
                    if falls
                    else "the target must lie above the rest: give the signal the other sign"
                )

    def default_anchors(self, space: Space) -> Anchors:
        """Return the anchors of a coordinate space before any calibration or goal."""
        return self.anchors.world if space == "world" else self.anchors.image

    def accepts_target(self, space: Space, target: float) -> bool:
        """Tell whether a goal or a steered target is plausible and safe."""
        limits = self.target_limits[space]
        return limits.lowest <= target <= limits.highest

    @cached_property
    def sha256(self) -> str:
        """Hash of the canonical JSON of the definition."""
        return sha256(self.model_dump(mode="json"))


class Library:
    """All known versions of all motions."""

    def __init__(self, definitions: list[MotionDefinition]) -> None:
        """Index the definitions. Raises ValueError when a version is given twice."""
        self._versions: dict[tuple[str, int], MotionDefinition] = {}
        self._latest: dict[str, MotionDefinition] = {}
        for definition in sorted(definitions, key=lambda d: (d.id, d.version)):
            key = (definition.id, definition.version)
            if key in self._versions:
                raise ValueError(f"motion {definition.id} version {definition.version} twice")
            self._versions[key] = self._latest[definition.id] = definition

    @property
    def latest(self) -> Mapping[str, MotionDefinition]:
        """The newest version of every motion, by id."""
        return self._latest

    def get(self, motion_id: str, version: int | None = None) -> MotionDefinition:
        """Return a motion, the newest version unless one is named. Raises KeyError."""
        if version is None:
            return self._latest[motion_id]
        return self._versions[motion_id, version]
