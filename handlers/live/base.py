"""A namespace: who may enter, the table of its events, and the shape of every answer."""

import asyncio
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from config import metrics
from handlers.auth import principal_of_connect
from handlers.deps import Deps
from handlers.errors import ack_body, as_app_error
from handlers.live.protocol import PROTOCOL, TokenRenew
from models.accounts.records import Principal, Role
from models.errors import AppError, ErrorCode

log = logging.getLogger(__name__)

Ack = Callable[..., None]
MAX_SEQ = 2**53
"""Where the numbers of messages end: JavaScript counts no further."""
EXPIRY_SECONDS = 10.0
"""How often connections whose token has ended are looked for."""


class Line(Protocol):
    """The way to one client."""

    @property
    def backlog(self) -> int:
        """Packets that wait for it."""
        ...

    def post(self, encoded: Any, *, lossy: bool = False) -> None:
        """Queue an encoded event; never waits. Nothing happens if the client is gone.

        Too much waiting ends the connection, or leaves out what is `lossy`.
        """
        ...


class Nowhere:
    """The way to a client that is gone."""

    backlog = 0

    def post(self, encoded: Any, *, lossy: bool = False) -> None:
        """Forget it."""


class Wire(Protocol):
    """What a connection sends through; the composition gives the Socket.IO server."""

    def encode(self, namespace: str, event: str, args: tuple[object, ...]) -> Any:
        """Return an event ready to be sent to any number of clients."""
        ...

    def enclose(self, namespace: str, event: str, count: int, args: bytes) -> Any:
        """Do the same for so many arguments that are msgpack already, one behind the other."""
        ...

    def line(self, eio_sid: str) -> Line:
        """Return the way to a client."""
        ...

    async def seat(self, eio_sid: str, account: str) -> None:
        """Give a connection of an account its place; refuses with an AppError."""
        ...

    def address(self, eio_sid: str) -> str | None:
        """Return who is counted for a connection; None from this machine, or gone."""
        ...

    def hold(self, eio_sid: str, held: bool) -> None:
        """Read nothing more of a client, or read on; what it is sent goes on meanwhile."""
        ...

    def drop(self, eio_sid: str) -> None:
        """Close a client's connection once what is queued was sent."""
        ...


class Connection:
    """One client in one namespace."""

    __slots__ = ("eio_sid", "line", "namespace", "open", "who", "wire")

    def __init__(self, wire: Wire, namespace: str, eio_sid: str, who: Principal) -> None:
        self.namespace = namespace
        self.eio_sid = eio_sid
        self.who = who
        self.wire = wire
        self.line = wire.line(eio_sid)
        self.open = True

    def send(self, event: str, *args: object) -> None:
        """Send an event; never waits."""
        if self.open:
            self.line.post(self.wire.encode(self.namespace, event, args))

    def tell(self, event: str, body: bytes) -> None:
        """Send an event whose argument is msgpack already; never waits."""
        if self.open:
            self.line.post(self.wire.enclose(self.namespace, event, 1, body))

    def post(self, encoded: Any, *, lossy: bool = False) -> None:
        """Send an event that is encoded already; to a slow reader not, if it is `lossy`."""
        if self.open:
            self.line.post(encoded, lossy=lossy)

    def end(self, event: str, error: AppError) -> None:
        """Tell why in `event`, then close."""
        self.send(event, error.body())
        self.open = False
        self.wire.drop(self.eio_sid)

    def hold(self, held: bool) -> None:
        """Read nothing more of this client, or read on."""
        self.wire.hold(self.eio_sid, held)

    def shut(self) -> None:
        """Send nothing more, and let go of the line: the client is gone."""
        self.open = False
        self.line = Nowhere()

    @property
    def backlog(self) -> int:
        """Packets that wait for this client."""
        return self.line.backlog


