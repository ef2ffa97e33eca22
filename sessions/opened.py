"""What `session:open` settled for a whole session."""

from dataclasses import dataclass, field
from typing import Any

from models.children.records import alias_of
from models.therapy.rules import Therapy


@dataclass(frozen=True, slots=True)
class Opened:
    """What `session:open` settled for the whole session; stored as its document."""

    session_id: str
    child_id: str
    alias: str
    user_id: str
    kind: str
    space: Any
    fps: float
    resume_token: str
    """Told to the player; only its hash is stored."""
    document: dict[str, Any]
    therapy: Therapy = field(default_factory=Therapy)
    """What was known of the child's hands at the opening, and what its sets calibrated since."""


def opened_of(document: dict[str, Any], therapy: Therapy, resume_token: str) -> Opened:
    """Return what a session's document says, as the engine wants it."""
    return Opened(
        session_id=document["_id"],
        child_id=document["child_id"],
        alias=document.get("alias") or alias_of(document["child_id"]),
        user_id=document["opened_by"],
        kind=document["kind"],
        space=document["space"],
        fps=document["fps"],
        resume_token=resume_token,
        document=document,
        therapy=therapy,
    )
