"""From a message of a client to the namespace it is for; the same for every transport."""

from collections.abc import Coroutine
from functools import partial
from typing import Any, Protocol

from config import metrics
from config.clock import Clock
from config.settings import SocketSettings
from handlers.errors import ack_body
from handlers.live.base import MAX_SEQ, Hot, LiveNamespace
from handlers.ratelimit import full_error
from models.errors import AppError, ErrorCode
from server.realtime.guard import Ended, Guard, invalid
from server.realtime.packed import PackedReader
from server.realtime.packets import (
    BINARY_EVENT,
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    EVENT,
    Bounds,
    ContentError,
    Packet,
    PacketError,
    Reader,
    complete,
)
from server.realtime.wire import Encoded

Work = Coroutine[Any, Any, None]
"""What has to be waited for before the next message of the same client is looked at."""


class Host(Protocol):
    """What a packet may lead to; the Socket.IO server."""

    async def crowded(self, guard: Guard) -> bool:
        """Tell whether there is no room for a connection that has begun."""
        ...

    def enter(self, sid: str, namespace: str, auth: Any) -> Work:
        """Answer a client that may ask for a namespace, and welcome it."""
        ...

    def leave(self, sid: str, namespace: str) -> Work:
        """Let a client leave a namespace."""
        ...

    def post(self, eio_sid: str, encoded: Encoded) -> None:
        """Queue a packet for a client."""
        ...

    def answer(self, sid: str, namespace: str, number: int, *answers: Any) -> None:
        """Send an ack."""
        ...

    def tell(self, sid: str, event: str, body: dict[str, Any]) -> None:
        """Say something to a client, in every namespace it is in."""
        ...

    def end(self, sid: str, ended: Ended) -> None:
        """Tell a client why, then close."""
        ...


class Intake:
    """Reads packets, in either parser, and hands them to the rooms.

    Args:
        rooms: the namespaces by name, as they are added.
    """

    def __init__(
        self,
        host: Host,
        rooms: dict[str, LiveNamespace[Any]],
        limits: SocketSettings,
        clock: Clock,
    ) -> None:
        self._host = host
        self._rooms = rooms
        self._limits = limits
        self._clock = clock
        bounds = Bounds(limits.json_depth, limits.json_length, limits.attachments)
        self._reader = Reader(bounds)
        self._packed = PackedReader(bounds)

    def receive(
        self, sid: str, guard: Guard, data: str | bytes, hot: Hot | None = None
    ) -> Work | None:
        """Take the payload of an Engine.IO message; never raises.

        Args:
            hot: the event of this connection that goes straight to its handler.

        Returns:
            What to await before the next message, for the few packets that need it.
        """
        if guard.ended:
            return None
        try:
            if guard.packed is None:
                # The first packet shows which parser the client has.
                guard.packed = isinstance(data, bytes)
            if not guard.packed:
                packet = self._spelled(sid, guard, data)
            elif isinstance(data, bytes):
                packet = self._unpacked(sid, data, hot)
            else:
                raise PacketError("text from a client of the msgpack parser")
            return None if packet is None else self._take(sid, guard, packet)
        except PacketError as error:
            self._host.end(sid, invalid(str(error)))
        except Ended as ended:
            self._host.end(sid, ended)
        return None

    def _spelled(self, sid: str, guard: Guard, data: str | bytes) -> Packet | None:
        if isinstance(data, bytes):
            packet = guard.part(data)
            if packet is not None:
                complete(packet)
            return packet
        packet, text = self._reader.head(data)
        try:
            self._reader.fill(packet, text)
        except ContentError as error:
            self._reject(sid, packet, str(error))
            return None
        if not packet.due:
            return packet
        if not self._is_in(sid, packet.namespace):
            raise PacketError("binary parts before a namespace was joined")
        guard.expect(packet, self._clock.monotonic())
        return None

    def _unpacked(self, sid: str, data: bytes, hot: Hot | None) -> Packet | None:
        packet = None
        try:
            raw = self._packed.unpack(data)
            args = raw.get("data")
            if (
                hot is not None
                and type(args) is list
                and len(args) == 3
                and args[0] == hot.event
                and type(args[1]) is int
                and type(args[2]) is bytes
                and raw.get("type") == EVENT
                and raw.get("nsp") == hot.namespace
                and raw.get("id") is None
                and 0 <= args[1] < MAX_SEQ
            ):
                hot.call(args[1], args[2])
                return None
            packet = self._packed.packet(raw)
            self._packed.check(packet)
        except ContentError as error:
            self._reject(sid, packet, str(error))
            return None
        return packet

    def _take(self, sid: str, guard: Guard, packet: Packet) -> Work | None:
        kind, namespace = packet.kind, packet.namespace
        if kind == CONNECT:
            return self._join(sid, guard, namespace, packet.data)
        room = self._rooms.get(namespace)
        if room is None or sid not in room.connections:
            raise PacketError("a packet for a namespace that was not joined")
        if kind == DISCONNECT:
            return self._host.leave(sid, namespace)
        if kind in (EVENT, BINARY_EVENT):
            number = packet.id
            ack = None if number is None else partial(self._host.answer, sid, namespace, number)
            room.dispatch(sid, packet.data[0], packet.data[1:], ack)
        # An ack of a client answers nothing: the server asks for none.
        return None

    async def _join(self, sid: str, guard: Guard, namespace: str, auth: Any) -> None:
        """Answer a client that asks for a namespace.

        Raises:
            Ended: it may not ask again.
        """
        guard.asked += 1
        room = self._rooms.get(namespace)
        refusal: AppError | None = None
        if await self._host.crowded(guard):
            refusal = full_error("this address or server", self._limits.retry_ms)
        elif guard.asked > self._limits.namespaces:
            refusal = AppError(ErrorCode.INVALID, "This connection asked for too many namespaces.")
        elif room is None:
            self._refuse(sid, namespace, {"message": "Invalid namespace"})
            raise Ended("namespaces", AppError(ErrorCode.INVALID, "There is no such namespace."))
        elif sid in room.connections:
            refusal = AppError(ErrorCode.CONFLICT, "This connection is in the namespace already.")
        else:
            await self._host.enter(sid, namespace, auth)
        if refusal is not None:
            body = refusal.body()
            self._refuse(sid, namespace, {"message": body.pop("message"), "data": body})
            raise Ended("namespaces", refusal)

    def _refuse(self, sid: str, namespace: str, why: dict[str, Any]) -> None:
        self._host.post(sid, Encoded(CONNECT_ERROR, namespace, why))

    def _is_in(self, sid: str, namespace: str) -> bool:
        room = self._rooms.get(namespace)
        return room is not None and sid in room.connections

    def _reject(self, sid: str, packet: Packet | None, why: str) -> None:
        """Answer a message whose content nobody will look at."""
        error = AppError(ErrorCode.INVALID, f"The message was not read: {why}.")
        metrics.LIMITED.labels("json").inc()
        if packet is None:  # it did not even come to light what it was
            self._host.tell(sid, "refused", {"seq": None, **error.body()})
            return
        if packet.kind != EVENT or not self._is_in(sid, packet.namespace):
            # The parts of a binary event come all the same, and must not be taken for another's.
            raise PacketError(why)
        metrics.EVENTS_REFUSED.labels(packet.namespace, error.code).inc()
        if packet.id is not None:
            self._host.answer(sid, packet.namespace, packet.id, ack_body(error))
        else:
            self._host.tell(sid, "refused", {"seq": None, **error.body()})
