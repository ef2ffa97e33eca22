"""What a route may not be: each fault is named when its module is read."""

from collections.abc import Callable
from typing import Any

import pytest

from handlers.rest.account_shapes import TokensView
from handlers.rest.sign_ins import AccessView
from handlers.rest.tables import ROUTES
from handlers.routing import (
    PUBLIC,
    Body,
    Call,
    ChildId,
    Id,
    Page,
    PageQuery,
    Policy,
    PublicCall,
    Query,
    RouteError,
    Routes,
    Signed,
    View,
)
from handlers.routing.routes import check
from models.accounts.records import Actor, Principal, Role
from models.errors import AppError, ErrorCode
from tests.handlers.routing.sample import Notes


async def _theirs(*_: Any) -> None:
    """Take every call."""


THEIRS = Signed("Somebody", _theirs)
GUARDIANS = Policy({Role.GUARDIAN})


class Thing(View):
    """Something to show."""

    id: str


class NewThing(Body):
    """Something to make."""

    name: str


class Asked(Query):
    """Something to ask."""

    word: str = ""


async def fine(call: Call) -> Thing:
    """Show a thing."""
    raise NotImplementedError


async def public(call: PublicCall) -> Thing:
    """Show a thing to all."""
    raise NotImplementedError


async def silent(call: Call) -> Thing:
    raise NotImplementedError


async def strange(call: Call, number: int) -> Thing:
    """Take what comes from nowhere."""
    raise NotImplementedError


async def plain(call: Call) -> dict[str, Any]:
    """Answer with anything."""
    raise NotImplementedError


async def with_body(call: Call, body: NewThing) -> Thing:
    """Take a body."""
    raise NotImplementedError


async def with_two(call: Call, body: NewThing, raw: bytes) -> Thing:
    """Take two bodies."""
    raise NotImplementedError


async def two_queries(call: Call, one: Asked, two: PageQuery) -> Thing:
    """Take two queries."""
    raise NotImplementedError


async def of_child(call: Call, child_id: ChildId) -> Thing:
    """Show a thing of a child."""
    raise NotImplementedError


async def no_call(thing_id: Id) -> Thing:
    """Want nothing of the call."""
    raise NotImplementedError


@pytest.mark.parametrize(
    ("method", "path", "policy", "handler", "fault"),
    [
        ("get", "/things", Policy(()), fine, "its policy names no role"),
        ("get", "/things", Policy({Role.ADMIN}, signed=THEIRS), fine, "has no role"),
        ("get", "/things", PUBLIC, fine, "nobody is signed in on a public route"),
        ("get", "/things", GUARDIANS, public, "takes `call: Call`"),
        ("get", "/things", GUARDIANS, silent, "no docstring"),
        ("get", "/things", GUARDIANS, strange, "`number` is no path parameter"),
        ("get", "/things", GUARDIANS, plain, "returns a View"),
        ("get", "/things", GUARDIANS, with_body, "a GET has no body"),
        ("delete", "/things", GUARDIANS, with_body, "a DELETE has no body"),
        ("post", "/things", GUARDIANS, with_two, "one Body or bytes"),
        ("get", "/things", GUARDIANS, two_queries, "one Query"),
        ("get", "/things/{thing_id}", GUARDIANS, fine, "the path names {thing_id}"),
        ("get", "/things/{thing_id}", GUARDIANS, no_call, "the first parameter"),
        ("get", "/children/{child_id}", GUARDIANS, of_child, "pass child='child_id'"),
        ("get", "/things", Policy({Role.GUARDIAN}, child="child_id"), fine, "the path does not"),
        ("get", "/things/", GUARDIANS, fine, "a path is made of"),
        ("get", "/Things", GUARDIANS, fine, "a path is made of"),
        ("get", "/things", Policy({Role.SERVICE}), fine, "needs `scopes`"),
        ("get", "/things", Policy({Role.ADMIN}, scopes={"a"}), fine, "only for that"),
    ],
)
def test_a_faulty_route_is_refused_with_its_fault(
    method: str, path: str, policy: Policy, handler: Callable[..., Any], fault: str
) -> None:
    routes = Routes("/v1", tag="things")
    with pytest.raises(RouteError) as refused:
        getattr(routes, method)(path, policy=policy)(handler)
    assert fault in str(refused.value)
    assert f"{method.upper()} /v1{path}" in str(refused.value)
    assert routes.rows == []


