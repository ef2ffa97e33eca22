"""Socket.IO packets of the msgpack parser, as clients send them: read strictly, within limits.

One binary message holds a map: `type`, `nsp`, `data`, `id` (socket.io-msgpack-parser). What else is
in it, such as the JavaScript client's `options`, is not looked at.
"""

import math
from typing import Any

import msgpack

from server.realtime.packets import (
    ACK,
    CONNECT,
    DISCONNECT,
    EVENT,
    ID_DIGITS,
    Bounds,
    ContentError,
    Packet,
    PacketError,
    check_shape,
    levels,
)

SMALL = 1024
"""A message of so few bytes may be unpacked unseen: what it declares cannot cost much."""
NOTEPACK = 0
"""Extension of notepack, the JavaScript client's encoder: `undefined` as a byte 0, a Date as eight
bytes, and in Node.js an ArrayBuffer as whatever is in it."""
_KINDS = frozenset((CONNECT, DISCONNECT, EVENT, ACK))
_DATE_BYTES = 8
_SOUND = frozenset((str, int, bool, type(None)))
"""Of these nothing is to be looked at."""
_PLAIN = _SOUND | {float}
_FEW = 16
"""Values beside one another that are looked at one by one."""


class PackedReader:
    """Reads packets of the msgpack parser."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._few = min(_FEW, bounds.length) if bounds.depth > 1 else 0

    def unpack(self, data: bytes) -> dict[Any, Any]:
        """Return the map a message holds; its content is not checked yet.

        Raises:
            PacketError: it holds none.
            ContentError: it would cost too much to find out.
        """
        if len(data) > SMALL:
            self._scan(data)
        try:
            # A list is made as long as it says it is before its items are seen.
            packet = msgpack.unpackb(
                data, max_array_len=len(data), max_map_len=len(data), ext_hook=_extension
            )
        except (ValueError, TypeError, RecursionError) as error:
            # ValueError: cut short, longer than it says, no UTF-8; TypeError: a key of a list.
            raise PacketError("a message that is not msgpack") from error
        if type(packet) is not dict:
            raise PacketError("a message that is no map")
        return packet

    def packet(self, raw: dict[Any, Any]) -> Packet:
        """Return the packet a map stands for; `check` looks at what it carries.

        Raises:
            PacketError: it stands for none.
        """
        kind, namespace, number = raw.get("type"), raw.get("nsp"), raw.get("id")
        if type(kind) is not int or kind not in _KINDS:
            raise PacketError("a packet of a kind that a client does not send")
        if type(namespace) is not str:
            raise PacketError("a packet without a namespace")
        if number is not None and (type(number) is not int or not 0 <= number < 10**ID_DIGITS):
            raise PacketError("an ack number that is none")
        packet = Packet(kind, namespace.partition("?")[0], number, 0)
        packet.data = raw.get("data")
        check_shape(packet)
        return packet

    def check(self, packet: Packet) -> None:
        """Look at what a packet carries.

        Raises:
            ContentError: it nests too deep, is too long, or holds what JSON could not hold.
        """
        if _is_plain(packet.data, self._few):
            return
        bins = 0
        for level in levels(packet.data, self._bounds):
            for item in level:
                kind = type(item)
                if kind is bytes:
                    bins += 1
                elif kind is dict:
                    if not all(type(name) is str for name in item):
                        raise ContentError("a name in it is no text")
                elif kind is not list and (
                    kind not in _PLAIN or (kind is float and not math.isfinite(item))
                ):
                    raise ContentError("it holds a number that is not finite, or no such value")
        if bins > self._bounds.parts:
            raise ContentError(f"it has more than {self._bounds.parts} binary parts")

    def _scan(self, data: bytes) -> None:
        """Refuse what would cost more to unpack than it is long; builds nothing.

        Raises:
            PacketError: it declares more than there is, or is no msgpack.
            ContentError: it nests too deep, or has too many items.
        """
        at, end, seen = 0, len(data), 0
        depth, length, _ = self._bounds
        open_items: list[int] = []
        while at < end:
            seen += 1
            if seen > 2 * length:
                raise ContentError(f"it has more than {2 * length} items")
            size, items = _head(data, at)
            at += size
            if items > end - at:
                raise PacketError("a message that is cut short")
            if items:
                open_items.append(items)
                if len(open_items) > depth + 2:
                    raise ContentError(f"it nests deeper than {depth}")
                continue
            while open_items:
                open_items[-1] -= 1
                if open_items[-1]:
                    break
                open_items.pop()


def _is_plain(data: Any, few: int) -> bool:
    """Tell whether something is as nearly all events are: no more than a few values, and sound."""
    if type(data) is not list or len(data) > few:
        return False
    for item in data:
        if type(item) is dict:
            if len(item) > few:
                return False
            for name, value in item.items():
                if type(name) is not str or type(value) not in _SOUND:
                    return False
        elif type(item) not in _SOUND:
            return False
    return True


def _extension(code: int, data: bytes) -> Any:
    if code == NOTEPACK and data == b"\0":
        return None
    if code == NOTEPACK and len(data) != _DATE_BYTES:
        return bytes(data)
    return msgpack.ExtType(code, bytes(data))


_SIZES = {0xC0: 1, 0xC2: 1, 0xC3: 1, 0xCA: 5, 0xCB: 9}
_SIZES |= {0xCC + n: 1 + 2**n for n in range(4)} | {0xD0 + n: 1 + 2**n for n in range(4)}
_SIZES |= {0xD4 + n: 2 + 2**n for n in range(5)}
"""Bytes of the values of a fixed size, head and all."""
_BLOBS = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
_BLOBS |= {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
"""Of bin, ext and str: bytes of the length, and bytes between it and the content."""
_LISTS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
"""Of array and map: bytes of the length, and items each counts for."""


def _head(data: bytes, at: int) -> tuple[int, int]:
    """Return the bytes of the value at a place, and the items that follow it.

    The layout is that of the msgpack specification, "Formats".
    """
    first = data[at]
    if first < 0x80 or first >= 0xE0:
        return 1, 0
    if first < 0x90:
        return 1, 2 * (first & 0x0F)
    if first < 0xA0:
        return 1, first & 0x0F
    if first < 0xC0:
        return 1 + (first & 0x1F), 0
    if (size := _SIZES.get(first)) is not None:
        return size, 0
    if (blob := _BLOBS.get(first)) is not None:
        width, more = blob
        return 1 + width + more + int.from_bytes(data[at + 1 : at + 1 + width], "big"), 0
    if (many := _LISTS.get(first)) is not None:
        width, each = many
        return 1 + width, each * int.from_bytes(data[at + 1 : at + 1 + width], "big")
    raise PacketError("a message that is not msgpack")
