"""Where messages end is known from the heads of their frames, however they are cut."""

from hypothesis import given, settings
from hypothesis import strategies as st

from server.realtime.walk import Walk
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
