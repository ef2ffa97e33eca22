"""Packets as they go out: spelled as the library does, in frames that any client reads."""

from typing import Any

import msgpack
import pytest
from aiohttp import WSMsgType
from hypothesis import given
from hypothesis import strategies as st
from socketio import packet as library

from server.realtime.packets import HOT_TAIL, Bounds, PacketError, Reader, seq_of
from server.realtime.parser import fault, parser
from server.realtime.wire import BINARY, TEXT, Enclosed, Encoded, _head_of, frame

EVENTS: list[list[Any]] = [
    ["score", {"z": 0.5, "name": "주먹", "none": None}],
    ["feed", "s_1", 3, b"\x01" * 276, {"rep": {"no": 1}}],
    ["feed", b"a", {"deep": [b"b", {"c": b"c"}]}],
    ["x"],
]


@pytest.mark.parametrize("namespace", ["/", "/game"])
@pytest.mark.parametrize("number", [None, 0, 12])
@pytest.mark.parametrize("data", EVENTS)
def test_the_default_parser_is_spelled_as_the_library_does(
    namespace: str, number: int | None, data: list[Any]
) -> None:
    kind = library.EVENT if number is None else library.ACK
    theirs = library.Packet(kind, namespace=namespace, id=number, data=data).encode()
    ours = Encoded(kind, namespace, data, number).parts(False)
    assert list(ours) == (theirs if isinstance(theirs, list) else [theirs])


def test_connects_and_disconnects_are_spelled() -> None:
    assert Encoded(0, "/game", {"sid": "x"}).parts(False) == ('0/game,{"sid":"x"}',)
    assert Encoded(1, "/game").parts(False) == ("1/game,",)
    assert Encoded(4, "/", {"message": "no"}).parts(False) == ('4{"message":"no"}',)


def test_a_packet_is_encoded_once_for_each_parser() -> None:
    encoded = Encoded(2, "/watch", ["feed", b"x"])
    assert encoded.frames(False) is encoded.frames(False)
    assert encoded.frames(True) is encoded.frames(True)
    assert encoded.frames(True) != encoded.frames(False)


@pytest.mark.parametrize("data", EVENTS)
def test_arguments_that_are_msgpack_already_are_sent_as_any_others(data: list[Any]) -> None:
    event, *args = data
    enclosed = Enclosed("/game", event, len(args), b"".join(map(msgpack.packb, args)))
    encoded = Encoded(library.EVENT, "/game", data)
    for packed in (True, False):
        assert enclosed.frames(packed) == encoded.frames(packed)
        assert enclosed.parts(packed) == encoded.parts(packed)
        assert enclosed.frames(packed) is enclosed.frames(packed)


def test_nothing_is_kept_of_namespaces_that_clients_ask_for() -> None:
    before = _head_of.cache_info().currsize
    for n in range(20):
        refused = Encoded(4, f"/{n}", {"message": "Invalid namespace"})
        assert msgpack.unpackb(refused.frames(True)[2:])["nsp"] == f"/{n}"
    assert _head_of.cache_info().currsize == before
    Encoded(2, "/only-here", ["x"]).frames(True)
    assert _head_of.cache_info().currsize == before + 1


@pytest.mark.parametrize("packed", [False, True])
def test_what_cannot_be_sent_is_an_error_of_ours_and_spoils_no_other(packed: bool) -> None:
    good = Encoded(2, "/game", ["x", 1]).frames(packed)
    with pytest.raises(TypeError, match="set"):
        Encoded(2, "/game", ["x", {1}]).frames(packed)
    assert Encoded(2, "/game", ["x", 1]).frames(packed) == good


@given(st.lists(st.binary(max_size=300) | st.integers(0, 70_000).map(bytes), max_size=6))
def test_frames_are_read_by_a_parser_wherever_they_are_cut(parts: list[bytes]) -> None:
    taken: list[tuple[Any, ...]] = []
    failed: list[int] = []
    reads = parser(lambda message, _: taken.append(message), failed.append, 1_000_000)
    stream = b"".join(frame(BINARY, part) for part in parts) + frame(TEXT, b"end")
    for at in range(0, len(stream), 1000):
        reads.feed_data(stream[at : at + 1000])
    assert [message[1] for message in taken] == [*parts, "end"]
    assert taken[-1][0] is WSMsgType.TEXT
    assert not failed


def test_the_parser_is_as_we_know_it() -> None:
    assert fault() is None


READER = Reader(Bounds(depth=32, length=10_000, parts=8))
HEAD = '51-/game,["frames",'


@given(st.text(alphabet="0123456789-+.eE ²０", max_size=20) | st.integers().map(str))
def test_a_number_is_taken_only_as_the_reader_of_packets_reads_it(digits: str) -> None:
    text = HEAD + digits + HOT_TAIL
    seq = seq_of(text, len(HEAD))
    if seq < 0:
        return
    packet, rest = READER.head(text)
    READER.fill(packet, rest)
    assert packet.data == ["frames", seq, {"_placeholder": True, "num": 0}]


@pytest.mark.parametrize("seq", [0, 7, 10, 123_456_789_012_345])
def test_numbers_are_taken(seq: int) -> None:
    assert seq_of(f"{HEAD}{seq}{HOT_TAIL}", len(HEAD)) == seq


@pytest.mark.parametrize("text", ["", "1]", '1,{"_placeholder":true,"num":1}]', HOT_TAIL, "007"])
def test_anything_else_is_left_to_the_reader_of_packets(text: str) -> None:
    assert seq_of(HEAD + text, len(HEAD)) == -1
    with pytest.raises(PacketError):
        READER.head("5" + HEAD[2:] + text)