C = TypeVar("C", bound=Connection)


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the event table.

    `handler` is called with the connection, the validated payload and a reply; a numbered event
    has its seq as first argument on the wire. `hot` is called with the connection, the seq and the
    bytes of a numbered event that carries just these and wants no answer, without the general way.
    `berth` tells where those of a connection are taken together with others, and the key to it.
    """

    payload: type[BaseModel] | None
    handler: Callable[..., None]
    numbered: bool = False
    hot: Callable[[Any, int, bytes], None] | None = None
    berth: Callable[[Any], tuple[int, int]] | None = None


@dataclass(frozen=True, slots=True)
class Hot:
    """The event of a connection that a transport may hand straight to its handler."""

    namespace: str
    event: str
    call: Callable[[int, bytes], None]
    berth: Callable[[], tuple[int, int]] | None = None

    @property
    def head(self) -> str:
        """How its packet begins in the default parser, up to the number."""
        return f"51-{self.namespace},[{json.dumps(self.event)},"


class LiveNamespace(ABC, Generic[C]):
    """Base of `/game` and `/watch`."""

    name: str
    roles: frozenset[Role]
    in_person = False
    """Whether an admin may not enter in somebody else's name."""

    def __init__(self, deps: Deps, wire: Wire) -> None:
        self.deps = deps
        self.wire = wire
        self.connections: dict[str, C] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.table: dict[str, Event] = {
            "token:renew": Event(TokenRenew, self._renew),
            **self.events(),
        }

    @abstractmethod
    def events(self) -> dict[str, Event]:
        """Return the namespace's own events."""

    @abstractmethod
    def joined(self, eio_sid: str, who: Principal) -> C:
        """Make the connection of a client that was let in."""

    @abstractmethod
    async def left(self, connection: C) -> None:
        """Clean up after a client that is gone; may come late."""

    async def connect(self, eio_sid: str, auth: Any) -> None:
        """Let a client in.

        Raises:
            AppError: why not.
        """
        try:
            who = principal_of_connect(
                self.deps.verifier, auth, self.roles, in_person=self.in_person
            )
            await self.wire.seat(eio_sid, who.answerable)
        except AppError as error:
            metrics.CONNECTS_REFUSED.labels(self.name, error.code).inc()
            raise
        self.connections[eio_sid] = self.joined(eio_sid, who)
        metrics.CONNECTIONS.labels(self.name).inc()

    def welcome(self, eio_sid: str) -> None:
        """Say the first thing after CONNECT."""
        connection = self.connections.get(eio_sid)
        if connection is None:
            return
        socket, live = self.deps.settings.socket, self.deps.settings.live
        connection.send(
            "welcome",
            {
                "protocol": PROTOCOL,
                "server_version": self.deps.version,
                "node": self.deps.node,
                "limits": {
                    "message_bytes": socket.message_bytes,
                    "messages_s": socket.messages_s,
                    "bytes_s": socket.bytes_s,
                    "unacked": live.unacked_messages,
                },
                "time_us": self.deps.clock.time_us(),
            },
        )

    async def disconnect(self, eio_sid: str) -> None:
        """A client is gone. Safe to call twice."""
        connection = self.connections.pop(eio_sid, None)
        if connection is None:
            return
        connection.shut()
        metrics.CONNECTIONS.labels(self.name).dec()
        await self.left(connection)

    def dispatch(self, eio_sid: str, event: Any, args: list[Any], ack: Ack | None) -> None:
        """Hand an event to its handler, in the order of arrival; never waits, never raises."""
        connection = self.connections.get(eio_sid)
        if connection is None:
            return

        def reply(answer: dict[str, Any] | AppError) -> None:
            if isinstance(answer, AppError):
                metrics.EVENTS_REFUSED.labels(self.name, answer.code).inc()
            if ack is not None:
                ack(ack_body(answer))

        row = self.table.get(event) if isinstance(event, str) else None
        try:
            if row is None:
                raise AppError(
                    ErrorCode.INVALID, f"{self.name} has no such event; see the protocol's table."
                )
            if row.numbered:
                row.handler(connection, args, reply if ack is not None else None)
            else:
                row.handler(connection, parse(row.payload, args, event), reply)
        except Exception as error:
            reply(as_app_error(error, str(event)[:64]))

    def hot(self, eio_sid: str) -> Hot | None:
        """Return the hot event of a client, if the namespace has one."""
        connection = self.connections.get(eio_sid)
        for event, row in self.table.items():
            if row.hot is not None and connection is not None:
                berth = None if row.berth is None else partial(row.berth, connection)
                return Hot(self.name, event, partial(row.hot, connection), berth)
        return None

    def later(
        self, call: Awaitable[dict[str, Any]], where: str, reply: Callable[..., None]
    ) -> None:
        """Answer when `call` is done; other events of the client go on meanwhile."""

        async def run() -> None:
            try:
                reply(await call)
            except Exception as error:
                reply(as_app_error(error, where))

        task = asyncio.create_task(run(), name=f"{self.name} {where}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run(self) -> None:
        """Close the connections whose token has ended, for ever."""
        while True:
            await asyncio.sleep(EXPIRY_SECONDS)
            now = self.deps.clock.time_us() // 1_000_000
            for connection in list(self.connections.values()):
                if now > connection.who.expires_at:
                    metrics.LIMITED.labels("token_expired").inc()
                    connection.end(
                        "closed", AppError(ErrorCode.UNAUTHENTICATED, "The token has expired.")
                    )

    def revoke(self, sign_in: str) -> None:
        """End the connections of a sign-in that was withdrawn."""
        for connection in list(self.connections.values()):
            actor = connection.who.actor
            if sign_in in (connection.who.sign_in, actor and actor.sign_in):
                metrics.LIMITED.labels("revoked").inc()
                connection.end(
                    "revoked", AppError(ErrorCode.UNAUTHENTICATED, "You were signed out.")
                )

    async def close(self) -> None:
        """Wait shortly for the calls under way, then cancel them."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=2.0)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _renew(self, connection: C, asked: TokenRenew, reply: Callable[..., None]) -> None:
        who = self.deps.verifier.principal(asked.token)
        old = connection.who
        if (who.user_id, who.sign_in) != (old.user_id, old.sign_in):
            raise AppError(ErrorCode.FORBIDDEN, "The new token is of another sign-in.")
        connection.who = who
        reply({})


def parse(model: type[BaseModel] | None, args: list[Any], event: str) -> Any:
    """Return the validated payload of an event.

    Raises:
        AppError: `invalid`, naming the field and what it should be.
    """
    if model is None:
        return None
    if len(args) > 1:
        raise AppError(ErrorCode.INVALID, f"{event} takes one payload.")
    try:
        return model.model_validate(args[0] if args else {})
    except ValueError as error:
        raise as_app_error(error, event) from error
