"""The reader of msgpack packets: what clients send is read, and nothing makes it stumble."""

import random
import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from socketio import msgpack_packet as library

from server.realtime.packed import SMALL, PackedReader
from server.realtime.packets import (
    CONNECT,
    DISCONNECT,
    EVENT,
    Bounds,
    ContentError,
    Packet,
    PacketError,
)
from server.realtime.wire import Encoded

READER = PackedReader(Bounds(depth=32, length=10_000, parts=8))
NOTHING = b"\xd4\x00\x00"
"""`undefined`, as the JavaScript client packs it."""


def read(data: bytes) -> Packet:
    """Read a packet."""
    packet = READER.packet(READER.unpack(data))
    READER.check(packet)
    return packet


def event(*args: Any, **more: Any) -> bytes:
    """Return an event, as a client of the parser packs it."""
    return bytes(msgpack.packb({"type": 2, "nsp": "/game", "data": ["x", *args], **more}))


@pytest.mark.parametrize("number", [None, 0, 7, 10**14])
@pytest.mark.parametrize(
    "data",
    [
        ["clock", {"t_us": 1}],
        ["frames", 3, b"\x01\x02"],
        ["frames", 3, {"a": [b"x", {"b": b"y" * 70_000}]}, b"z"],
        ["한글", "이모지 🙂", -1.5e-300, 2**63, True, None, -1, -(2**40)],
        ["many", *range(3000)],
        ["x"],
    ],
)
def test_what_the_library_sends_is_read_and_what_we_send_the_library_reads(
    number: int | None, data: list[object]
) -> None:
    sent = library.MsgPackPacket(EVENT, namespace="/game", id=number, data=data).encode()
    packet = read(sent)
    assert (packet.kind, packet.namespace, packet.id, packet.data) == (EVENT, "/game", number, data)
    [ours] = Encoded(EVENT, "/game", data, number).parts(True)
    back = library.MsgPackPacket(encoded_packet=ours)
    assert (back.packet_type, back.namespace, back.id, back.data) == (EVENT, "/game", number, data)


def test_connects_and_disconnects_are_read() -> None:
    packet = read(msgpack.packb({"type": 0, "data": {"token": "y"}, "nsp": "/game"}))
    assert (packet.kind, packet.data) == (CONNECT, {"token": "y"})
    without = b"\x83\xa4type\x00\xa4data" + NOTHING + b"\xa3nsp\xa5/game"
    assert read(without).data is None
    assert read(msgpack.packb({"type": 1, "data": None, "nsp": "/game"})).kind == DISCONNECT


def test_what_we_do_not_have_is_not_sent() -> None:
    [gone] = Encoded(DISCONNECT, "/game").parts(True)
    assert msgpack.unpackb(gone) == {"type": 1, "nsp": "/game"}, "`data: null` is no DISCONNECT"


NONE_AT_ALL: dict[str, bytes] = {
    "nothing": b"",
    "a number": b"x",
    "a list": msgpack.packb([2, "/game", ["x"]]),
    "cut short": event("x" * 50)[:-1],
    "cut short, and long": event("x" * 5000)[:-1],
    "a tail": event() + b"\0",
    "no kind": msgpack.packb({"nsp": "/game", "data": ["x"]}),
    "a kind nobody sends": msgpack.packb({"type": 4, "nsp": "/game", "data": {}}),
    "a binary kind": msgpack.packb({"type": 5, "nsp": "/game", "data": ["x"]}),
    "a kind that is true": msgpack.packb({"type": True, "nsp": "/game", "data": ["x"]}),
    "no namespace": msgpack.packb({"type": 2, "data": ["x"]}),
    "a namespace of bytes": msgpack.packb({"type": 2, "nsp": b"/game", "data": ["x"]}),
    "no list": msgpack.packb({"type": 2, "nsp": "/game", "data": {"x": 1}}),
    "no name": msgpack.packb({"type": 2, "nsp": "/game", "data": []}),
    "a name of bytes": msgpack.packb({"type": 2, "nsp": "/game", "data": [b"x"]}),
    "an ack number below nothing": event(id=-1),
    "an ack number too long": event(id=10**15),
    "an ack number that is true": event(id=True),
    "an ack number that is a float": event(id=1.0),
    "a disconnect with data": msgpack.packb({"type": 1, "nsp": "/game", "data": ["x"]}),
    "a connect with a list": msgpack.packb({"type": 0, "nsp": "/game", "data": [1]}),
    "a number as a name": msgpack.packb({1: 2}),
    "a text that is no UTF-8": b"\x81\xa1a\xa2\xff\xfe",
    "the byte that is never used": b"\xc1",
    "the byte that is never used, late": msgpack.packb({"a": b"x" * 2000})[:-1] + b"\xc1\xc1",
    "a list as a name": b"\x81\x91\x01\x02",
    "a list longer than the message": b"\xdd\x00\x03\xff\xff" * 200 + b"\0" * 2000,
    "a blob longer than the message": b"\xc6\xff\xff\xff\xff" + b"\0" * 2000,
}