def test_a_route_without_a_policy_is_refused() -> None:
    with pytest.raises(TypeError, match="policy"):
        Routes("/v1", tag="things").get("/things")  # type: ignore[call-arg]


def test_a_route_is_declared_once() -> None:
    routes = Routes("/v1", tag="things")
    routes.get("/children/{child_id}", policy=Policy({Role.GUARDIAN}, child="child_id"))(of_child)
    other = Routes("/v1", tag="things")

    @other.get("/children/{kid}", policy=Policy({Role.GUARDIAN}, child="kid"))
    async def again(call: Call, kid: Id) -> Thing:
        """Show it again."""
        raise NotImplementedError

    assert len(check((routes,))) == 1
    with pytest.raises(RouteError, match="declared twice"):
        check((routes, other))


def test_a_row_says_what_its_declaration_said() -> None:
    rows = {row.name: row for row in Notes().routes()}
    made = rows["POST /v1/notes"]
    assert (made.status, made.idempotent, made.policy.roles) == (201, True, {Role.GUARDIAN})
    assert made.codes >= {
        ErrorCode.CONFLICT,
        ErrorCode.IDEMPOTENCY_KEY_REUSED,
        ErrorCode.UNSUPPORTED_MEDIA_TYPE,
        ErrorCode.TOO_LARGE,
    }
    dropped = rows["DELETE /v1/notes/{noteId}"]
    assert dropped.status == 204
    assert ErrorCode.REAUTHENTICATION_REQUIRED in dropped.codes
    assert ErrorCode.NOT_FOUND in rows["GET /v1/children/{childId}/notes"].codes
    assert ErrorCode.UNAUTHENTICATED not in rows["POST /v1/hooks"].codes


def test_every_route_of_an_admin_to_a_child_asks_why() -> None:
    policy = Policy({Role.ADMIN, Role.GUARDIAN}, child="child_id")
    assert policy.reason
    assert not Policy({Role.GUARDIAN}, child="child_id").reason
    for row in ROUTES:
        if row.policy.child is not None and Role.ADMIN in row.policy.roles:
            assert row.policy.reason, row.name


def who(*roles: Role, **more: Any) -> Principal:
    return Principal("u", "s", frozenset(roles), 0, **more)


@pytest.mark.parametrize(
    ("policy", "caller", "reason", "code"),
    [
        (GUARDIANS, who(Role.GUARDIAN), None, None),
        (GUARDIANS, who(Role.GUARDIAN, Role.ADMIN), None, None),
        (GUARDIANS, who(Role.ADMIN), "because", ErrorCode.FORBIDDEN),
        (GUARDIANS, who(), None, ErrorCode.FORBIDDEN),
        (Policy({Role.ADMIN}, reason=True), who(Role.ADMIN), None, ErrorCode.INVALID),
        (Policy({Role.ADMIN}, reason=True), who(Role.ADMIN), "because", None),
        (Policy({Role.ADMIN}), who(Role.ADMIN), None, None),
        (Policy({Role.ADMIN}, fresh_seconds=60), who(Role.ADMIN, signed_in_at=940), None, None),
        (
            Policy({Role.ADMIN}, fresh_seconds=60),
            who(Role.ADMIN, signed_in_at=939),
            None,
            ErrorCode.REAUTHENTICATION_REQUIRED,
        ),
        (
            Policy({Role.SERVICE}, scopes={"a", "b"}),
            who(Role.SERVICE, scopes=frozenset("a")),
            None,
            ErrorCode.FORBIDDEN,
        ),
        (
            Policy({Role.SERVICE}, scopes={"a", "b"}),
            who(Role.SERVICE, scopes=frozenset("abc")),
            None,
            None,
        ),
        (
            Policy({Role.SERVICE, Role.ADMIN}, scopes={"a"}),
            who(Role.SERVICE, Role.ADMIN),
            None,
            None,
        ),
    ],
)
def test_who_is_admitted(
    policy: Policy, caller: Principal, reason: str | None, code: ErrorCode | None
) -> None:
    if code is None:
        policy.admit(caller, 1000, reason)
        return
    with pytest.raises(AppError) as refused:
        policy.admit(caller, 1000, reason)
    assert refused.value.code is code


