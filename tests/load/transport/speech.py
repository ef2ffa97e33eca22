"""What is said over the WebSocket: Socket.IO by either parser, and Colyseus.

Every dialect says the same few things, in the words of the protocol page: join a namespace, ask an
event, send a frame message. What comes back is recognised without being decoded, by the bytes that
tell it apart: a generator that parsed everything would be what limits the measurement.
"""

import struct
from abc import ABC, abstractmethod
from typing import Any, Protocol

import msgpack
from socketio import packet as sio

from tests.load.transport.wire import BINARY, TEXT, frame

GAME, WATCH = "/game", "/watch"
_T0 = struct.Struct("<Q")
_T0_AT = 8
"""Where a frame message holds its capture time."""
_LEAST = 24
_MAGIC = b"\x47\x46\x01"
"""How a frame message begins."""


class Ear(Protocol):
    """Who is told what a server said."""

    def pinged(self) -> None:
        """The server wants to know whether we are there."""

    def score(self, t_us: int) -> None:
        """The score as it stood at the frame captured at `t_us`."""

    def feed(self, t_us: int) -> None:
        """A watched session's frame message captured at `t_us`."""

    def ack(self, buffered: int) -> None:
        """Everything up to `buffered` is kept."""

    def answer(self) -> None:
        """The answer to the event that was asked last."""

    def event(self, name: str) -> None:
        """Any other event."""

    def gone(self, why: str) -> None:
        """The server takes its leave."""


class Dialect(ABC):
    """How one kind of client speaks. What is sent is made as whole WebSocket frames."""

    name: str
    path = "/socket.io/?EIO=4&transport=websocket"

    @abstractmethod
    def join(self, namespace: str, auth: dict[str, Any]) -> bytes:
        """Return what asks to be let into a namespace."""

    @abstractmethod
    def event(self, namespace: str, name: str, args: list[Any], number: int | None = None) -> bytes:
        """Return an event; with a number it wants an answer."""

    def frames(self, seq: int, payload: bytes) -> bytes:
        """Return a frame message."""
        return self.event(GAME, "frames", [seq, payload])

    @abstractmethod
    def pong(self) -> bytes:
        """Return the answer to a ping."""

    @abstractmethod
    def joined(self, opcode: int, content: bytes) -> bool:
        """Tell whether a message lets us into the namespace; PermissionError if it refuses."""

    @abstractmethod
    def answered(self, opcode: int, content: bytes) -> dict[str, Any] | None:
        """Return the answer a message holds, None when it is no answer."""

    @abstractmethod
    def hear(self, ear: Ear, opcode: int, content: bytes) -> None:
        """Recognise a message and tell the ear."""


class DefaultParser(Dialect):
    """Socket.IO 5 as every client speaks it unless told otherwise: text, with binary parts."""

    name = "default"

    def join(self, namespace: str, auth: dict[str, Any]) -> bytes:
        """Return what asks to be let into a namespace."""
        return self._framed(sio.Packet(sio.CONNECT, namespace=namespace, data=auth))

    def event(self, namespace: str, name: str, args: list[Any], number: int | None = None) -> bytes:
        """Return an event; with a number it wants an answer."""
        packet = sio.Packet(sio.EVENT, namespace=namespace, id=number, data=[name, *args])
        return self._framed(packet)

    @staticmethod
    def _framed(packet: sio.Packet) -> bytes:
        parts = packet.encode()
        if isinstance(parts, str):
            return frame(TEXT, b"4" + parts.encode())
        head, *rest = parts
        return frame(TEXT, b"4" + head.encode()) + b"".join(frame(BINARY, part) for part in rest)

    def pong(self) -> bytes:
        """Return the answer to a ping."""
        return frame(TEXT, b"3")

    def joined(self, opcode: int, content: bytes) -> bool:
        """Tell whether a message lets us into the namespace."""
        if content.startswith(b"44"):
            raise PermissionError(content.decode())
        return content.startswith(b"40")

    def answered(self, opcode: int, content: bytes) -> dict[str, Any] | None:
        """Return the answer a message holds."""
        if opcode != TEXT or not content.startswith(b"4"):
            return None
        packet = sio.Packet(encoded_packet=content[1:].decode())
        if packet.packet_type == sio.BINARY_ACK:
            return {"ok": {}}  # its binary parts follow, and are heard as nothing
        return packet.data[0] if packet.packet_type == sio.ACK else None

    def hear(self, ear: Ear, opcode: int, content: bytes) -> None:
        """Recognise a message and tell the ear."""
        if opcode == BINARY:
            if len(content) >= _LEAST and content.startswith(_MAGIC):
                ear.feed(_T0.unpack_from(content, _T0_AT)[0])
            return
        if opcode != TEXT:
            ear.gone("the WebSocket was closed")
            return
        kind = content[:2]
        if kind == b"42":
            at = content.find(b'["') + 2
            name = content[at : content.find(b'"', at)]
            if name == b"score":
                ear.score(_number(content, b'"t_us":'))
            elif name == b"ack":
                ear.ack(_number(content, b'"buffered":'))
            else:
                ear.event(name.decode())
        elif kind == b"2":
            ear.pinged()
        elif kind == b"43":
            ear.answer()
        elif kind in (b"41", b"1"):
            ear.gone("the server disconnected us")
        # What is left: the heads of events whose binary part tells all, answers with such parts.


