"""Items of the stream: a chunk is joined of its messages and read as the document it is."""

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from models.play.records import Kind, chunk_item, packed_chunk, read_item, utc

NAMES = st.text("abcXYZ019_-", min_size=1, max_size=40)
TIMES = st.integers(0, 4_000_000_000_000_000)


@given(
    NAMES, st.integers(0, 10**9), st.lists(st.binary(max_size=300), min_size=1, max_size=20), TIMES
)
def test_a_joined_chunk_is_read_as_its_document(
    session_id: str, seq0: int, messages: list[bytes], time_us: int
) -> None:
    packed = b"".join(map(msgpack.packb, messages))
    item = packed_chunk(session_id, seq0, len(messages), packed, time_us)
    read = read_item(item.field().encode(), item.blob())
    assert read == (Kind.CHUNK, session_id, seq0 + len(messages) - 1, item.document)
    assert read.document == {
        "_id": f"{session_id}:{seq0}",
        "session_id": session_id,
        "seq0": seq0,
        "n": len(messages),
        "messages": messages,
        "at": utc(time_us),
    }
    assert item == chunk_item(session_id, seq0, messages, time_us)


def test_a_chunk_holds_as_many_messages_as_a_session_may_have_unacknowledged() -> None:
    for count in (15, 16, 4096, 65_536):
        item = chunk_item("s", 1, [b"x"] * count, 0)
        assert len(item.document["messages"]) == count == item.last
