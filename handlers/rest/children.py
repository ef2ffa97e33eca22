"""Children: their profiles, as their family and those who care for them see and change them."""

from datetime import date, datetime
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from handlers.rest.devices import end_devices
from handlers.routing import Body, Call, ChildId, Id, Page, PageQuery, Policy, Routes, View
from models.accounts.records import Role
from models.children.actions import Profile
from models.children.localday import DEFAULT_ZONE, Zone
from models.children.records import Child, Grade, Hands, Locale, Sex
from models.errors import AppError, ErrorCode

routes = Routes("/v1", tag="children")

PLACE: Final = TypeAdapter(tuple[Id])
"""Where a child stands in the list: its id."""
SEEN_BY: Final = (Role.GUARDIAN, Role.THERAPIST, Role.ADMIN)

Name = Annotated[str, Field(min_length=1, max_length=40)]
Alias = Annotated[
    str, Field(min_length=1, max_length=20, description="Shown in live lists: not the name.")
]


class NewChild(Body):
    """A child that joins a family."""

    name: Name
    birth_date: date
    sex: Sex | None = None
    dominant_hand: Hands | None = None
    affected_hand: Hands | None = Field(
        default=None, description="As the family says; a diagnosis wins."
    )
    locale: Locale = "ko"
    zone: Zone | None = Field(
        default=None, description="IANA name; the guardian's own, else Asia/Seoul, unless given."
    )
    alias: Alias | None = Field(default=None, description="An animal unless given.")


class ChildChange(Body):
    """What to change of a profile; what is left out stays."""

    name: Name | None = None
    birth_date: date | None = None
    sex: Sex | None = None
    dominant_hand: Hands | None = None
    affected_hand: Hands | None = None
    locale: Locale | None = None
    zone: Zone | None = Field(
        default=None, description="Counts from the next local day; once in 24 hours."
    )
    alias: Alias | None = Field(default=None, description="Null for an animal.")


KEPT: Final = ("name", "birth_date", "locale", "zone")
"""What a profile cannot be without."""


class GradeView(View):
    """A grade and its names."""

    value: Grade
    label_ko: str
    label_en: str


def grade_view(call: Call, grade: Grade) -> GradeView:
    """Return a grade with the names that are configured."""
    labels = call.deps.settings.care
    return GradeView(
        value=grade,
        label_ko=labels.grade_labels_ko[grade - 1],
        label_en=labels.grade_labels_en[grade - 1],
    )


class ZoneView(View):
    """A time zone, and from when it counts."""

    zone: str
    since: datetime


class ChildView(View):
    """A child's profile."""

    id: str
    name: str | None = Field(description="Null for a child of a development token alone.")
    alias: str
    birth_date: date | None
    sex: Sex | None
    dominant_hand: Hands | None
    affected_hand: Hands | None
    diagnosed_hand: Hands | None = Field(description="Of the newest valid diagnosis.")
    locale: Locale
    zone: str
    next_zone: ZoneView | None = Field(description="A change that has not come into force yet.")
    today: date = Field(description="The child's local date.")
    grade: GradeView
    grade_proposed: GradeView | None = Field(
        description="What a proposal that waits would make of it. Not told to a child's device."
    )
    created_at: datetime | None


def view_of(call: Call, child: Child) -> ChildView:
    """Return a profile as it is shown."""
    children, newest, now = call.deps.children, child.zones[-1], call.deps.clock.now()
    proposed = None if call.who.child_id is not None else child.grade_proposed
    return ChildView(
        id=child.id,
        name=children.name(child),
        alias=child.alias,
        birth_date=child.birth_date,
        sex=child.sex,
        dominant_hand=child.dominant_hand,
        affected_hand=child.affected_hand,
        diagnosed_hand=child.diagnosed_hand,
        locale=child.locale,
        zone=child.zone_at(now),
        next_zone=ZoneView.model_validate(newest) if newest.since > now else None,
        today=children.today(child),
        grade=grade_view(call, child.grade),
        grade_proposed=None if proposed is None else grade_view(call, proposed),
        created_at=child.created_at,
    )


@routes.post(
    "/children",
    policy=Policy({Role.GUARDIAN}),
    status=201,
    idempotent=True,
    errors={ErrorCode.CONFLICT},
)
async def add_child(call: Call, body: NewChild) -> ChildView:
    """Add a child to the caller's family."""
    said = Profile(
        name=body.name,
        birth_date=body.birth_date,
        sex=body.sex,
        dominant_hand=body.dominant_hand,
        affected_hand=body.affected_hand,
        locale=body.locale,
        zone=body.zone or await _zone_of(call),
        alias=body.alias,
    )
    child = await call.deps.children.add(call.new_id("c"), call.who.user_id, said)
    return view_of(call, child)


async def _zone_of(call: Call) -> str:
    """Return the zone of the caller's account; a development token may speak for none."""
    try:
        return (await call.deps.accounts.profiles.find(call.who.user_id)).zone
    except AppError as error:
        if error.code is not ErrorCode.UNAUTHENTICATED:
            raise
        return DEFAULT_ZONE


@routes.get("/children", policy=Policy({Role.GUARDIAN, Role.THERAPIST}))
async def list_children(call: Call, page: PageQuery) -> Page[ChildView]:
    """List the caller's children: of their family, and in their care.

    Each child a therapist is shown stands in its access log.
    """
    place = page.after(PLACE)
    found = await call.deps.access.list_children(
        call.who, call.visit("list"), after=place[0] if place else "", limit=page.limit
    )
    views = [view_of(call, child) for child in found]
    return Page[ChildView].of(views, page.limit, (found[-1].id,) if found else None)


@routes.get(
    "/children/{child_id}",
    policy=Policy({*SEEN_BY, Role.CHILD}, child="child_id"),
)
async def show_child(call: Call, child_id: ChildId) -> ChildView:
    """Show a child's profile."""
    return view_of(call, call.child)


@routes.patch(
    "/children/{child_id}",
    policy=Policy({Role.GUARDIAN, Role.ADMIN}, child="child_id", purpose="family"),
    errors={ErrorCode.CONFLICT},
)
async def change_child(call: Call, child_id: ChildId, body: ChildChange) -> ChildView:
    """Change a child's profile."""
    wanted = body.model_dump(include=body.model_fields_set)
    for name in KEPT:
        if name in wanted and wanted[name] is None:
            raise AppError(ErrorCode.INVALID, f"body.{name} cannot be null: leave it out.")
    if "birth_date" in wanted:
        await call.deps.clinical.check_birth_date(child_id, wanted["birth_date"])
    return view_of(call, await call.deps.children.change(child_id, wanted))


@routes.delete(
    "/children/{child_id}",
    policy=Policy({Role.GUARDIAN, Role.ADMIN}, child="child_id", purpose="family"),
)
async def remove_child(call: Call, child_id: ChildId) -> None:
    """Remove a child; its devices, invitations and assignments end, its profile is erased."""
    await call.deps.children.remove(child_id, call.who.user_id)
    await end_devices(call, child_id)
