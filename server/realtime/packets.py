"""Socket.IO packets as clients send them: read strictly, and within limits."""

import json
import math
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple, NoReturn

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK = range(7)

ID_DIGITS = 15
"""A number of an ack that is longer counts nothing."""
HOT_TAIL = ',{"_placeholder":true,"num":0}]'
"""How a packet of an event ends whose last argument is its only binary part."""
SEQ_DIGITS = 15
"""So many digits are below 2**53, whatever they are."""
_BINARY = (BINARY_EVENT, BINARY_ACK)
_DIGITS = frozenset("0123456789")


class PacketError(Exception):
    """This is no packet of the protocol: whoever sent it is not spoken with any more."""


class ContentError(Exception):
    """The packet is well formed, but holds what no message may hold."""


class Packet:
    """A packet, and the binary parts it still waits for."""

    __slots__ = ("data", "due", "id", "kind", "namespace", "parts", "size")

    def __init__(self, kind: int, namespace: str, number: int | None, due: int) -> None:
        self.kind = kind
        self.namespace = namespace
        self.id = number
        self.due = due
        """Binary parts announced."""
        self.data: Any = None
        self.parts: list[bytes] = []
        self.size = 0
        """Bytes of the parts that came."""


class Bounds(NamedTuple):
    """How much a packet may hold."""

    depth: int
    """How deep lists and objects may nest."""
    length: int
    """How many items a list or an object may have."""
    parts: int
    """How many binary parts it may have."""


class Reader:
    """Reads packets."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds

    def head(self, text: str) -> tuple[Packet, str]:
        """Return a packet without its data, and the JSON text of its data.

        Raises:
            PacketError: it is none.
        """
        kind = ord(text[0]) - 48 if text else -1
        if not 0 <= kind <= BINARY_ACK or kind == CONNECT_ERROR:
            raise PacketError("a packet of a kind that a client does not send")
        at, end, due, namespace = 1, len(text), 0, "/"
        number: int | None = None
        if kind in _BINARY:
            dash = text.find("-", 1, 8)
            digits = text[1:dash] if dash > 1 else ""
            if not digits or not _DIGITS.issuperset(digits):
                raise PacketError("a binary packet that does not say how many parts it has")
            due = int(digits)
            if not 0 < due <= self._bounds.parts:
                raise PacketError(f"a packet has 1 to {self._bounds.parts} binary parts")
            at = dash + 1
        if at < end and text[at] == "/":
            comma = text.find(",", at)
            namespace = text[at:] if comma < 0 else text[at:comma]
            namespace = namespace.partition("?")[0]
            at = end if comma < 0 else comma + 1
        start = at
        while at < end and text[at] in _DIGITS:
            at += 1
        if at > start:
            if at - start > ID_DIGITS:
                raise PacketError("an ack number that is too long")
            number = int(text[start:at])
        return Packet(kind, namespace, number, due), text[at:]

    def fill(self, packet: Packet, text: str) -> None:
        """Read a packet's data.

        Raises:
            PacketError: what follows the head is not what a packet of its kind holds.
            ContentError: it nests too deep, is too long, or holds a number that is not finite.
        """
        packet.data = self._json(text) if text else None
        check_shape(packet)

    def _json(self, text: str) -> Any:
        try:
            value, end = _DECODER.raw_decode(text)
        except RecursionError:
            raise ContentError(f"it nests deeper than {self._bounds.depth}") from None
        except json.JSONDecodeError:
            raise PacketError("data that is not JSON") from None
        except ValueError as error:  # a number, see below, or more digits than Python reads
            raise ContentError("it holds a number that is not finite or too long") from error
        if end != len(text) and not text[end:].isspace():
            raise PacketError("data that is not JSON")
        # Whoever has fewer brackets or commas than that cannot be over either limit.
        bounds = self._bounds
        if text.count("[") + text.count("{") > bounds.depth or text.count(",") >= bounds.length:
            for _ in levels(value, bounds):
                pass
        if "\\u" in text:
            _check_text(value)
        return value


def levels(value: Any, bounds: Bounds) -> Iterator[list[Any]]:
    """Yield what a value holds, level by level: itself, its items, their items.

    Raises:
        ContentError: it nests too deep, or is too long.
    """
    level = [value]
    for deep in count():
        yield level
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is not list and kind is not dict:
                continue
            if deep >= bounds.depth:
                raise ContentError(f"it nests deeper than {bounds.depth}")
            if len(item) > bounds.length:
                raise ContentError(f"a list in it is longer than {bounds.length}")
            below += item if kind is list else item.values()
        if not below:
            return
        level = below


def check_shape(packet: Packet) -> None:
    """Check that a packet carries what one of its kind does.

    Raises:
        PacketError: it does not.
    """
    kind, data = packet.kind, packet.data
    if kind in (EVENT, BINARY_EVENT):
        if type(data) is not list or not data or type(data[0]) is not str:
            raise PacketError("an event is a list that begins with a name")
    elif kind in (ACK, BINARY_ACK):
        if type(data) is not list or packet.id is None:
            raise PacketError("an ack has a number and a list")
    elif kind == CONNECT:
        if data is not None and type(data) is not dict:
            raise PacketError("the auth of a connect is an object")
    elif data is not None:
        raise PacketError("a disconnect holds nothing")


def complete(packet: Packet) -> None:
    """Put the binary parts of a packet where its data wants them.

    Raises:
        PacketError: it wants one that is not there.
    """
    packet.data = [_placed(item, packet.parts) for item in packet.data]


def _placed(value: Any, parts: list[bytes]) -> Any:
    if type(value) is dict:
        if value.get("_placeholder") is True:
            number = value.get("num")
            if type(number) is not int or not 0 <= number < len(parts):
                raise PacketError("a placeholder of a binary part that is not there")
            return parts[number]
        return {key: _placed(item, parts) for key, item in value.items()}
    if type(value) is list:
        return [_placed(item, parts) for item in value]
    return value


def _check_text(value: Any) -> None:
    # Half a surrogate pair is a str, but no text: it could neither be stored nor sent.
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ContentError("a text in it is not Unicode") from None


def _constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not finite")
    return value


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_constant)


def seq_of(text: str, at: int) -> int:
    """Return the number between a place and `HOT_TAIL`, where JSON would read just that; else -1.

    Whatever else is there is left to `Reader`.
    """
    digits = text[at : -len(HOT_TAIL)]
    if (
        not 0 < len(digits) <= SEQ_DIGITS
        or not text.endswith(HOT_TAIL)
        or not _DIGITS.issuperset(digits)
        or (digits[0] == "0" and len(digits) > 1)
    ):
        return -1
    return int(digits)