class MsgpackParser(Dialect):
    """Socket.IO with `socket.io-msgpack-parser`: every packet one binary message."""

    name = "msgpack"

    def join(self, namespace: str, auth: dict[str, Any]) -> bytes:
        """Return what asks to be let into a namespace."""
        return self._framed({"type": sio.CONNECT, "nsp": namespace, "data": auth})

    def event(self, namespace: str, name: str, args: list[Any], number: int | None = None) -> bytes:
        """Return an event; with a number it wants an answer."""
        packet = {"type": sio.EVENT, "data": [name, *args], "options": {"compress": True}}
        if number is not None:
            packet["id"] = number
        return self._framed({**packet, "nsp": namespace})

    @staticmethod
    def _framed(packet: dict[str, Any]) -> bytes:
        return frame(BINARY, msgpack.packb(packet))

    def pong(self) -> bytes:
        """Return the answer to a ping."""
        return frame(TEXT, b"3")

    def joined(self, opcode: int, content: bytes) -> bool:
        """Tell whether a message lets us into the namespace."""
        packet = msgpack.unpackb(content) if opcode == BINARY else {}
        if packet.get("type") == sio.CONNECT_ERROR:
            raise PermissionError(str(packet.get("data")))
        return bool(packet.get("type") == sio.CONNECT)

    def answered(self, opcode: int, content: bytes) -> dict[str, Any] | None:
        """Return the answer a message holds."""
        packet = msgpack.unpackb(content) if opcode == BINARY else {}
        if packet.get("type") not in (sio.ACK, sio.BINARY_ACK):
            return None
        answer: dict[str, Any] = packet["data"][0]
        return answer

    def hear(self, ear: Ear, opcode: int, content: bytes) -> None:
        """Recognise a message and tell the ear."""
        if opcode == BINARY:
            at = content.find(_MAGIC)
            if at >= 0 and b"\xa4feed" in content:
                ear.feed(_T0.unpack_from(content, at + _T0_AT)[0])
                return
            self._packet(ear, msgpack.unpackb(content))
        elif content == b"2":
            ear.pinged()
        elif opcode != TEXT or content == b"1":
            ear.gone("the WebSocket was closed")

    @staticmethod
    def _packet(ear: Ear, packet: dict[str, Any]) -> None:
        kind = packet["type"]
        if kind == sio.EVENT:
            data = packet["data"]
            if data[0] == "score":
                ear.score(int(data[1]["t_us"]))
            elif data[0] == "ack":
                ear.ack(int(data[1]["buffered"]))
            elif data[0] != "feed":
                ear.event(data[0])
        elif kind == sio.ACK:
            ear.answer()
        elif kind == sio.DISCONNECT:
            ear.gone("the server disconnected us")


class ColyseusProtocol(Dialect):
    """Colyseus 0.18: a room is a session; who plays and who watches are its clients.

    The first byte tells the kind. `ROOM_DATA_BYTES` carries a type and raw bytes: the cheapest way
    it has for a frame message, which is why it is used here, with the seq in front.
    """

    name = "colyseus"
    JOIN_ROOM, ERROR, LEAVE_ROOM, ROOM_DATA, ROOM_DATA_BYTES = 10, 11, 12, 13, 17
    _FEED = bytes([ROOM_DATA_BYTES]) + b"\xa4feed"
    _SCORE = bytes([ROOM_DATA]) + b"\xa5score"
    _SEQ = struct.Struct("<I")

    def join(self, namespace: str, auth: dict[str, Any]) -> bytes:
        """Return what says that the room's hello was understood."""
        return frame(BINARY, bytes([self.JOIN_ROOM]))

    def event(self, namespace: str, name: str, args: list[Any], number: int | None = None) -> bytes:
        """Return a message of a type."""
        body = msgpack.packb(name) + msgpack.packb(args)
        return frame(BINARY, bytes([self.ROOM_DATA]) + body)

    def frames(self, seq: int, payload: bytes) -> bytes:
        """Return a frame message."""
        head = bytes([self.ROOM_DATA_BYTES]) + msgpack.packb("frames")
        return frame(BINARY, head + self._SEQ.pack(seq) + payload)

    def pong(self) -> bytes:
        """Return nothing: it pings by WebSocket pings."""
        return b""

    def joined(self, opcode: int, content: bytes) -> bool:
        """Tell whether a message lets us into the room."""
        if content[:1] == bytes([self.ERROR]):
            raise PermissionError(repr(content))
        return content[:1] == bytes([self.JOIN_ROOM])

    def answered(self, opcode: int, content: bytes) -> dict[str, Any] | None:
        """Return nothing: messages have no answers."""
        return None

    def hear(self, ear: Ear, opcode: int, content: bytes) -> None:
        """Recognise a message and tell the ear."""
        if content.startswith(self._FEED):
            ear.feed(_T0.unpack_from(content, content.find(_MAGIC) + _T0_AT)[0])
        elif content.startswith(self._SCORE):
            ear.score(int(msgpack.unpackb(content[len(self._SCORE) :])["t_us"]))
        elif opcode != BINARY or content[:1] == bytes([self.LEAVE_ROOM]):
            ear.gone("the room was left")
        else:
            ear.event(f"message of kind {content[0]}")


DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect for dialect in (DefaultParser(), MsgpackParser(), ColyseusProtocol())
}


def _number(content: bytes, key: bytes) -> int:
    """Return the whole number that follows a key."""
    start = end = content.find(key) + len(key)
    while content[end] in b"-0123456789":
        end += 1
    return int(content[start:end])
