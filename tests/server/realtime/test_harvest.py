"""Sockets read together say what each says by itself; nothing of a client overtakes anything."""

import asyncio
import contextlib
import functools
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgpack
import numpy as np
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
from server.realtime.harvest import CHARGED, FEW, MOST_BYTES, Harvest, Taker
from server.realtime.hot import HotGate
from server.realtime.parser import parser
from server.realtime.sheet import Sheet

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


def read(sheet: Sheet, frames: list[bytes]) -> list[tuple[int, bytes]]:
    """Return the number and the binary part of each frame."""
    seqs, parts = sheet.read(frames)
    return [(int(seq), part.tobytes()) for seq, part in zip(seqs, parts, strict=True)]


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
    assert read(sheet, frames) == [(seq, part) for seq, part, _ in sent]


@given(st.integers(0, 10_000), st.integers(1, 255), st.integers(0, 2))
def test_what_is_changed_on_the_way_is_no_hot_event(at: int, byte: int, which: int) -> None:
    message = packed(300, bytes(164), options={"compress": True})
    sheet, groove = sheet_of(message), groove_of(message, EVENT, 300, bytes(164))
    assert groove is not None
    changed = bytearray(message)
    changed[at % len(message)] ^= byte
    messages = [message] * 3
    messages[which] = bytes(changed)
    for one, (seq, part) in zip(messages, read(sheet, [wire(m) for m in messages]), strict=True):
        assert (seq, part) == (groove.read(one) or (-1, part))


def test_a_frame_with_another_head_is_no_hot_event() -> None:
    message = packed(300, bytes(164))
    frame = wire(message)
    heads = [b"\x82\xfd", b"\xc2\xfe", b"\x02\xfe", b"\x81\xfe"]
    frames = [frame, *(head + frame[2:] for head in heads), frame[:2] + b"\0\0" + frame[4:]]
    assert [seq for seq, _ in read(sheet_of(message), frames)] == [300, *[-1] * 5]


@pytest.mark.parametrize("seq", [0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1])
def test_numbers_of_every_width_are_read(seq: int) -> None:
    message = packed(seq, bytes(200))
    assert read(sheet_of(message), [wire(message)] * 2) == [(seq, bytes(200))] * 2


class Hub:
    """What a gate is plugged into: a harvest that collects when a test says so."""

    def __init__(self, take: Taker | None = None) -> None:
        self.harvest: Harvest | None = Harvest(take)
        self.ended: list[Ended] = []
        self.slowed = 0

    def collect(self) -> None:
        """Read the lines."""
        assert self.harvest is not None
        self.harvest.collect()

    def took(self) -> bool:
        return False

    def timed(self, seconds: float) -> None:
        """Nobody asks."""

    def slow_down(self, *_: Any) -> None:
        self.slowed += 1

    def end(self, _: str, ended: Ended) -> None:
        self.ended.append(ended)


class Pipe:
    """A transport over a real socket, which the loop would read while `reading`."""

    def __init__(self, tls: object = None) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.reading = True
        self.closing = False
        self._extra = {"socket": self.near, "sslcontext": tls}

    def get_extra_info(self, name: str) -> object:
        return self._extra.get(name)

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.closing
        self.reading = True

    def close(self) -> None:
        """Let go of both ends."""
        self.closing = True
        self.near.close()
        self.far.close()


class Ear(HotGate):
    """A connection that notes what it hears; the text `hold` stops it."""

    def __init__(self, hub: Hub, pipe: Pipe, berth: tuple[int, int] | None = None) -> None:
        switch: Any = hub
        super().__init__(switch, SystemClock(), "sid")
        self.heard: list[Any] = []
        self.guard = Guard(LIMITS, self._now)
        self.guard.packed = True
        self.pipe: Any = pipe
        self._transport = self.pipe
        self._reader = parser(self.message, self.heard.append, 1_000_000)

        def call(seq: int, part: bytes) -> None:
            self.heard.append((seq, part))

        self.serve(Hot("/game", EVENT, call, None if berth is None else lambda: berth))

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

    def turn(self) -> None:
        """Read as the loop does in one turn."""
        if self.pipe.reading and not self.pipe.closing:
            with contextlib.suppress(BlockingIOError):
                self.data_received(self.pipe.near.recv(65_536))

    @property
    def harvested(self) -> bool:
        """Whether it is read with others."""
        return self.descriptor >= 0


