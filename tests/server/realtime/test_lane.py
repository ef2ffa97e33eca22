"""Frames read together say what they say one by one, and nothing of a client overtakes anything."""

import asyncio
from typing import Any

import msgpack
import pytest
from aiohttp import WSMsgType
from hypothesis import given, settings
from hypothesis import strategies as st

from config.clock import SystemClock
from config.settings import load_settings
from handlers.live.base import Hot
from server.realtime.gate import ROOM
from server.realtime.grooves import groove_of
from server.realtime.guard import Ended, Guard, invalid
from server.realtime.hot import CHARGED, HotGate
from server.realtime.lane import FEW, Lane, Walk
from server.realtime.parser import parser
from server.realtime.sheet import Sheet
from tests.server.realtime.test_gate import Reading

EVENT = "frames"
LIMITS = load_settings().socket


def packed(seq: int, part: bytes, **more: Any) -> bytes:
    """Return a packet as a msgpack client writes it."""
    whole = {"type": 2, "nsp": "/game", "data": [EVENT, seq, part], **more}
    return bytes(msgpack.packb(whole, use_bin_type=True))


def wire(data: bytes, key: bytes = b"\x11\x22\x33\x44", first: int = 0x82) -> bytes:
    """Return a masked WebSocket frame (RFC 6455, 5.2)."""
    size = len(data)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65536:
        head = bytes((first, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
    return head + key + bytes(byte ^ key[n % 4] for n, byte in enumerate(data))


def sheet_of(message: bytes) -> Sheet:
    """Return what reads messages like this one."""
    _, seq, part = msgpack.unpackb(message)["data"]
    groove = groove_of(message, EVENT, seq, part)
    assert groove is not None
    return groove.sheets[len(message) + 8]


@given(
    st.lists(
        st.tuples(
            st.integers(256, 65_535),
            st.binary(min_size=164, max_size=164),
            st.binary(min_size=4, max_size=4),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_many_are_read_as_one_is(sent: list[tuple[int, bytes, bytes]]) -> None:
    sheet = sheet_of(packed(300, bytes(164)))
    frames = [wire(packed(seq, part), key) for seq, part, key in sent]
    assert {len(frame) for frame in frames} == {sheet.size}
    assert all(frame.startswith(sheet.head) for frame in frames)
    assert sheet.read(frames) == ([seq for seq, _, _ in sent], [part for _, part, _ in sent])


@given(st.integers(0, 10_000), st.integers(1, 255), st.integers(0, 2))
def test_what_is_changed_on_the_way_is_no_hot_event(at: int, byte: int, which: int) -> None:
    message = packed(300, bytes(164), options={"compress": True})
    sheet, groove = sheet_of(message), groove_of(message, EVENT, 300, bytes(164))
    assert groove is not None
    changed = bytearray(message)
    changed[at % len(message)] ^= byte
    messages = [message] * 3
    messages[which] = bytes(changed)
    seqs, parts = sheet.read([wire(one) for one in messages])
    for one, seq, part in zip(messages, seqs, parts, strict=True):
        assert (seq, part) == (groove.read(one) or (-1, part))


@pytest.mark.parametrize("seq", [0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1])
def test_numbers_of_every_width_are_read(seq: int) -> None:
    message = packed(seq, bytes(200))
    assert sheet_of(message).read([wire(message)] * 2) == ([seq] * 2, [bytes(200)] * 2)


class Turn:
    """What a gate is plugged into: a lane that is read when a test says so."""

    def __init__(self) -> None:
        self.lane = Lane(lambda: None)
        self.keep, self.give = self.lane.keep, self.lane.give
        self.ended: list[Ended] = []
        self.slowed = 0

    def took(self) -> bool:
        return False

    def timed(self, seconds: float) -> None:
        """Nobody asks."""

    def slow_down(self, *_: Any) -> None:
        self.slowed += 1

    def end(self, _: str, ended: Ended) -> None:
        self.ended.append(ended)


class Ear(HotGate):
    """A connection that notes what it hears; the text `hold` stops it."""

    def __init__(self, turn: Turn) -> None:
        switch: Any = turn
        super().__init__(switch, SystemClock(), "sid")
        self.heard: list[Any] = []
        self.guard = Guard(LIMITS, self._now)
        self.guard.packed = True
        reading: Any = Reading()
        self._transport = reading
        self._reader = parser(self.message, self.heard.append, 1_000_000)
        self.serve(Hot("/game", EVENT, lambda seq, part: self.heard.append((seq, part))))

    def take(self, kind: WSMsgType, data: Any) -> None:
        """Read an event in full, as the way to the rooms does; note anything else."""
        hot = self.learning(data)
        if kind is WSMsgType.BINARY and data[:1] == b"\x83" and hot is not None:
            hot.call(*msgpack.unpackb(data)["data"][1:])
            return
        self.heard.append(data)
        if data == "hold":
            self.hold(ROOM)

    def goodbye(self, code: int) -> None:
        """Note it."""
        self.heard.append(code)

    def fault(self, error: Exception) -> None:
        """There are none."""
        raise error


WHAT = st.one_of(
    st.integers(1, 40).map(lambda n: packed(1000 + n, bytes([n]) * 164)),
    st.integers(1, 40).map(lambda n: packed(1000 + n, bytes([n]) * 500)),
    st.just(packed(3, b"x" * 164)),
    st.just(b"x" * 300),
    st.sampled_from(["a ping or the like", "hold"]),
)
STEPS = st.lists(
    st.tuples(st.integers(0, 7), WHAT, st.integers(1, 400), st.sampled_from(["", "read", "go"])),
    max_size=60,
)


def learned(turn: Turn) -> list[Ear]:
    """Return connections that have learned how their clients write."""
    ears = [Ear(turn) for _ in range(8)]
    for ear in ears:
        for seq in (300, 301):
            for size in (164, 500):
                ear.data_received(wire(packed(seq, bytes(size))))
        ear.look_at_kept()
        ear.heard.clear()
    turn.lane.read()
    return ears


def say(ear: Ear, what: bytes | str, cut: int) -> Any:
    """Let a message come in two pieces; return what is to be heard of it."""
    spelled = isinstance(what, str)
    frame = wire(what.encode() if isinstance(what, str) else what, first=0x81 if spelled else 0x82)
    for piece in filter(None, (frame[:cut], frame[cut:])):
        ear.data_received(piece)
    if isinstance(what, bytes) and what[:1] == b"\x83":
        return tuple(msgpack.unpackb(what)["data"][1:])
    return what


@settings(deadline=None)
@given(STEPS)
def test_each_client_is_heard_in_its_own_order(
    steps: list[tuple[int, bytes | str, int, str]],
) -> None:
    async def check() -> None:
        turn = Turn()
        ears = learned(turn)
        sent: list[list[Any]] = [[] for _ in ears]
        for who, what, cut, then in steps:
            sent[who].append(say(ears[who], what, cut))
            if then:
                turn.lane.read()
            if then == "go":
                ears[who].release(ROOM)
        for ear in ears:
            ear.look_at_kept()
            while ear._holds:
                ear.release(ROOM)
        assert [ear.heard for ear in ears] == sent
        assert turn.lane.size == 0

    asyncio.run(check())


def full(turn: Turn, ears: list[Ear], seq: int) -> None:
    """Let a frame of each come, to be read with the others."""
    for ear in ears:
        ear.data_received(wire(packed(seq, bytes(164))))


async def test_frames_like_those_before_are_kept_and_read_together() -> None:
    turn = Turn()
    ears = [Ear(turn) for _ in range(FEW + 1)]
    for seq in (300, 301):
        full(turn, ears, seq)
    assert turn.lane.size == len(ears), "the first of each was read in full"
    assert [len(ear.heard) for ear in ears] == [1] * len(ears)
    turn.lane.read()
    assert [ear.heard[-1] for ear in ears] == [(301, bytes(164))] * len(ears)
    assert turn.lane.size == 0


async def test_what_is_kept_of_who_is_gone_is_not_handled() -> None:
    turn = Turn()
    ears = [Ear(turn) for _ in range(FEW + 1)]
    for seq in (300, 301):
        full(turn, ears, seq)
    ears[0].done = True
    turn.lane.read()
    assert [len(ear.heard) for ear in ears] == [1, *[2] * FEW]


async def test_what_is_read_together_is_charged_all_the_same() -> None:
    turn = Turn()
    ears = [Ear(turn) for _ in range(FEW + 1)]
    many = int(LIMITS.messages_s * LIMITS.burst_seconds) + 2 * CHARGED
    for n in range(many):
        full(turn, ears, 300 + n)
        turn.lane.read()
    assert turn.slowed >= len(ears)
    assert all(ear._holds for ear in ears), "whoever floods waits"
    for ear in ears:
        ear.shut()


async def test_one_who_ends_ends_alone() -> None:
    turn = Turn()
    ears = [Ear(turn) for _ in range(FEW + 1)]
    over = invalid("for a test")

    def ends(seq: int, part: bytes) -> None:
        raise over

    full(turn, ears, 300)
    ears[1]._call = ends
    full(turn, ears, 301)
    turn.lane.read()
    assert turn.ended == [over]
    assert [len(ear.heard) for ear in ears] == [2, 1, *[2] * (FEW - 1)]


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
