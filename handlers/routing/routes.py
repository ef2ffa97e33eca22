"""The table of routes: a typed function becomes a row, checked when it is read."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypedDict, TypeVar, Unpack

from handlers.routing.call import Call, PublicCall
from handlers.routing.policy import Policy
from handlers.routing.signature import IN_PATH, Handler, Signature, signature_of
from models.errors import ErrorCode
from models.limits import Limit

H = TypeVar("H", bound=Handler)

WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_PATH = re.compile(r"(?:/(?:[a-z0-9][a-z0-9.-]*|\{[a-z][a-z0-9_]*\}))+")


class More(TypedDict, total=False):
    """What else a route may say of itself."""

    limit: Limit
    """Which rate holds for it; `OTHERS` if it does not say."""
    errors: Iterable[ErrorCode]
    """Those of its own, besides what every route may answer."""


class Declare(Protocol):
    """Makes a function the handler of a route, and leaves it as it is."""

    def __call__(self, handler: H, /) -> H:
        """Add the route to the table."""
        ...


class RouteError(Exception):
    """Routes that may not be served as they are declared. The message names each and its fault."""


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table."""

    method: str
    path: str
    """Template with Python names: `/v1/children/{child_id}`."""
    tag: str
    handler: Handler = field(repr=False)
    policy: Policy
    limit: Limit
    status: int
    idempotent: bool
    errors: frozenset[ErrorCode]
    signature: Signature = field(repr=False)

    @property
    def public_path(self) -> str:
        """The template as clients see it: `/v1/children/{childId}`."""
        names = {p.python_name: p.wire_name for p in self.signature.path}
        return IN_PATH.sub(lambda found: f"{{{names[found[1]]}}}", self.path)

    @property
    def name(self) -> str:
        """Method and template: what logs, limits and documents call it."""
        return f"{self.method} {self.public_path}"

    @property
    def changes(self) -> bool:
        """Whether a request may change something."""
        return self.method != "GET"

    @property
    def codes(self) -> frozenset[ErrorCode]:
        """Every error code the route may answer."""
        codes = {
            ErrorCode.INVALID,
            ErrorCode.INTERNAL,
            ErrorCode.BUSY,
            *self.errors,
        }
        if self.policy.signed is None:
            codes.add(ErrorCode.RATE_LIMITED)
        else:
            codes |= {ErrorCode.UNAUTHENTICATED, ErrorCode.TOO_LARGE}
        if not self.policy.public:
            codes |= {ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN}
        if self.policy.max_age(changes=self.changes) is not None:
            codes.add(ErrorCode.REAUTHENTICATION_REQUIRED)
        if self.policy.child is not None:
            codes.add(ErrorCode.NOT_FOUND)
        if self.signature.body is not None or self.signature.raw is not None:
            codes.add(ErrorCode.TOO_LARGE)
        if self.signature.body is not None:
            codes.add(ErrorCode.UNSUPPORTED_MEDIA_TYPE)
        if self.idempotent:
            codes |= {ErrorCode.IDEMPOTENCY_KEY_REUSED, ErrorCode.REQUEST_IN_PROGRESS}
        return frozenset(codes)


class Routes:
    """The routes of one resource, in the order of their declaration.

    Args:
        prefix: of every path.
        tag: the chapter of the documentation they stand in.
    """

    def __init__(self, prefix: str = "/v1", *, tag: str) -> None:
        self._prefix = prefix
        self._tag = tag
        self.rows: list[Route] = []

    def get(self, path: str, *, policy: Policy, **more: Unpack[More]) -> Declare:
        """Declare a GET; HEAD comes with it."""
        return self._declare("GET", path, policy, **more)

    def post(
        self,
        path: str,
        *,
        policy: Policy,
        status: int = 200,
        idempotent: bool = False,
        **more: Unpack[More],
    ) -> Declare:
        """Declare a POST.

        Args:
            status: of the answer; one without a view is always 204.
            idempotent: whether an `Idempotency-Key` is taken: for what creates or charges.
        """
        return self._declare("POST", path, policy, status=status, idempotent=idempotent, **more)

    def put(self, path: str, *, policy: Policy, **more: Unpack[More]) -> Declare:
        """Declare a PUT."""
        return self._declare("PUT", path, policy, **more)

    def patch(self, path: str, *, policy: Policy, **more: Unpack[More]) -> Declare:
        """Declare a PATCH."""
        return self._declare("PATCH", path, policy, **more)

    def delete(self, path: str, *, policy: Policy, **more: Unpack[More]) -> Declare:
        """Declare a DELETE."""
        return self._declare("DELETE", path, policy, **more)

    def _declare(
        self,
        method: str,
        path: str,
        policy: Policy,
        *,
        limit: Limit = Limit.OTHERS,
        errors: Iterable[ErrorCode] = (),
        status: int = 200,
        idempotent: bool = False,
    ) -> Declare:
        def declare(handler: H) -> H:
            signature, faults = signature_of(handler, self._prefix + path)
            faults += _faults(method, self._prefix + path, policy, signature)
            if faults:
                where = f"{method} {self._prefix}{path} ({handler.__module__})"
                raise RouteError(f"{where}: {'; '.join(faults)}.")
            self.rows.append(
                Route(
                    method=method,
                    path=self._prefix + path,
                    tag=self._tag,
                    handler=handler,
                    policy=policy,
                    limit=limit,
                    status=204 if signature.answer is None else status,
                    idempotent=idempotent,
                    errors=frozenset(errors),
                    signature=signature,
                )
            )
            return handler

        return declare


def _faults(method: str, path: str, policy: Policy, signature: Signature) -> list[str]:
    found = policy.faults()
    if not _PATH.fullmatch(path):
        found.append("a path is made of /words and /{names} in lower case")
    if policy.public and signature.call is Call:
        found.append("nobody is signed in on a public route: take `call: PublicCall`")
    if not policy.public and signature.call is PublicCall:
        found.append("a route that is not public takes `call: Call`")
    if policy.child is not None and policy.child not in {p.python_name for p in signature.path}:
        found.append(f"its policy names the child {policy.child}, the path does not")
    if policy.child is None and "{child_id}" in path and not policy.public:
        found.append("its path names a child, its policy does not: pass child='child_id'")
    if method not in WITH_BODY and (signature.body or signature.raw):
        found.append(f"a {method} has no body")
    return found


def check(tables: Iterable[Routes]) -> tuple[Route, ...]:
    """Return all rows of all tables.

    Raises:
        RouteError: two rows share method and path.
    """
    rows = [row for table in tables for row in table.rows]
    seen: dict[tuple[str, str], Route] = {}
    for row in rows:
        key = (row.method, IN_PATH.sub("{}", row.path))
        if key in seen:
            raise RouteError(f"{row.name} is declared twice, as {seen[key].name} too.")
        seen[key] = row
    return tuple(rows)