@pytest.mark.parametrize("kind", NONE_AT_ALL)
def test_what_is_no_packet_is_refused(kind: str) -> None:
    with pytest.raises(PacketError):
        read(NONE_AT_ALL[kind])


def nest(levels: int) -> Any:
    """Return lists in lists."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


REJECTED: dict[str, bytes] = {
    "33 levels": event(nest(32)),
    "400 levels": b"\x83\xa4type\x02\xa3nsp\xa5/game\xa4data\x92\xa1x" + b"\x91" * 400 + b"\x01",
    "100 000 levels": b"\x83\xa4type\x02\xa3nsp\xa5/game\xa4data\x92\xa1x" + b"\x91" * 100_000,
    "10 001 items": event([1] * 10_001),
    "30 000 items": event([[1] * 9_999] * 3),
    "NaN": event(float("nan")),
    "Infinity": event([float("inf")]),
    "an extension": event(msgpack.ExtType(5, b"x")),
    "a date of JavaScript": event(msgpack.ExtType(0, b"\0" * 8)),
    "a time": event(msgpack.Timestamp(1, 0)),
    "nine binary parts": event(*[b"x"] * 9),
    "bytes as a name": event({b"a": 1}),
}


@pytest.mark.parametrize("kind", REJECTED)
def test_content_over_its_limits_is_told_apart_from_rubbish(kind: str) -> None:
    with pytest.raises(ContentError):
        read(REJECTED[kind])


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.one_of(st.text(max_size=3), st.integers(0, 3)), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(
    st.lists(VALUES, max_size=5), st.integers(1, 5), st.integers(1, 6), st.sampled_from([0, 1, 16])
)
def test_what_is_let_past_at_a_glance_is_within_every_limit(
    values: list[Any], depth: int, length: int, parts: int
) -> None:
    packet = Packet(EVENT, "/game", None, 0)
    packet.data = ["x", *values]
    found = []
    for glances in (True, False):
        reader = PackedReader(Bounds(depth, length, parts))
        if not glances:
            reader._few = 0
        try:
            reader.check(packet)
        except ContentError as error:
            found.append(str(error))
        else:
            found.append("")
    assert found[0] == found[1]


def test_content_within_its_limits_is_taken() -> None:
    assert read(event(nest(31)))
    assert read(event([1] * 10_000))
    assert read(event(*[b"x"] * 8))
    assert read(b"\x83\xa4type\x02\xa3nsp\xa5/game\xa4data\x92\xa1x" + NOTHING).data == ["x", None]
    assert read(event(msgpack.ExtType(0, b"x" * 276))).data == ["x", b"x" * 276], "of Node.js"


LONG = [b"\xdc\xff\xff", b"\xdd\x00\x03\xff\xff", b"\xdf\x00\x01\xff\xff"]
"""Heads of lists and maps of 65 535 and more."""


@pytest.mark.parametrize("declared", LONG)
@pytest.mark.parametrize("size", [SMALL, 262_000])
def test_a_list_that_says_it_is_long_costs_no_memory(declared: bytes, size: int) -> None:
    bomb = declared * (size // len(declared))
    tracemalloc.start()
    try:
        with pytest.raises((PacketError, ContentError)):
            read(bomb)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=60,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(values, st.integers(0, 2000))
def test_a_long_message_is_scanned_as_it_is_unpacked(value: Any, cut: int) -> None:
    """What the scan lets through unpacks, and what unpacks is let through."""
    whole = msgpack.packb({"v": value, "w": b"\0" * SMALL})
    assert READER.unpack(whole).keys() == {"v", "w"}
    with pytest.raises(PacketError):
        READER.unpack(whole[: -1 - cut % (len(whole) - 1)])


def test_random_rubbish_is_refused_or_read_and_never_stumbled_over() -> None:
    rng = random.Random(1)
    good = [event(b"x" * 300, {"a": [1.5]}), event(b"x" * 3000, id=1), event({"t_us": 1})]
    good.append(event(float("inf")))
    outcomes = {"read": 0, "packet": 0, "content": 0}
    for _ in range(20_000):
        data = bytearray(rng.choice(good))
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(min(len(data), 40))] = rng.randrange(256)
        try:
            read(bytes(data))
            outcomes["read"] += 1
        except PacketError:
            outcomes["packet"] += 1
        except ContentError:
            outcomes["content"] += 1
    assert all(outcomes.values()), outcomes