@contextlib.contextmanager
def plugged(hub: Hub, count: int, berths: Sequence[tuple[int, int]] = ()) -> Iterator[list[Ear]]:
    """Give connections that have learned how their clients write."""
    pipes = [Pipe() for _ in range(count)]
    ears = [Ear(hub, pipe, berths[n] if berths else None) for n, pipe in enumerate(pipes)]
    for ear in ears:
        for size in (164, 500):
            for seq in (300, 301):
                ear.pipe.far.sendall(wire(packed(seq, bytes(size))))
                ear.turn()
                hub.collect()
        assert len(ear.heard) == 4
        assert ear.harvested
        ear.heard.clear()
    try:
        yield ears
    finally:
        for ear in ears:
            ear.shut()
            ear.pipe.close()
        assert hub.harvest is not None
        hub.harvest.close()


WHAT = st.one_of(
    st.integers(1, 40).map(lambda n: packed(1000 + n, bytes([n]) * 164)),
    st.integers(1, 40).map(lambda n: packed(1000 + n, bytes([n]) * 500)),
    st.just(packed(3, b"x" * 164)),
    st.just(b"x" * 300),
    st.just(b"y" * (MOST_BYTES + 100)),
    st.sampled_from(["a ping or the like", "hold"]),
)
STEPS = st.lists(
    st.tuples(
        st.integers(0, FEW + 3),
        WHAT,
        st.integers(1, 400),
        st.sampled_from(["", "loop", "tick", "tick", "go", "each"]),
    ),
    max_size=60,
)


def say(ear: Ear, what: bytes | str, cut: int, between: Callable[[], None]) -> Any:
    """Send a message in two pieces; return what is to be heard of it."""
    spelled = isinstance(what, str)
    frame = wire(what.encode() if isinstance(what, str) else what, first=0x81 if spelled else 0x82)
    ear.pipe.far.sendall(frame[:cut])
    between()
    ear.pipe.far.sendall(frame[cut:])
    if isinstance(what, bytes) and what[:1] == b"\x83":
        return tuple(msgpack.unpackb(what)["data"][1:])
    return what


class Tale:
    """Takes every frame, and tells who sent it as if they had heard it themselves."""

    def __init__(self) -> None:
        self.ears: list[Ear] = []

    def __call__(self, rows: Any, keys: Any, seqs: Any, parts: Any) -> Any:
        if self.ears:
            for row, seq, part in zip(rows, seqs, parts, strict=True):
                self.ears[row].heard.append((int(seq), part.tobytes()))
        return np.full(len(rows), bool(self.ears))


class Day:
    """What happens to some connections, and what each was sent."""

    def __init__(self, hub: Hub, ears: list[Ear]) -> None:
        self.hub = hub
        self.ears = ears
        self.sent: list[list[Any]] = [[] for _ in ears]

    def say(self, who: int, what: bytes | str, cut: int, between: Callable[[], None]) -> None:
        """Send a message in two pieces."""
        self.sent[who].append(say(self.ears[who], what, cut, between))

    def happen(self, who: int, then: str) -> None:
        """Let time pass."""
        if then == "each":
            for n in range(len(self.ears)):
                self.say(n, packed(999, bytes(164)), 10_000, lambda: None)
        elif then == "loop":
            for ear in self.ears:
                ear.turn()
        elif then == "tick":
            self.hub.collect()
        elif then == "go":
            self.ears[who].release(ROOM)

    def end(self) -> None:
        """Let everything be heard."""
        for ear, what in zip(self.ears, self.sent, strict=True):
            for _ in range(3 * len(what)):
                ear.release(ROOM)
                ear.turn()
                self.hub.collect()


@settings(deadline=None)
@given(STEPS, st.booleans(), st.booleans())
def test_each_client_is_heard_in_its_own_order(
    steps: list[tuple[int, bytes | str, int, str]], whole: bool, together: bool
) -> None:
    async def check() -> None:
        tale = Tale()
        hub = Hub(tale)
        with plugged(hub, FEW + 4, [(n, 7) for n in range(FEW + 4)]) as ears:
            tale.ears = ears if together else []
            day = Day(hub, ears)
            for who, what, cut, then in steps:
                between = "" if whole or then == "each" else then
                day.say(
                    who, what, 10_000 if whole else cut, functools.partial(day.happen, who, between)
                )
                day.happen(who, then)
            day.end()
            assert [ear.heard for ear in ears] == day.sent

    asyncio.run(check())