CHILD_READ = Policy({Role.GUARDIAN, Role.ADMIN}, child="child_id")
OWN_ACCOUNT = Policy({Role.GUARDIAN, Role.ADMIN})
SUPPORT = Actor("u_admin", "s_admin", 1, "a ticket")


def forced(scope: str) -> Principal:
    """Return an admin in a guardian's name."""
    return who(Role.GUARDIAN, actor=SUPPORT, scopes=frozenset({scope}))


@pytest.mark.parametrize(
    ("policy", "caller", "changes", "code"),
    [
        # An admin who changes something as an admin gave credentials within ten minutes.
        (Policy({Role.ADMIN}), who(Role.ADMIN, signed_in_at=399), False, None),
        (Policy({Role.ADMIN}), who(Role.ADMIN, signed_in_at=400), True, None),
        (
            Policy({Role.ADMIN}),
            who(Role.ADMIN, signed_in_at=399),
            True,
            "reauthentication_required",
        ),
        (CHILD_READ, who(Role.ADMIN, signed_in_at=399), True, "reauthentication_required"),
        (CHILD_READ, who(Role.GUARDIAN, signed_in_at=0), True, None),
        (OWN_ACCOUNT, who(Role.ADMIN, signed_in_at=0), True, None),
        # A forced token.
        (GUARDIANS, forced("read"), False, None),
        (GUARDIANS, forced("read"), True, "forbidden"),
        (GUARDIANS, forced(""), True, "forbidden"),
        (GUARDIANS, forced("act"), True, None),
        (Policy({Role.GUARDIAN}, in_person=True), forced("act"), False, "forbidden"),
        (Policy({Role.GUARDIAN}, fresh_seconds=60), forced("act"), False, "forbidden"),
        (Policy({Role.GUARDIAN}, child="c", purpose="consent"), forced("act"), True, "forbidden"),
        (Policy({Role.ADMIN}), forced("act"), False, "forbidden"),
    ],
)
def test_what_admins_may_and_when(
    policy: Policy, caller: Principal, changes: bool, code: str | None
) -> None:
    if code is None:
        policy.admit(caller, 1000, "because", changes=changes)
        return
    with pytest.raises(AppError) as refused:
        policy.admit(caller, 1000, "because", changes=changes)
    assert refused.value.code == code


def test_no_forced_token_becomes_a_sign_in() -> None:
    giving = [row for row in ROUTES if row.signature.answer in (TokensView, AccessView)]
    assert any(not row.policy.public for row in giving)
    for row in giving:
        assert row.policy.public or row.policy.in_person, row.name


def test_what_an_admin_changes_documents_the_second_look() -> None:
    for row in ROUTES:
        if row.policy.admins and row.changes:
            assert ErrorCode.REAUTHENTICATION_REQUIRED in row.codes, row.name


def test_a_page_that_is_not_full_is_the_last() -> None:
    things = [Thing(id=str(n)) for n in range(3)]
    assert Page[Thing].of(things, 5, (2, "x")).next_cursor is None
    assert Page[Thing].of([], 5, None).items == []
    cursor = Page[Thing].of(things, 3, (2, "한글")).next_cursor
    assert cursor is not None
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
