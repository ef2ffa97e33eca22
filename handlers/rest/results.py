"""The stored results of a child, newest first."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from handlers.routing import Call, ChildId, Id, Page, PageQuery, Policy, Routes, View
from models.accounts.records import Role

routes = Routes("/v1", tag="results")

PLACE = TypeAdapter(tuple[Annotated[int, Field(ge=0, lt=2**63)], Id])
"""Where a result stands in the list: when it ended, and its id."""


class SetLine(View):
    """One set of a session."""

    set_no: int
    motion: str
    side: Literal["left", "right"]
    asked_reps: int
    reps_full: int
    reps_partial: int
    grade: float | None = Field(description="0 to 100; null when it could not be graded.")
    stars: int | None
    quality: float | None = Field(description="Share of the frames that were good, 0 to 1.")
    unfinished: bool = Field(description="The session ended before the set did.")


class Totals(View):
    """What the sets of a session add up to."""

    sets: int
    reps_full: int
    reps_partial: int
    asked_reps: int


class Likeness(View):
    """One measure of both hands."""

    lsi: float | None = Field(description="Limb symmetry index: affected by other hand, %.")
    symmetry_index: float | None = Field(description="Difference by mean of both hands, %.")


class Symmetry(View):
    """Both hands of one motion beside each other."""

    motion: str
    affected_set_no: int | None
    unaffected_set_no: int | None
    reason: str | None = Field(description="Why the measures are null.")
    metrics: dict[str, Likeness]


class ResultView(View):
    """The result of a session."""

    session_id: str
    child_id: str
    kind: Literal["therapy", "free"]
    schedule_id: str | None
    sealed: Literal["closed", "abandoned"]
    reason: str | None
    pain: int | None = Field(description="0 to 10, as the child said.")
    effort: int | None = Field(description="0 to 10, as the child said.")
    note: str | None
    opened_us: int = Field(description="Unix time, microseconds.")
    ended_us: int = Field(description="Unix time, microseconds.")
    messages: int = Field(description="Numbered messages of the session.")
    incomplete: bool = Field(description="Something of the session could not be stored.")
    sets: list[SetLine]
    totals: Totals
    symmetry: list[Symmetry]
    grade: float | None = Field(description="0 to 100; null when no set could be graded.")


@routes.get(
    "/children/{child_id}/results",
    policy=Policy({Role.GUARDIAN, Role.THERAPIST, Role.ADMIN}, child="child_id"),
)
async def list_results(call: Call, child_id: ChildId, page: PageQuery) -> Page[ResultView]:
    """List the results of a child's sessions, newest first."""
    found = await call.deps.repo.list_results(child_id, page.limit, before=page.after(PLACE))
    place = (found[-1]["ended_us"], found[-1]["_id"]) if found else None
    return Page[ResultView].of([ResultView.model_validate(f) for f in found], page.limit, place)
