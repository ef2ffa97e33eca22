"""Packets as they go out: encoded once for each parser, shared by all who speak it."""

import json
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

import msgpack
from engineio import packet as eio_packet
from socketio import packet as sio_packet

TEXT, BINARY, CLOSE, PONG = 0x1, 0x2, 0x8, 0xA
"""Opcodes of WebSocket frames (RFC 6455, 5.2)."""

_SHORT = {
    opcode: [bytes((0x80 | opcode, size)) for size in range(126)]
    for opcode in (TEXT, BINARY, CLOSE, PONG)
}
"""How frames of so few bytes begin."""
_LONG, _LONGER = struct.Struct(">BBH"), struct.Struct(">BBQ")
"""How those of more bytes begin."""

EVENT = sio_packet.EVENT
_OF_BINARY = {EVENT: sio_packet.BINARY_EVENT, sio_packet.ACK: sio_packet.BINARY_ACK}


def frame(opcode: int, data: bytes) -> bytes:
    """Return a whole WebSocket frame, not masked, as a server sends it (RFC 6455, 5.2)."""
    return _begin(opcode, len(data)) + data


def _begin(opcode: int, size: int) -> bytes:
    """Return the head of a frame of so many bytes."""
    if size < 126:
        return _SHORT[opcode][size]
    if size < 65536:
        return _LONG.pack(0x80 | opcode, 126, size)
    return _LONGER.pack(0x80 | opcode, 127, size)


def _content(framed: bytes) -> bytes:
    """Return what a frame of ours carries."""
    head = {126: _LONG.size, 127: _LONGER.size}.get(framed[1], 2)
    return framed[head:]


ENGINE_PING = frame(TEXT, b"2")
ENGINE_CLOSE = frame(TEXT, b"1")

_pack: Callable[[Any], bytes] = msgpack.Packer().pack
"""One packer for all: making one costs as much as a packet."""


@cache
def _head_of(kind: int, namespace: str) -> bytes:
    """Return how a packet begins in the msgpack parser, up to its data."""
    head = msgpack.packb({"type": kind, "nsp": namespace, "data": None})
    return bytes(head[:-1])  # without the null


@lru_cache(maxsize=1024)
def _start_of(namespace: str, event: str, count: int, size: int) -> bytes:
    """Return how the frame of an event begins in the msgpack parser, up to the first argument.

    Args:
        count: how many arguments there are.
        size: bytes of them all. What is told often has the same few sizes again and again.
    """
    start = _head_of(EVENT, namespace) + bytes((0x90 | count + 1,)) + _pack(event)
    return _begin(BINARY, len(start) + size) + start


class Outgoing(ABC):
    """A Socket.IO packet on its way to any number of clients; each form is made once."""

    __slots__ = ("_spelled", "_text", "framed")

    framed: bytes | None
    """The WebSocket frame of the msgpack parser, once it was asked for."""
    _spelled: Sequence[str | bytes] | None
    """The packet of the default parser, and as WebSocket frames:"""
    _text: bytes | None

    @abstractmethod
    def _pack(self) -> bytes:
        """Return the packet of the msgpack parser."""

    @abstractmethod
    def _spell(self) -> Sequence[str | bytes]:
        """Return the packet of the default parser, and its binary parts."""

    def parts(self, packed: bool) -> Sequence[str | bytes]:
        """Return the packet, and its binary parts if the parser sends them apart.

        Args:
            packed: for the msgpack parser.
        """
        if packed:
            return (_content(self.frames(packed)),)
        if self._spelled is None:
            self._spelled = self._spell()
        return self._spelled

    def frames(self, packed: bool) -> bytes:
        """Return the WebSocket frames that carry it."""
        if packed:
            if self.framed is None:
                self.framed = frame(BINARY, self._pack())
            return self.framed
        if self._text is None:
            self._text = b"".join(
                frame(TEXT, b"4" + part.encode()) if isinstance(part, str) else frame(BINARY, part)
                for part in self.parts(packed)
            )
        return self._text

    def packets(self, packed: bool) -> list[eio_packet.Packet]:
        """Return fresh Engine.IO packets, for the library's queue."""
        return [eio_packet.Packet(eio_packet.MESSAGE, data=part) for part in self.parts(packed)]


class Encoded(Outgoing):
    """A packet of Python's values.

    Args:
        kind: EVENT, ACK, CONNECT, CONNECT_ERROR or DISCONNECT.
        data: what it carries; None for nothing. Bytes in it are binary.
        number: of an ack.
    """

    __slots__ = ("_data", "_kind", "_namespace", "_number")

    def __init__(self, kind: int, namespace: str, data: Any = None, number: int | None = None):
        self._kind = kind
        self._namespace = namespace
        self._data = data
        self._number = number
        self._spelled = self._text = self.framed = None

    def _pack(self) -> bytes:
        if self._kind == EVENT and self._data is not None and self._number is None:
            # Its namespace is one of ours, not what a client wrote.
            return _head_of(self._kind, self._namespace) + _pack(self._data)
        packet: dict[str, Any] = {"type": self._kind, "nsp": self._namespace}
        # A parser that finds `data: null` in a DISCONNECT takes the packet for broken.
        if self._data is not None:
            packet["data"] = self._data
        if self._number is not None:
            packet["id"] = self._number
        return _pack(packet)

    def _spell(self) -> Sequence[str | bytes]:
        text, parts = _JSON.spell(self._data) if self._data is not None else ("", ())
        kind = str(_OF_BINARY[self._kind]) + f"{len(parts)}-" if parts else str(self._kind)
        namespace = "" if self._namespace == "/" else f"{self._namespace},"
        number = "" if self._number is None else str(self._number)
        return f"{kind}{namespace}{number}{text}", *parts


class Enclosed(Outgoing):
    """An event whose arguments are msgpack already; framed at once, as nearly all take it.

    Args:
        namespace: one of ours.
        count: how many arguments there are, at most 14.
        args: one behind the other.
    """

    __slots__ = ()

    framed: bytes

    def __init__(self, namespace: str, event: str, count: int, args: bytes):
        self.framed = _start_of(namespace, event, count, len(args)) + args
        self._spelled = self._text = None

    def _pack(self) -> bytes:
        return _content(self.framed)

    def _spell(self) -> Sequence[str | bytes]:
        packet = msgpack.unpackb(self._pack())
        return Encoded(EVENT, packet["nsp"], packet["data"]).parts(packed=False)


class _Json:
    """JSON with placeholders where there are bytes; one pass, one encoder for all packets."""

    def __init__(self) -> None:
        self._encoder = json.JSONEncoder(separators=(",", ":"), default=self._part)
        self._parts: list[bytes] = []

    def spell(self, data: Any) -> tuple[str, list[bytes]]:
        """Return the text and the binary parts it stands for."""
        self._parts = []
        return self._encoder.encode(data), self._parts

    def _part(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, bytes | bytearray):
            raise TypeError(f"a {type(value).__name__} cannot be sent")
        self._parts.append(bytes(value))
        return {"_placeholder": True, "num": len(self._parts) - 1}


_JSON = _Json()