def each(ears: list[Ear], seq: int) -> None:
    """Let a frame of each come."""
    for ear in ears:
        ear.pipe.far.sendall(wire(packed(seq, bytes(164))))


class Desk:
    """Takes the frames of some rows."""

    def __init__(self, keys: set[int]) -> None:
        self.keys = keys
        self.taken: list[tuple[int, int, int, bytes]] = []

    def __call__(self, rows: Any, keys: Any, seqs: Any, parts: Any) -> Any:
        known = np.array([int(key) in self.keys for key in keys])
        told = zip(rows, keys, seqs, parts, known, strict=True)
        self.taken += [(int(r), int(k), int(s), p.tobytes()) for r, k, s, p, ok in told if ok]
        return known


async def test_frames_of_a_berth_are_taken_together_and_others_go_their_own_way() -> None:
    desk = Desk({7})
    hub = Hub(desk)
    berths = [(n, 7 if n % 2 else 8) for n in range(2 * FEW)]
    with plugged(hub, 2 * FEW, berths) as ears:
        each(ears, 302)
        ears[1].pipe.far.sendall(wire(b"behind it", first=0x81))
        hub.collect()
        assert sorted(desk.taken) == [(n, 7, 302, bytes(164)) for n in range(1, 2 * FEW, 2)]
        assert [ear.heard for ear in ears[::2]] == [[(302, bytes(164))]] * FEW
        assert ears[1].heard == ["behind it"]
        assert all(ear.harvested for ear in ears)


async def test_what_comes_with_a_frame_keeps_it_from_nothing() -> None:
    desk = Desk({7})
    hub = Hub(desk)
    count = FEW + 5
    pong, ask = wire(b"3", first=0x81), wire(b"ask")
    with plugged(hub, count, [(n, 7) for n in range(count)]) as ears:
        desk.taken.clear()
        ears[0].pipe.far.sendall(pong)
        each(ears, 302)
        for ear in ears[: FEW + 1]:
            ear.pipe.far.sendall(wire(packed(303, bytes(164))))
        ears[1].pipe.far.sendall(ask + pong)
        ears[2].pipe.far.sendall(wire(b"x" * 200) + wire(b"ask")[:5])
        hub.collect()
        numbers = [seq for row in range(count) for n, _, seq, _ in desk.taken if n == row]
        assert numbers == [302, 303] * (FEW + 1) + [302] * (count - FEW - 1)
        assert [ear.heard for ear in ears[:3]] == [["3"], [b"ask", "3"], [b"x" * 200]]
        each(ears[:2], 304)
        ears[2].pipe.far.sendall(wire(b"ask")[5:])
        hub.collect()
        assert ears[2].heard[1:] == [b"ask"]
        assert all(ear.harvested for ear in ears)


@pytest.mark.parametrize("before", [True, False])
async def test_who_is_held_in_the_middle_of_a_read_keeps_the_rest(before: bool) -> None:
    desk = Desk({7})
    hub = Hub(desk)
    hold, frame = wire(b"hold", first=0x81), wire(packed(302, bytes(164)))
    with plugged(hub, FEW + 2, [(n, 7) for n in range(FEW + 2)]) as ears:
        desk.taken.clear()
        ears[0].pipe.far.sendall(hold + frame if before else frame + hold + frame)
        each(ears[1:], 302)
        hub.collect()
        assert ears[0].heard == ["hold"]
        assert not ears[0].harvested
        assert len(desk.taken) == FEW + 1 + (not before)
        ears[0].release(ROOM)
        assert ears[0].heard == ["hold", (302, bytes(164))]


async def test_who_is_held_is_read_no_more_until_it_may_go_on() -> None:
    hub = Hub()
    with plugged(hub, FEW + 1) as ears:
        ears[0].hold(ROOM)
        assert not ears[0].harvested
        each(ears, 302)
        hub.collect()
        ears[0].turn()
        assert [len(ear.heard) for ear in ears] == [0, *[1] * FEW]
        ears[0].release(ROOM)
        ears[0].turn()
        assert ears[0].heard == [(302, bytes(164))]
        assert ears[0].harvested, "and is read with the others again"


async def test_who_hangs_up_is_left_to_the_loop() -> None:
    hub = Hub()
    with plugged(hub, FEW + 1) as ears:
        ears[0].pipe.far.close()
        hub.collect()
        assert not ears[0].harvested
        assert ears[0].pipe.reading, "the loop hears of it"


