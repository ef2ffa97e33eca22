"""A small resource with one route of each kind, for the tests of the frame."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from handlers.routing import (
    PUBLIC,
    Body,
    Call,
    ChildId,
    Header,
    Id,
    Limit,
    Page,
    PageQuery,
    Policy,
    PublicCall,
    Route,
    Routes,
    View,
)
from models.accounts.records import Role
from models.errors import AppError, ErrorCode

PLACE = TypeAdapter(tuple[Annotated[int, Field(ge=0, lt=2**53)]])


class Colour(Body):
    """A colour."""

    red: Annotated[int, Field(ge=0, le=255)]


class NewNote(Body):
    """A note to write."""

    text: Annotated[str, Field(min_length=1, max_length=40)]
    weight_kg: Annotated[float, Field(gt=0, le=500)] = 1.0
    kind: Literal["plain", "loud"] = "plain"
    colour: Colour | None = None


class NoteView(View):
    """A note."""

    id: str
    text: str
    weight_kg: float
    written_by: str
    at: datetime


class Heard(View):
    """What came with a call from outside."""

    size: int
    signature: str | None


@dataclass
class Notes:
    """Where the notes are, and what happens to the next one."""

    kept: dict[str, NoteView] = field(default_factory=dict)
    written: int = 0
    fails: list[Exception] = field(default_factory=list)

    def routes(self) -> Sequence[Route]:
        """Return the routes over these notes."""
        routes = Routes("/v1", tag="notes")
        notes = self

        @routes.post(
            "/notes",
            policy=Policy({Role.GUARDIAN}),
            status=201,
            idempotent=True,
            errors={ErrorCode.CONFLICT},
        )
        async def add_note(call: Call, body: NewNote) -> NoteView:
            """Write a note."""
            notes.written += 1
            view = NoteView(
                id=call.new_id("n"),
                text=body.text,
                weight_kg=body.weight_kg,
                written_by=call.who.user_id,
                at=call.now,
            )
            notes.kept[view.id] = view
            if notes.fails:
                raise notes.fails.pop(0)
            return view

        @routes.get("/notes", policy=Policy({Role.GUARDIAN}))
        async def list_notes(call: Call, page: PageQuery) -> Page[NoteView]:
            """List notes, oldest first."""
            after = page.after(PLACE)
            first = after[0] + 1 if after else 0
            shown = list(notes.kept.values())[first : first + page.limit]
            return Page[NoteView].of(shown, page.limit, (first + len(shown) - 1,))

        @routes.get(
            "/notes/{note_id}", policy=Policy({Role.GUARDIAN}), errors={ErrorCode.NOT_FOUND}
        )
        async def get_note(call: Call, note_id: Id) -> NoteView:
            """Show a note."""
            if note_id not in notes.kept:
                raise AppError(ErrorCode.NOT_FOUND, "There is no such note.")
            return notes.kept[note_id]

        @routes.delete("/notes/{note_id}", policy=Policy({Role.GUARDIAN}, fresh_seconds=300))
        async def drop_note(call: Call, note_id: Id) -> None:
            """Throw a note away."""
            notes.kept.pop(note_id, None)

        @routes.get(
            "/children/{child_id}/notes",
            policy=Policy({Role.GUARDIAN, Role.ADMIN}, child="child_id"),
        )
        async def notes_of_child(call: Call, child_id: ChildId) -> Heard:
            """Count what is written of a child."""
            return Heard(size=len(child_id), signature=call.reason)

        @routes.post("/hooks", policy=PUBLIC, limit=Limit.SIGN_IN)
        async def take_hook(
            call: PublicCall, raw: bytes, signature: Annotated[str | None, Header("X-Signature")]
        ) -> Heard:
            """Take a call from outside as it came."""
            await call.count(signature or "nobody")
            return Heard(size=len(raw), signature=signature)

        @routes.get("/exports", policy=Policy({Role.SERVICE}, scopes={"notes:read"}))
        async def export_notes(call: Call) -> Heard:
            """Tell a service how many notes there are."""
            return Heard(size=len(notes.kept), signature=None)

        return tuple(routes.rows)
