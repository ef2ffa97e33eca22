"""Clinics, the care children are in, and what therapists record of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, Literal

from models.children.records import Hands
from models.cipher import Context

CARE_MAX: Final = 20
"""Assignments of one child that are open at a time."""
THERAPISTS_MAX: Final = 500
"""Therapists of one clinic."""


class CareStatus(StrEnum):
    """Where an assignment stands. It only ever goes forward."""

    INVITED = "invited"
    ACTIVE = "active"
    ENDED = "ended"


class EndReason(StrEnum):
    """Why an assignment ended."""

    WITHDRAWN_BY_GUARDIAN = "withdrawn_by_guardian"
    WITHDRAWN_BY_THERAPIST = "withdrawn_by_therapist"
    WITHDRAWN_BY_ADMIN = "withdrawn_by_admin"
    EXPIRED = "expired"
    CHILD_REMOVED = "child_removed"
    PERSON_LEFT = "person_left"


@dataclass(frozen=True, slots=True)
class Clinic:
    """A clinic or a trial site, and its therapists. Document of `clinics`."""

    id: str
    name: str
    kind: Literal["clinic", "trial_site"]
    therapists: tuple[str, ...]


def clinic_of(document: Mapping[str, Any]) -> Clinic:
    """Return the clinic of a document."""
    return Clinic(
        document["_id"], document["name"], document["kind"], tuple(document["therapists"])
    )


@dataclass(frozen=True, slots=True)
class Assignment:
    """A child in somebody's care, or to be. Document of `care_assignments`."""

    id: str
    child_id: str
    status: CareStatus
    therapist_id: str | None
    """Of an active one without a clinic."""
    clinic_id: str | None
    """The clinic all of whose therapists have it."""
    invited_by: str
    invited_at: datetime
    invite_until: datetime
    care_days: int
    accepted_by: str | None = None
    accepted_at: datetime | None = None
    until: datetime | None = None
    """End of the care, once accepted."""
    ended_at: datetime | None = None
    end_reason: EndReason | None = None


def assignment_of(document: Mapping[str, Any], now: datetime) -> Assignment:
    """Return the assignment of a document as it stands now: time alone may have ended it."""
    status = CareStatus(document["status"])
    ended_at, reason = document.get("ended_at"), document.get("end_reason")
    until = document.get("until")
    over = until if status is CareStatus.ACTIVE else document["invite_until"]
    if status is not CareStatus.ENDED and over is not None and over <= now:
        status, ended_at, reason = CareStatus.ENDED, over, EndReason.EXPIRED
    return Assignment(
        id=document["_id"],
        child_id=document["child_id"],
        status=status,
        therapist_id=document.get("therapist_id"),
        clinic_id=document.get("clinic_id"),
        invited_by=document["invited_by"],
        invited_at=document["invited_at"],
        invite_until=document["invite_until"],
        care_days=document["care_days"],
        accepted_by=document.get("accepted_by"),
        accepted_at=document.get("accepted_at"),
        until=until,
        ended_at=ended_at,
        end_reason=EndReason(reason) if reason else None,
    )


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A diagnosis as somebody recorded it. Document of `diagnoses`; its content never changes."""

    id: str
    child_id: str
    system: Literal["icd10", "kcd8", "other"]
    code: str
    label: str
    affected_hand: Hands
    diagnosed_on: date
    institution: str | None
    sealed_note: str | None
    author: str
    at: datetime
    supersedes: str | None = None
    """The record that this one puts right."""
    superseded_by: str | None = None
    deleted_at: datetime | None = None
    deleted_by: str | None = None
    delete_reason: str | None = None

    @property
    def valid(self) -> bool:
        """Whether it counts: neither put right by another nor deleted."""
        return self.superseded_by is None and self.deleted_at is None


def note_context(diagnosis_id: str) -> Context:
    """Return where the sealed note of a diagnosis belongs."""
    return Context("diagnoses", "note", diagnosis_id)


def diagnosis_of(document: Mapping[str, Any]) -> Diagnosis:
    """Return the diagnosis of a document."""
    names = {"id": "_id", "sealed_note": "note"}
    fields: dict[str, Any] = {
        name: document.get(names.get(name, name)) for name in Diagnosis.__slots__
    }
    fields["diagnosed_on"] = date.fromisoformat(document["diagnosed_on"])
    return Diagnosis(**fields)
