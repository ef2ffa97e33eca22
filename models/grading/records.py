"""What a grading model is: versioned data that turns measurements into a grade."""

import itertools
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from models.canonical import sha256
from models.grading.indicators import QUANTITIES

AgeBand = Annotated[str, Field(pattern=r"^(3-5|6-8|9-12|13\+)$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Points = Annotated[float, Field(ge=0, le=100)]
Knot = tuple[Number, Points]


def _known_quantity(key: str) -> str:
    if key not in QUANTITIES:
        raise ValueError(f"no quantity is called {key!r}; known are {', '.join(QUANTITIES)}")
    return key


class GradingData(BaseModel):
    """Base of grading data: frozen, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Indicator(GradingData):
    """One weighted part of the grade; `knots` run from the worst value to the best."""

    key: Annotated[str, AfterValidator(_known_quantity)]
    weight: float = Field(gt=0, le=1)
    knots: tuple[Knot, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _monotone(self) -> Self:
        xs = [x for x, _ in self.knots]
        steps = [b - a for a, b in itertools.pairwise(xs)]
        if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
            raise ValueError(
                f"the knots of {self.key} must go strictly up or strictly down, not {xs}"
            )
        points = [y for _, y in self.knots]
        if any(b < a for a, b in itertools.pairwise(points)):
            raise ValueError(f"the points of {self.key} must not fall from knot to knot: {points}")
        return self


class AgeFactors(GradingData):
    """How much a model asks of an age band; engineering defaults until norms are collected."""

    rate: float = Field(default=1.0, gt=0, le=1.5)
    """Multiplies the knots of `rate`."""
    sparc: float = Field(default=0.0, ge=-2, le=2)
    """Shifts the knots of `sparc_med`."""
    timing: float = Field(default=1.0, gt=0, le=5)
    """Multiplies the tolerance window of `on_time`."""


class Role(GradingData):
    """What the target of a hand is by its part in the therapy."""

    anchor: Literal["goal", "norm"]


class Roles(GradingData):
    """The two parts a hand can have."""

    affected: Role
    unaffected: Role


class GradingModel(GradingData):
    """One version of one model. A changed number is a new version."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]{2,40}$")
    version: int = Field(ge=1)
    motion: str
    schema_id: Literal["hand44-1"] = Field(alias="schema")
    indicators: tuple[Indicator, ...] = Field(min_length=1)
    age_bands: dict[AgeBand, AgeFactors]
    roles: Roles
    timing_window_s: float = Field(default=0.3, gt=0, le=5)
    """A repetition is on time when its peak is this close to the guide's."""
    min_available_weight: float = Field(default=0.6, gt=0, le=1)
    stars: tuple[
        tuple[Literal[1], Literal["attempt"]], tuple[Literal[2], Points], tuple[Literal[3], Points]
    ]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        keys = [indicator.key for indicator in self.indicators]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise ValueError(f"indicators given twice: {sorted(twice)}")
        total = sum(indicator.weight for indicator in self.indicators)
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"the weights must sum to 1, not {total:g}")
        if self.stars[2][1] <= self.stars[1][1]:
            raise ValueError("three stars must ask for more than two")
        return self

    @cached_property
    def sha256(self) -> str:
        """Hash of the canonical JSON of the model."""
        return sha256(self.model_dump(mode="json", by_alias=True))
