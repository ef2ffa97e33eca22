"""The hot event of a msgpack client, read by the bytes that are the same in all of its messages.

A client's encoder writes a map in the same order each time, so that only the number and the binary
part differ between two of its `frames`. What was read in full once is a pattern for the next: the
same bytes around a number and a binary part hold the same packet.
"""

from functools import lru_cache
from typing import Final

from handlers.live.base import MAX_SEQ
from server.realtime.sheet import Sheet, fits

FIXINT_END: Final = 0x80
UINT8, UINT16, UINT32, UINT64 = 0xCC, 0xCD, 0xCE, 0xCF
BIN8, BIN16, BIN32 = 0xC4, 0xC5, 0xC6
EXT8, EXT16, EXT32 = 0xC7, 0xC8, 0xC9
"""Type bytes of the MessagePack specification. Of extensions 0 is what notepack, the JavaScript
client's encoder, makes of an ArrayBuffer."""
SHORT: Final = 8
"""Of so few bytes it also makes other things: `undefined`, dates."""
AROUND: Final = 256
"""Bytes around number and binary part of a pattern that is remembered: clients write some 40."""
PATTERNS: Final = 256
PLACES: Final = 32
"""How many patterns, and lengths of each, are remembered: some 10 MB at the very most."""


Place = tuple[bytes, int, int, int, bytes, int, int]
"""Of messages of one length: how they begin, where the number begins and ends and what it is less
than, what follows it, where the binary part begins and ends."""


class Groove:
    """The bytes before the number and behind the binary part of a hot event.

    Most messages are as long as another one was: then every byte has its place, and four
    comparisons read the whole message. All clients that write alike share one, which therefore
    stays in the processor's cache when a thousand of them take turns.
    """

    __slots__ = ("_head", "_places", "_tail", "sheets")

    def __init__(self, head: bytes, tail: bytes) -> None:
        self._head = head
        self._tail = tail
        self._places: dict[int, Place] = {}
        """By the length of the message."""
        self.sheets: dict[int, Sheet] = {}
        """By the length of the whole frame: what reads many of such messages at once."""

    def read(self, data: bytes) -> tuple[int, bytes] | None:
        """Return number and binary part of a message, None if it is not like the pattern."""
        place = self._places.get(len(data))
        if place is not None:
            opening, at, behind, below, middle, begin, end = place
            if (
                data.startswith(opening)
                and data.startswith(middle, behind)
                and data.endswith(self._tail)
            ):
                seq = _number_of(data[at:behind], "big")
                if seq < below:
                    return seq, data[begin:end]
        return self._examined(data) if data.startswith(self._head) else None

    def _examined(self, data: bytes) -> tuple[int, bytes] | None:
        start = len(self._head)
        try:
            seq, at = _number(data, start)
            begin, end = _part(data, at)
        except (IndexError, ValueError):
            return None
        if len(data) - end != len(self._tail) or not data.endswith(self._tail):
            return None
        if data[start] <= UINT32:
            if len(self._places) >= PLACES:
                self._places.clear()
                self.sheets.clear()
            # A small number is its own type byte, of which the first bit is 0.
            first = start if data[start] < FIXINT_END else start + 1
            below = FIXINT_END if first == start else 1 << 8 * (at - first)
            self._places[len(data)] = data[:first], first, at, below, data[at:begin], begin, end
            if fits(data) and end > begin:
                sheet = Sheet(data, range(first, at), below, range(begin, end))
                self.sheets[sheet.size] = sheet
        return (seq, data[begin:end]) if seq < MAX_SEQ else None


_number_of = int.from_bytes
_shared = lru_cache(maxsize=PATTERNS)(Groove)


def groove_of(data: bytes, event: str, seq: int, part: bytes) -> Groove | None:
    """Return the pattern of a message that was read in full, None if it is written otherwise.

    Args:
        data: the message.
        event: the event it holds, with the arguments
        seq: a number, and
        part: a binary one.
    """
    name = event.encode()
    # A list of three, then a short string: the event and its two arguments.
    opening = bytes((0x93, 0xA0 | len(name))) + name
    at = data.find(opening)
    if at < 0 or data.count(opening) != 1:
        return None
    head = data[: at + len(opening)]
    try:
        _, behind = _number(data, len(head))
        _, end = _part(data, behind)
    except (IndexError, ValueError):
        return None
    if len(head) + len(data) - end > AROUND:
        return None
    groove = _shared(head, data[end:])
    return groove if groove.read(data) == (seq, part) else None


def _number(data: bytes, at: int) -> tuple[int, int]:
    kind = data[at]
    if kind < FIXINT_END:
        return kind, at + 1
    if not UINT8 <= kind <= UINT64:
        raise ValueError
    end = at + 1 + (1 << (kind - UINT8))
    if end > len(data):
        raise ValueError
    return int.from_bytes(data[at + 1 : end], "big"), end


def _part(data: bytes, at: int) -> tuple[int, int]:
    """Return where a binary part begins and ends."""
    kind = data[at]
    if kind == BIN8:
        start, size = at + 2, data[at + 1]
    elif BIN16 <= kind <= BIN32:
        start = at + 1 + (2 << (kind - BIN16))
        size = int.from_bytes(data[at + 1 : start], "big")
    elif EXT8 <= kind <= EXT32:
        start = at + 2 + (1 << (kind - EXT8))
        if data[start - 1] != 0:
            raise ValueError
        size = int.from_bytes(data[at + 1 : start - 1], "big")
        if size <= SHORT:
            raise ValueError
    else:
        raise ValueError
    if start + size > len(data):
        raise ValueError
    return start, start + size
