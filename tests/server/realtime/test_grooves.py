"""The pattern of a client's hot event reads what the full reader reads, or nothing."""

from typing import Any

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from server.realtime.grooves import AROUND, PLACES, Groove, groove_of
from server.realtime.packed import PackedReader
from server.realtime.packets import Bounds

READER = PackedReader(Bounds(depth=32, length=10_000, parts=8))
EVENT = "frames"
SEQS = st.one_of(st.integers(0, 300), st.integers(0, 2**53 - 1))
PARTS = st.one_of(
    st.binary(max_size=64), st.just(bytes(300)), st.just(bytes(70_000)), st.just(b"\x93\xa6frames")
)


def packed(seq: int, part: Any, **more: Any) -> bytes:
    """Return a packet as Python's encoder writes it."""
    whole = {"type": 2, "nsp": "/game", "data": [EVENT, seq, part], **more}
    return bytes(msgpack.packb(whole, use_bin_type=True))


def notepack(seq: int, part: bytes) -> bytes:
    """Return a packet as JavaScript's encoder writes one with an ArrayBuffer."""
    return packed(seq, msgpack.ExtType(0, part), options={"compress": True})


def arguments(data: bytes) -> tuple[Any, Any]:
    """Return the number and the binary part as the full reader reads them."""
    _, seq, part = READER.unpack(data)["data"]
    return seq, part


@given(
    st.lists(st.tuples(SEQS, PARTS), min_size=2, max_size=6), st.sampled_from([packed, notepack])
)
def test_a_pattern_reads_as_the_full_reader_does(sent: list[tuple[int, bytes]], write: Any) -> None:
    messages = [write(seq, part) for seq, part in sent]
    first = arguments(messages[0])
    groove = groove_of(messages[0], EVENT, *first) if isinstance(first[1], bytes) else None
    for message in messages:
        read = None if groove is None else groove.read(message)
        assert read is None or read == arguments(message)


def test_a_pattern_is_found_in_what_clients_send() -> None:
    for write in (packed, notepack):
        groove = groove_of(write(7, bytes(164)), EVENT, 7, bytes(164))
        assert groove is not None
        for seq in (0, 127, 128, 255, 256, 65_535, 65_536, 2**32, 2**53 - 1):
            for size in (9, 164, 255, 256, 65_535, 65_536):
                assert groove.read(write(seq, bytes(size))) == (seq, bytes(size))


@given(st.binary(max_size=80), st.integers(0, 200), st.integers(0, 255))
def test_what_is_changed_on_the_way_is_read_alike_or_not_at_all(
    part: bytes, at: int, byte: int
) -> None:
    groove = groove_of(packed(5, b"x" * 20, id=None), EVENT, 5, b"x" * 20)
    assert groove is not None
    data = bytearray(packed(9, part, id=None))
    data[at % len(data)] = byte
    read = groove.read(bytes(data))
    assert read is None or read == arguments(bytes(data))


def test_what_is_cut_short_or_longer_is_not_read() -> None:
    whole = packed(300, bytes(200), options={})
    groove = groove_of(whole, EVENT, 300, bytes(200))
    assert groove is not None
    for size in range(len(whole)):
        assert groove.read(whole[:size]) is None
    assert groove.read(whole + b"\0") is None


def test_what_is_not_an_array_buffer_is_left_to_the_full_reader() -> None:
    whole = notepack(1, bytes(164))
    groove = groove_of(whole, EVENT, 1, bytes(164))
    assert groove is not None
    assert groove.read(notepack(2, bytes(8))) is None  # a date
    assert (
        groove.read(packed(2, msgpack.ExtType(1, bytes(164)), options={"compress": True})) is None
    )
    assert groove.read(packed(2, None, options={"compress": True})) is None


def test_numbers_end_where_they_do_for_the_full_reader() -> None:
    groove = groove_of(packed(7, bytes(164)), EVENT, 7, bytes(164))
    assert groove is not None
    for seq in (2**53, 2**63, 2**64 - 1):
        assert groove.read(packed(seq, bytes(164))) is None
        assert groove.read(packed(2**53 - 1, bytes(164))) == (2**53 - 1, bytes(164))


def test_little_is_remembered_whatever_clients_write() -> None:
    part = bytes(164)
    assert groove_of(packed(300, part, junk="x" * AROUND), EVENT, 300, part) is None
    groove = groove_of(packed(300, part), EVENT, 300, part)
    assert groove is not None
    assert groove is groove_of(packed(301, bytes(165)), EVENT, 301, bytes(165))
    for size in range(9, 9 + 3 * PLACES):
        assert groove.read(packed(300, bytes(size))) == (300, bytes(size))
        assert len(groove._places) <= PLACES


def test_a_message_that_could_be_read_in_two_ways_teaches_nothing() -> None:
    part = b"\x93\xa6frames" + bytes(20)
    assert groove_of(packed(1, part), EVENT, 1, part) is None
    assert groove_of(packed(1, bytes(20)), EVENT, 2, bytes(20)) is None
    assert groove_of(b"\x80", EVENT, 1, b"") is None
    assert Groove(b"", b"").read(b"") is None
