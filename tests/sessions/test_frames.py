"""The binary frame message: round trips, refusals, and clocks beyond reason."""

import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions.frames import HDR, REC, FrameError, decode, encode, quantised

HEAD = (0x4647, 1, 0, 2, 140, 1_000, 7, 640, 480)


def payload(*head: int, body: int | None = None) -> bytes:
    fields = head or HEAD
    size = fields[3] * fields[4] if body is None else body
    return HDR.pack(*fields) + bytes(size)


def changed(index: int, value: int) -> tuple[int, ...]:
    return (*HEAD[:index], value, *HEAD[index + 1 :])


@st.composite
def messages(draw: st.DrawFn) -> tuple[str, int, int, int, int, bytes]:
    n = draw(st.sampled_from((1, 2, 3, 64)))
    noise = np.random.default_rng(draw(st.integers(0, 2**32)))
    return (
        draw(st.sampled_from(("world", "image"))),
        draw(st.integers(0, 2**64 - 1)),
        draw(st.integers(0, 2**32 - 1)),
        draw(st.integers(0, 2**16 - 1)),
        draw(st.integers(0, 2**16 - 1)),
        noise.bytes(REC.itemsize * n),
    )


@given(messages())
def test_a_message_comes_back_as_it_was(sent: tuple[str, int, int, int, int, bytes]) -> None:
    space, t0, seq0, width, height, body = sent
    records = np.frombuffer(body, REC)
    data = encode(space, t0, seq0, width, height, records)  # type: ignore[arg-type]  # drawn
    got = decode(memoryview(data), space)  # type: ignore[arg-type]  # drawn
    head = (got.space, got.t0_us, got.seq0, got.width, got.height)
    assert head == (space, t0, seq0, width, height)
    assert got.records.tobytes() == body
    t_us = got.t_us()
    assert t_us.dtype == np.int64
    assert (t_us >= 0).all()
    assert (np.argsort(t_us, kind="stable") == np.argsort(records["dt"], kind="stable")).all()
    assert (got.counters() == seq0 + records["dseq"].astype(int)).all()


@given(st.binary(max_size=400))
def test_rubbish_is_refused_and_never_raises_anything_else(rubbish: bytes) -> None:
    with pytest.raises(FrameError):
        decode(rubbish)


@given(messages(), st.integers(0, 23), st.integers(0, 255))
def test_a_damaged_header_is_refused_or_read(
    sent: tuple[str, int, int, int, int, bytes], at: int, byte: int
) -> None:
    space, t0, seq0, width, height, body = sent
    data = bytearray(
        encode(space, t0, seq0, width, height, np.frombuffer(body, REC))  # type: ignore[arg-type]
    )
    data[at] = byte
    with suppress(FrameError):
        assert decode(bytes(data)).records.tobytes() == body


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (payload(*changed(0, 0x4746)), "invalid"),
        (payload(*changed(1, 2)), "unsupported_version"),
        (payload(*changed(2, 2)), "invalid"),
        (payload(*changed(2, 1)), "invalid"),
        (payload(*changed(3, 0)), "invalid"),
        (payload(*changed(3, 65)), "invalid"),
        (payload(*changed(4, 139)), "invalid"),
        (payload(*HEAD, body=279), "invalid"),
        (payload(*HEAD, body=281), "invalid"),
        (payload(*changed(3, 65535), body=280), "invalid"),
        (payload()[:23], "invalid"),
        (b"", "invalid"),
    ],
    ids=[
        *("magic", "version", "unknown space", "other space", "no record", "65 records"),
        *("short records", "short", "long", "n past the end", "half a header", "nothing"),
    ],
)
def test_a_bad_message_is_refused_whole(data: bytes, code: str) -> None:
    assert len(decode(payload(), "world").records) == 2
    with pytest.raises(FrameError) as caught:
        decode(data, "world")
    assert caught.value.code == code


def test_unknown_fields_at_the_end_of_records_are_stepped_over() -> None:
    records = np.zeros(3, REC)
    records["dt"] = 5, 6, 7
    records["lm"] = np.arange(3)[:, None, None]
    plain = encode("image", 1, 2, 3, 4, records)
    longer = bytearray(plain[:24])
    struct.pack_into("<H", longer, 6, 150)
    for row in records:
        longer += row.tobytes() + b"\xff" * 10
    got = decode(bytes(longer), "image")
    assert (got.records == records).all()
    assert got.t_us().tolist() == [6, 7, 8]


def test_absurd_clocks_stay_in_order_and_within_an_int64() -> None:
    records = np.zeros(2, REC)
    records["dt"] = 0, 2**32 - 1
    t_us = decode(encode("world", 2**64 - 1, 0, 1, 1, records)).t_us()
    assert t_us.tolist() == [2**62 - 2**32, 2**62 - 1]


@pytest.mark.parametrize("n", [0, 65])
def test_encoding_refuses_what_decoding_would(n: int) -> None:
    with pytest.raises(FrameError):
        encode("world", 0, 0, 1, 1, np.zeros(n, REC))
    with pytest.raises(FrameError):
        encode("world", -1, 0, 1, 1, np.zeros(1, REC))


def test_quantising_rounds_to_the_nearest_step_and_cuts_off() -> None:
    assert quantised([0.0123456, -0.0123456, 1.0], "world").tolist() == [1235, -1235, 32767]
    assert quantised([0.5, -3.0], "image").tolist() == [8192, -32768]
