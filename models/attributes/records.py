"""What holds of an account or a child for a time. It adds policy, never a role."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field


class AttributeType(StrEnum):
    """What kind of thing it is: each kind is of children or of accounts, never of both."""

    CLINICAL_TRIAL = "CLINICAL_TRIAL"
    """Of a child."""
    CHILDREN_LIMIT = "CHILDREN_LIMIT"
    """Of an account."""


TrialName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
Label = Annotated[str, Field(min_length=1, max_length=32)]
"""A word of a trial's protocol."""
MostChildren = Annotated[int, Field(ge=1, le=500)]


class _Value(BaseModel):
    """What an attribute says."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ClinicalTrial(_Value):
    """A child's part in a trial."""

    trial: TrialName
    site: Annotated[str, Field(min_length=1, max_length=64)]
    """Id of the clinic that is the trial site."""
    arm: Label
    """Shown to admins alone."""
    subject_no: Label
    protocol_version: Label
    pins_difficulty: bool = True
    """Whether the protocol says how hard the child plays: no rule proposes a grade then."""


class ChildrenLimit(_Value):
    """How many children an account may have: a home or a school has more than a family."""

    most: MostChildren


Value = ClinicalTrial | ChildrenLimit
VALUES: Final[Mapping[AttributeType, type[ClinicalTrial] | type[ChildrenLimit]]] = {
    AttributeType.CLINICAL_TRIAL: ClinicalTrial,
    AttributeType.CHILDREN_LIMIT: ChildrenLimit,
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """Something that holds of somebody for a time. Document of `user_attributes`."""

    id: str
    subject: str
    """Id of the child or the account."""
    type: AttributeType
    value: Value
    valid_from: datetime
    valid_to: datetime | None
    set_by: str
    reason: str | None = None
    """Why it was set, in the words of the admin."""
    closed_at: datetime | None = None
    closed_by: str | None = None
    close_reason: str | None = None

    def holds(self, now: datetime) -> bool:
        """Tell whether it holds now."""
        ended = self.valid_to is not None and self.valid_to <= now
        return self.valid_from <= now and not ended


def type_of(value: Value) -> AttributeType:
    """Return the type whose value this is."""
    return next(name for name, kind in VALUES.items() if isinstance(value, kind))


def attribute_of(document: Mapping[str, Any]) -> Attribute:
    """Return the attribute of a document."""
    kind = AttributeType(document["type"])
    return Attribute(
        id=document["_id"],
        subject=document["subject"],
        type=kind,
        value=VALUES[kind].model_validate(document["value"]),
        valid_from=document["valid_from"],
        valid_to=document["valid_to"],
        set_by=document["set_by"],
        reason=document.get("reason"),
        closed_at=document.get("closed_at"),
        closed_by=document.get("closed_by"),
        close_reason=document.get("close_reason"),
    )
