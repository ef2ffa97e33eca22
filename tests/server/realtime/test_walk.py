"""Where messages end is known from the heads of their frames, however they are cut."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.realtime.parser import parser
from server.realtime.walk import Walk, frames, small
from tests.server.realtime.test_harvest import wire

FRAMES = st.lists(
    st.tuples(
        st.sampled_from([0x81, 0x82, 0x89, 0x8A]),
        st.sampled_from([0, 1, 125, 126, 300, 65_535, 65_536]),
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(FRAMES, st.lists(st.integers(1, 400), max_size=30))
def test_a_walk_knows_where_messages_end(frames: list[tuple[int, int]], cuts: list[int]) -> None:
    stream, ends = b"", set()
    for first, size in frames:
        head = wire(bytes(min(size, 125)), first=first) if size < 126 else b""
        wide = 2 if size < 65_536 else 8
        stream += head or (
            bytes((first, 0xFE if wide == 2 else 0xFF))
            + size.to_bytes(wide, "big")
            + bytes(4 + size)
        )
        ends.add(len(stream))
    walk, at = Walk(), 0
    for cut in [*cuts, len(stream)]:
        piece = stream[at : at + cut]
        at = min(at + cut, len(stream))
        if piece:
            assert walk.follow(piece) == (at in ends)


def test_who_sends_messages_in_parts_is_not_followed() -> None:
    for first in (0x02, 0x01, 0x80, 0x00):
        walk = Walk()
        assert walk.follow(wire(b"x"))
        assert not walk.follow(wire(b"x", first=first))
        assert not walk.follow(wire(b"x"))


@given(FRAMES, st.integers(0, 70_000))
def test_frames_are_found_as_far_as_they_are_whole(
    sent: list[tuple[int, int]], missing: int
) -> None:
    whole = [wire(bytes(size), first=first) for first, size in sent]
    stream = b"".join(whole)
    stream = stream[: max(0, len(stream) - missing)]
    found = [stream[begin:end] for begin, end in frames(stream)]
    assert found == whole[: len(found)]
    rest = stream[len(b"".join(found)) :]
    assert len(found) == len(whole) or len(rest) < len(whole[len(found)])


@given(
    st.one_of(st.text(max_size=130), st.binary(max_size=130)),
    st.binary(min_size=4, max_size=4),
    st.integers(0, 140),
    st.binary(max_size=5),
)
def test_a_small_message_is_read_as_the_parser_reads_it(
    said: str | bytes, key: bytes, cut: int, before: bytes
) -> None:
    spelled = isinstance(said, str)
    data = said.encode() if isinstance(said, str) else said
    sent = wire(data, key, 0x81 if spelled else 0x82)[:cut]
    heard: list[tuple[Any, ...]] = []
    reader = parser(lambda message, _: heard.append(tuple(message)), lambda _: None, 1_000_000)
    reader.feed_data(sent)
    found = small(before + sent + b"more", len(before))
    if len(data) < 126 and heard:
        assert found == (*heard[0][:2], len(before + sent))
    elif cut >= 8:  # else what follows may make a message of it
        assert found is None or found[2] > len(before + sent)


@pytest.mark.parametrize(
    "data",
    [
        wire(b"\xff", first=0x81),
        wire(b"x", first=0x89),
        wire(b"x", first=0x88),
        wire(b"x", first=0x01),
        wire(b"x", first=0xC2),
        b"\x81\x01x",
        b"\x82\xfe\x00\x7e",
        b"",
        b"\x82",
    ],
)
def test_what_is_no_small_message_is_the_parsers(data: bytes) -> None:
    assert small(data, 0) is None
    assert small(b"x" + data, 1) is None