async def test_a_line_that_breaks_harms_no_other() -> None:
    hub = Hub()
    with plugged(hub, FEW + 2) as ears:
        each(ears, 302)
        ears[1].pipe.near.close()  # its descriptor is nobody's any more
        ears[1].pipe.closing = True
        hub.collect()
        assert [len(ear.heard) for ear in ears] == [1, 0, *[1] * FEW]


async def test_a_descriptor_that_is_anothers_by_now_is_left_alone() -> None:
    hub = Hub()
    harvest = hub.harvest
    assert harvest is not None
    with plugged(hub, 2) as (old, new):
        number, other = old.descriptor, socket.socketpair()
        old.pipe.near.close()
        try:
            os.dup2(other[0].fileno(), number)
            assert harvest.add(new, number)
            harvest.remove(old, number)
            other[1].sendall(wire(packed(302, bytes(164))))
            hub.collect()
            assert new.heard == [(302, bytes(164))]
            harvest.remove(new, number)
        finally:
            os.close(number)
            for end in other:
                end.close()


async def test_what_nobody_can_see_from_outside_stays_with_the_loop() -> None:
    hub = Hub()
    pipes = [Pipe(tls=object()), Pipe(), Pipe(), Pipe()]
    ears = [Ear(hub, pipe) for pipe in pipes]
    ears[1].guard.packed = False
    ears[1].serve(ears[1].hot)
    try:
        for seq in (300, 301):
            for ear in ears[:3]:
                if ear is ears[2]:
                    hub.harvest = None
                ear.pipe.far.sendall(wire(packed(seq, bytes(164))))
                ear.turn()
        assert [ear.harvested for ear in ears] == [False] * 4
        assert [len(ear.heard) for ear in ears] == [2, 2, 2, 0]
    finally:
        for ear in ears:
            ear.shut()
            ear.pipe.close()


async def test_without_a_way_to_look_at_many_sockets_the_loop_reads_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("select.epoll")
    hub = Hub()
    ear = Ear(hub, Pipe())
    try:
        for seq in (300, 301):
            ear.pipe.far.sendall(wire(packed(seq, bytes(164))))
            ear.turn()
        hub.collect()
        assert (len(ear.heard), ear.harvested) == (2, False)
    finally:
        ear.shut()
        ear.pipe.close()


async def test_who_is_finished_is_not_taken_from() -> None:
    desk = Desk({7})
    hub = Hub(desk)
    with plugged(hub, FEW + 2, [(n, 7) for n in range(FEW + 2)]) as ears:
        desk.taken.clear()
        each(ears, 302)
        ears[0].finish()
        hub.collect()
        assert sorted(row for row, *_ in desk.taken) == list(range(1, FEW + 2))
        assert ears[0].pipe.reading, "its goodbye is waited for"


@pytest.mark.parametrize("taken", [True, False])
async def test_what_is_read_together_is_charged_all_the_same(taken: bool) -> None:
    hub = Hub(Desk({7} if taken else set()))
    with plugged(hub, FEW + 1, [(n, 7) for n in range(FEW + 1)]) as ears:
        now = time.monotonic()
        for one in (hub.harvest, *ears):
            one._monotonic = lambda: now  # type: ignore[union-attr]  # however long it takes here
        many = int(LIMITS.messages_s * LIMITS.burst_seconds) + 2 * CHARGED
        for n in range(many):
            each(ears, 302 + n)
            hub.collect()
        assert hub.slowed >= len(ears)
        assert all(ear._holds for ear in ears), "whoever floods waits"
        assert not any(ear.harvested for ear in ears)


async def test_one_who_ends_ends_alone() -> None:
    hub = Hub()
    over = invalid("for a test")

    def ends(seq: int, part: bytes) -> None:
        raise over

    with plugged(hub, FEW + 1) as ears:
        ears[1]._call = ends
        each(ears, 302)
        hub.collect()
        assert hub.ended == [over]
        assert [len(ear.heard) for ear in ears] == [1, 0, *[1] * (FEW - 1)]


async def test_the_last_words_of_who_hangs_up_are_heard() -> None:
    hub = Hub()
    with plugged(hub, FEW + 2) as ears:
        each(ears, 302)
        ears[0].pipe.far.close()
        hub.collect()
        assert [len(ear.heard) for ear in ears] == [1] * len(ears)
        assert not ears[0].harvested, "no other news of it would come"
        assert ears[0].pipe.reading
