"""What is known of a child's hands: its therapy profile, and what its own movements calibrated."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Side = Literal["left", "right"]
Space = Literal["world", "image"]
Key = tuple[str, int, Side, Space]
"""Motion, its version, side and coordinate space: what a calibration holds for."""
Number = Annotated[float, Field(allow_inf_nan=False)]


class TherapyData(BaseModel):
    """Base of therapy data: frozen; a field of a newer version is no error to read."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Goal(TherapyData):
    """How far a therapist wants one motion of one hand to go."""

    id: str = Field(min_length=1, max_length=64)
    motion: str
    side: Side
    space: Space = "world"
    target: Number
    """In the unit of the motion's primary signal."""


class TherapyProfile(TherapyData):
    """What the therapy of a child is about; document of `therapy_profiles`, `_id` its child."""

    child_id: str = Field(alias="_id")
    affected_side: Literal["left", "right", "both"] | None = None
    birth_date: date | None = None
    """ISO text in the document."""
    goals: tuple[Goal, ...] = ()


class Calibration(TherapyData):
    """Where a child's own first repetitions rested and reached; document of `calibrations`."""

    id: str = Field(alias="_id")
    child_id: str
    motion: str = Field(pattern=r"^[a-z]+$")
    version: int = Field(ge=1)
    side: Side
    space: Space
    rest: Number
    """5th percentile of the primary signal."""
    far: Number
    """95th percentile."""
    session_id: str
    set_no: int
    quality: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.far <= self.rest:
            raise ValueError("far must be above rest")
        return self

    @property
    def key(self) -> Key:
        """What the calibration holds for."""
        return (self.motion, self.version, self.side, self.space)

    @property
    def amplitude(self) -> float:
        """From the rest to the far end, in the unit of the signal."""
        return self.far - self.rest


def calibration_id(child_id: str, key: Key) -> str:
    """Return the `_id` of a child's calibration: there is one for each key, the first taken."""
    motion, version, side, space = key
    return f"{child_id}:{motion}:{version}:{side}:{space}"
