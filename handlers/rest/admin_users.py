"""Accounts as admins see them. Each look-up is written down, with the reason."""

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter

from handlers.rest.account_shapes import MethodView
from handlers.routing import Body, Call, Id, Page, PageQuery, Policy, Routes, View
from models.accounts.records import Role, User, UserStatus
from models.admin.people import By, order_of
from models.admin.timeline import Place
from models.errors import ErrorCode

routes = Routes("/v1/admin", tag="admin")

ADMIN: Final = Policy({Role.ADMIN}, reason=True)
ORDER: Final = TypeAdapter(tuple[Annotated[str, Field(max_length=254)]])
"""Where an account stands in a list."""
EVENT_PLACE: Final = TypeAdapter(
    tuple[
        Annotated[int, Field(ge=0, lt=2**52)],
        Annotated[str, Field(max_length=40)],
        Annotated[str, Field(max_length=200)],
    ]
)
"""Where an event stands in a timeline: its time, kind and id."""


class Search(Body):
    """What is looked for. In a body, since addresses of requests end up in logs."""

    by: Annotated[By, Field(strict=False)] = Field(
        description="`email_prefix` begins an address; of a provider it is the subject; `child` "
        "is a child's id, and `alias` the name chosen for live lists: both find the guardians."
    )
    value: Annotated[str, Field(min_length=1, max_length=320, pattern=r"^[^\x00-\x1f\x7f]+$")]


class UserLine(View):
    """An account in a list."""

    id: str
    email: str | None
    email_verified: bool
    name: str | None
    roles: list[Role]
    status: UserStatus
    is_test: bool
    created_at: datetime


class UserView(UserLine):
    """An account and what belongs to it."""

    locale: str
    zone: str
    returning: bool = Field(
        description="Whether the person had an account before, by what is known of those who left."
    )
    version: int = Field(description="Token version: rises when everything signed in ends.")
    methods: list[MethodView]
    phone: str | None = Field(description="All but its end hidden.")
    phone_verified_at: datetime | None
    children: list[str] = Field(description="Ids; their data needs the routes of a child.")
    clinics: list[str]


class EventView(View):
    """Something that happened with an account."""

    at: datetime
    kind: str
    id: str
    said: dict[str, Any]


@routes.post("/user-searches", policy=ADMIN)
async def search_users(call: Call, page: PageQuery, body: Search) -> Page[UserLine]:
    """Find accounts by what is known of somebody."""
    after = page.after(ORDER)
    found = await call.deps.admin.people.search(
        body.by, body.value, after[0] if after else "", page.limit
    )
    place = (order_of(body.by, found[-1]),) if found else None
    return Page[UserLine].of([UserLine(**_line(call, user)) for user in found], page.limit, place)


@routes.get("/users/{user_id}", policy=ADMIN, errors={ErrorCode.NOT_FOUND})
async def show_user(call: Call, user_id: Id) -> UserView:
    """Show an account."""
    known = await call.deps.admin.people.find(user_id)
    user = known.user
    return UserView(
        **_line(call, user),
        locale=user.locale,
        zone=user.zone,
        returning=user.returning,
        version=user.version,
        methods=[MethodView.model_validate(method) for method in user.methods],
        phone=call.deps.accounts.phones.masked(user),
        phone_verified_at=user.phone_verified_at,
        children=list(known.children),
        clinics=list(known.clinics),
    )


@routes.get("/users/{user_id}/timeline", policy=ADMIN, errors={ErrorCode.NOT_FOUND})
async def show_timeline(call: Call, user_id: Id, page: PageQuery) -> Page[EventView]:
    """Show what happened with an account, the newest first: sign-ins, consents, care, admins."""
    known = await call.deps.admin.people.find(user_id)
    after = page.after(EVENT_PLACE)
    found = await call.deps.admin.timeline.read(
        known.user, None if after is None else Place(*after), page.limit
    )
    views = [EventView(at=one.at, kind=one.place.kind, id=one.place.id, said=one.said)
             for one in found]  # fmt: skip
    return Page[EventView].of(views, page.limit, found[-1].place if found else None)


def _line(call: Call, user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "email": user.email,
        "email_verified": user.email_verified,
        "name": call.deps.accounts.profiles.name_of(user),
        "roles": list(user.roles),
        "status": user.status,
        "is_test": user.is_test,
        "created_at": user.created_at,
    }
