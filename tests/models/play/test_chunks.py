"""Chunks: joined of their messages, read as the documents they are, appended as other items are."""

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from models.play.buffer import Envelope
from models.play.chunks import ChunkForm, chunk_item, packed_messages
from models.play.records import Kind, read_item, utc

NAMES = st.text("abcXYZ019_-", min_size=1, max_size=300)
NUMBERS = st.integers(0, 10**15)
MESSAGES = st.lists(st.binary(max_size=300), min_size=1, max_size=20)
TIMES = st.integers(0, 4_000_000_000_000_000)


@given(NAMES, NUMBERS, MESSAGES, TIMES)
def test_a_joined_chunk_is_read_as_its_document(
    session_id: str, seq0: int, messages: list[bytes], time_us: int
) -> None:
    item = chunk_item(session_id, seq0, messages, time_us)
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
    packed = b"".join(map(msgpack.packb, messages))
    assert item == ChunkForm(session_id).item(seq0, len(messages), packed, time_us)


def test_a_chunk_holds_as_many_messages_as_a_session_may_have_unacknowledged() -> None:
    for count in (15, 16, 4096, 65_536):
        item = chunk_item("s", 1, [b"x"] * count, 0)
        assert len(item.document["messages"]) == count == item.last


@given(NAMES, NUMBERS, NUMBERS, MESSAGES, TIMES, st.integers(-1, 10**15))
def test_the_append_of_a_chunk_is_what_it_would_be_packed_piece_by_piece(
    session_id: str, token: int, first: int, messages: list[bytes], time_us: int, stored: int
) -> None:
    packed = packed_messages(messages)
    made = Envelope(session_id, token).append(first, len(messages), packed, time_us, stored)
    item = chunk_item(session_id, first, messages, time_us)
    assert made[:5] == (session_id, token, first, item.last, False)
    group = [session_id, token, first, item.last, stored, False, item.field(), item.blob()]
    assert msgpack.unpackb(made.packed, raw=True) == [
        part.encode() if isinstance(part, str) else part for part in group
    ]
