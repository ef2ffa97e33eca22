"""Packets as they go out: encoded once for each parser, shared by all who speak it."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import msgpack
from engineio import packet as eio_packet
from socketio import packet as sio_packet

TEXT, BINARY, CLOSE, PONG = 0x1, 0x2, 0x8, 0xA
"""Opcodes of WebSocket frames (RFC 6455, 5.2)."""

EVENT = sio_packet.EVENT
_OF_BINARY = {EVENT: sio_packet.BINARY_EVENT, sio_packet.ACK: sio_packet.BINARY_ACK}


def frame(opcode: int, data: bytes) -> bytes:
    """Return a whole WebSocket frame, not masked, as a server sends it (RFC 6455, 5.2)."""
    size = len(data)
    if size < 126:
        return bytes((0x80 | opcode, size)) + data
    if size < 65536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + data
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + data


ENGINE_PING = frame(TEXT, b"2")
ENGINE_CLOSE = frame(TEXT, b"1")

_pack: Callable[[Any], bytes] = msgpack.Packer().pack
"""One packer for all: making one costs as much as a packet."""


@cache
def _head_of(kind: int, namespace: str) -> bytes:
    """Return how a packet begins in the msgpack parser, up to its data."""
    head = msgpack.packb({"type": kind, "nsp": namespace, "data": None})
    return bytes(head[:-1])  # without the null


class Encoded:
    """A Socket.IO packet on its way to any number of clients.

    Args:
        kind: EVENT, ACK, CONNECT, CONNECT_ERROR or DISCONNECT.
        data: what it carries; None for nothing. Bytes in it are binary.
        number: of an ack.
    """

    __slots__ = (
        "_data",
        "_framed",
        "_kind",
        "_namespace",
        "_number",
        "_packed",
        "_spelled",
        "_text",
    )

    def __init__(self, kind: int, namespace: str, data: Any = None, number: int | None = None):
        self._kind = kind
        self._namespace = namespace
        self._data = data
        self._number = number
        self._packed: bytes | None = None
        """The packet of the msgpack parser, and as WebSocket frames:"""
        self._framed: bytes | None = None
        self._spelled: Sequence[str | bytes] | None = None
        """The same of the default parser."""
        self._text: bytes | None = None

    def parts(self, packed: bool) -> Sequence[str | bytes]:
        """Return the packet, and its binary parts if the parser sends them apart.

        Args:
            packed: for the msgpack parser.
        """
        if packed:
            if self._packed is None:
                self._packed = self._pack()
            return (self._packed,)
        if self._spelled is None:
            self._spelled = self._spell()
        return self._spelled

    def frames(self, packed: bool) -> bytes:
        """Return the WebSocket frames that carry it."""
        if packed:
            if self._framed is None:
                if self._packed is None:
                    self._packed = self._pack()
                self._framed = frame(BINARY, self._packed)
            return self._framed
        if self._text is None:
            self._text = b"".join(
                frame(TEXT, b"4" + part.encode()) if isinstance(part, str) else frame(BINARY, part)
                for part in self.parts(packed)
            )
        return self._text

    def packets(self, packed: bool) -> list[eio_packet.Packet]:
        """Return fresh Engine.IO packets, for the library's queue."""
        return [eio_packet.Packet(eio_packet.MESSAGE, data=part) for part in self.parts(packed)]

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
