"""What is known of a child, as it lies in MongoDB and as the product uses it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, Literal

from models.children.localday import ZoneSpan, date_in, span_at
from models.cipher import Context

_ANIMALS = ("다람쥐", "토끼", "여우", "수달", "고래", "펭귄", "판다", "사슴", "참새", "나비",
            "거북이", "코알라", "햄스터", "돌고래", "부엉이", "고슴도치")  # fmt: skip
Hand = Literal["left", "right"]
Hands = Literal["left", "right", "both"]
Sex = Literal["female", "male", "other"]
Locale = Literal["ko", "en"]
Grade = Literal[1, 2, 3, 4, 5]

GUARDIANS_MAX: Final = 4
"""Guardians of one child."""
CHILDREN_MAX: Final = 20
"""Children of one guardian, unless the attribute CHILDREN_LIMIT says another number."""


class Consent(StrEnum):
    """What a guardian agrees to for a child, each by itself."""

    PLAY_DATA = "play_data"
    """Keeping and scoring what the child plays; without it nobody plays."""
    THERAPIST_VIEWING = "therapist_viewing"
    """Therapists with an assignment see the child's data and sessions."""
    RESEARCH = "research"
    ANALYTICS = "analytics"


@dataclass(frozen=True, slots=True)
class Given:
    """The state of one consent."""

    given: bool
    version: int
    """Of the document that was agreed to."""
    n: int
    """How often this consent was given or withdrawn."""
    at: datetime


@dataclass(frozen=True, slots=True)
class Care:
    """Somebody in whose care a child is now: a therapist, or every therapist of a clinic."""

    assignment_id: str
    therapist_id: str | None
    clinic_id: str | None
    until: datetime


@dataclass(frozen=True, slots=True)
class Child:
    """A child, with its name still sealed. Document of `children`."""

    id: str
    sealed_name: str | None
    """None of a child that only a development token names."""
    alias: str
    """What live lists show: chosen by the guardian, or an animal."""
    birth_date: date | None
    sex: Sex | None
    dominant_hand: Hands | None
    affected_hand: Hands | None
    """As the guardian says."""
    diagnosed_hand: Hands | None
    """As the newest valid diagnosis says; it wins."""
    locale: Locale
    zones: tuple[ZoneSpan, ...]
    guardians: tuple[str, ...]
    grade: Grade
    grade_n: int = 0
    """How often the grade was changed."""
    grade_since: datetime | None = None
    """When the grade was last decided on: changed, or left as it is against a proposal."""
    grade_proposed: Grade | None = None
    """What a proposal that is open would make of it."""
    care: tuple[Care, ...] = ()
    consents: Mapping[Consent, Given] | None = None
    version: int = 0
    """Rises with every change of the profile."""
    created_at: datetime | None = None

    @property
    def treated_hand(self) -> Hands | None:
        """The hand the therapy is about."""
        return self.diagnosed_hand or self.affected_hand

    def local_date(self, instant: datetime, hour: int = 0) -> date:
        """Return the date an instant counts for."""
        return date_in(self.zones, instant, hour)

    def zone_at(self, instant: datetime) -> str:
        """Return the zone that counts for the child at an instant."""
        return span_at(self.zones, instant).zone

    def has_therapist(self, now: datetime) -> bool:
        """Tell whether somebody has the child in care who may see it."""
        cared = any(care.until > now for care in self.care)
        return cared and self.consents_to(Consent.THERAPIST_VIEWING)

    def consents_to(self, purpose: Consent) -> bool:
        """Tell whether a consent is given."""
        state = (self.consents or {}).get(purpose)
        return state is not None and state.given


def name_context(child_id: str) -> Context:
    """Return where a child's sealed name belongs."""
    return Context("children", "name", child_id)


def alias_of(child_id: str) -> str:
    """Return the name a live list shows until the guardian chooses one: never the child's own."""
    digest = hashlib.sha256(child_id.encode()).digest()
    return f"{_ANIMALS[digest[0] % len(_ANIMALS)]} {digest[1] % 90 + 10}"


def child_of(document: Mapping[str, Any]) -> Child:
    """Return the child of a document of `children`."""
    born = document.get("birth_date")
    return Child(
        id=document["_id"],
        sealed_name=document["name"],
        alias=document.get("alias") or alias_of(document["_id"]),
        birth_date=date.fromisoformat(born) if born else None,
        sex=document.get("sex"),
        dominant_hand=document.get("dominant_hand"),
        affected_hand=document.get("affected_hand"),
        diagnosed_hand=document.get("diagnosed_hand"),
        locale=document["locale"],
        zones=tuple(
            ZoneSpan(span["zone"], span["since"], date.fromisoformat(span["floor"]))
            for span in document["zones"]
        ),
        guardians=tuple(document["guardians"]),
        grade=document["grade"],
        grade_n=document["grade_n"],
        grade_since=document.get("grade_since"),
        grade_proposed=document.get("grade_proposed"),
        care=tuple(
            Care(c["assignment_id"], c.get("therapist_id"), c.get("clinic_id"), c["until"])
            for c in document.get("care", ())
        ),
        consents={
            Consent(name): Given(s["given"], s["version"], s["n"], s["at"])
            for name, s in document.get("consents", {}).items()
        },
        version=document["version"],
        created_at=document["created_at"],
    )


def span_document(span: ZoneSpan) -> dict[str, Any]:
    """Return a zone span as it lies in the database."""
    return {"zone": span.zone, "since": span.since, "floor": span.floor.isoformat()}
