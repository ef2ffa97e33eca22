"""The generator says what real clients say, hears what real servers say, and plays for real."""

import dataclasses
import json
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import msgpack
import pytest
from aiohttp import WSMsgType
from hypothesis import given
from hypothesis import strategies as st
from socketio import msgpack_packet
from socketio import packet as sio

from sessions.frames import decode
from tests.load import profile
from tests.load.transport import packages, report
from tests.load.transport.compare import Plan, Result, _search, compare, ratios
from tests.load.transport.conn import ROUNDS
from tests.load.transport.generator import Generator
from tests.load.transport.level import Level
from tests.load.transport.motion import PERIOD_US, Motion, round_of, t_us_of
from tests.load.transport.servers import peers
from tests.load.transport.speech import DIALECTS, ColyseusProtocol, Dialect
from tests.load.transport.stores import Stores
from tests.load.transport.wire import BINARY, KEY, TEXT, Handshake, Reader, WireError, frame

PAYLOAD = Motion(1, 2).payload(0, 7)
SOCKET_IO = [DIALECTS["default"], DIALECTS["msgpack"]]


def messages(wire: bytes) -> list[tuple[int, bytes]]:
    """Return what masked frames say: unmasked byte by byte, as the standard writes it."""
    found = []
    while wire:
        opcode, size = wire[0] & 0x0F, wire[1] & 0x7F
        assert wire[0] & 0x80
        assert wire[1] & 0x80
        at = 2
        if size == 126:
            (size,) = struct.unpack_from(">H", wire, 2)
            at = 4
        key, data = wire[at : at + 4], wire[at + 4 : at + 4 + size]
        assert len(data) == size
        assert key == KEY
        found.append((opcode, bytes(b ^ key[i % 4] for i, b in enumerate(data))))
        wire = wire[at + 4 + size :]
    return found


def read(dialect: Dialect, wire: bytes) -> sio.Packet:
    """Read a packet as the library's server does."""
    (opcode, head), *parts = messages(wire)
    if dialect.name == "msgpack":
        assert opcode == BINARY
        assert not parts
        return msgpack_packet.MsgPackPacket(encoded_packet=head)
    assert opcode == TEXT
    assert head.startswith(b"4")
    packet = sio.Packet(encoded_packet=head[1:].decode())
    for opcode, part in parts:
        assert opcode == BINARY
        packet.add_attachment(part)
    return packet


def say(dialect: Dialect, packet: dict[str, Any]) -> list[tuple[int, bytes]]:
    """Return the messages in which the library's server sends a packet."""
    kind = packet.pop("type", sio.EVENT)
    if dialect.name == "msgpack":
        encoded = msgpack_packet.MsgPackPacket(kind, **packet).encode()
        return [(BINARY, encoded)]
    parts = sio.Packet(kind, **packet).encode()
    head, *rest = [parts] if isinstance(parts, str) else parts
    return [(TEXT, b"4" + head.encode()), *((BINARY, part) for part in rest)]


class Ear:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *what: self.told.append((name, *what))


@pytest.mark.parametrize("dialect", SOCKET_IO, ids=lambda d: d.name)
def test_what_is_sent_is_read_by_the_library(dialect: Dialect) -> None:
    joining = read(dialect, dialect.join("/game", {"token": "t"}))
    assert (joining.packet_type, joining.namespace) == (sio.CONNECT, "/game")
    assert joining.data == {"token": "t"}
    asking = read(dialect, dialect.event("/watch", "watch:join", [{"session_id": "s"}], 3))
    assert (asking.packet_type, asking.namespace, asking.id) == (sio.EVENT, "/watch", 3)
    assert asking.data == ["watch:join", {"session_id": "s"}]
    playing = read(dialect, dialect.frames(12345, PAYLOAD))
    assert playing.namespace == "/game"
    assert playing.data == ["frames", 12345, PAYLOAD]
    assert messages(dialect.pong()) == [(TEXT, b"3")]


@pytest.mark.parametrize("dialect", SOCKET_IO, ids=lambda d: d.name)
def test_what_the_library_sends_is_recognised(dialect: Dialect) -> None:
    score = {"set_no": 1, "t_us": 1_000_033_333, "z": 0.5, "full": 2}
    feed = ["feed", "s_1", 9, PAYLOAD, {"score": score, "sent_us": 5}]
    bare = ["feed", "s_1", 10, b"", {"rep": {"class": "full"}}]
    ear = Ear()
    for packet in (
        {"data": ["score", score], "namespace": "/game"},
        {"data": ["ack", {"buffered": 41, "stored": -1}], "namespace": "/game"},
        {"data": feed, "namespace": "/watch"},
        {"data": bare, "namespace": "/watch"},
        {"data": ["slow_down", {"delay_ms": 3}], "namespace": "/game"},
        {"type": sio.ACK, "data": [{"ok": {}}], "namespace": "/game", "id": 7},
        {"type": sio.DISCONNECT, "namespace": "/game"},
    ):
        for message in say(dialect, packet):
            dialect.hear(ear, *message)
    dialect.hear(ear, TEXT, b"2")
    assert ear.told == [
        ("score", 1_000_033_333),
        ("ack", 41),
        ("feed", t_us_of(7)),
        ("event", "slow_down"),
        ("answer",),
        ("gone", "the server disconnected us"),
        ("pinged",),
    ]


@pytest.mark.parametrize("dialect", SOCKET_IO, ids=lambda d: d.name)
def test_answers_and_refusals_are_told_apart(dialect: Dialect) -> None:
    (answer,) = say(dialect, {"type": sio.ACK, "data": [{"ok": {"a": 1}}], "id": 1})
    assert dialect.answered(*answer) == {"ok": {"a": 1}}
    (event,) = say(dialect, {"data": ["welcome", {}], "namespace": "/game"})
    assert dialect.answered(*event) is None
    (joined,) = say(dialect, {"type": sio.CONNECT, "data": {"sid": "x"}, "namespace": "/game"})
    assert dialect.joined(*joined)
    (refused,) = say(
        dialect, {"type": sio.CONNECT_ERROR, "data": {"message": "no"}, "namespace": "/game"}
    )
    with pytest.raises(PermissionError, match="no"):
        dialect.joined(*refused)


def test_colyseus_messages() -> None:
    dialect = ColyseusProtocol()
    ((opcode, content),) = messages(dialect.frames(5, PAYLOAD))
    assert (opcode, content) == (BINARY, b"\x11\xa6frames" + struct.pack("<I", 5) + PAYLOAD)
    ear = Ear()
    dialect.hear(ear, BINARY, b"\x11\xa4feed" + struct.pack("<I", 5) + PAYLOAD)
    dialect.hear(ear, BINARY, b"\x0d\xa5score" + msgpack.packb({"t_us": 12}))
    assert ear.told == [("feed", t_us_of(7)), ("score", 12)]
    assert dialect.joined(BINARY, b"\x0a\x00")
    with pytest.raises(PermissionError):
        dialect.joined(BINARY, b"\x0b\x00")


@given(st.lists(st.binary(max_size=70_000), max_size=4), st.booleans(), st.data())
def test_the_reader_takes_any_slices(
    contents: list[bytes], deflated: bool, data: st.DataObject
) -> None:
    compress = zlib.compressobj(wbits=-15)
    wire = b""
    for content in contents:
        body = content
        if deflated:
            body = (compress.compress(content) + compress.flush(zlib.Z_SYNC_FLUSH))[:-4]
        first = 0xC2 if deflated else 0x82
        size = len(body)
        if size < 126:
            wire += struct.pack(">BB", first, size)
        elif size < 1 << 16:
            wire += struct.pack(">BBH", first, 126, size)
        else:
            wire += struct.pack(">BBQ", first, 127, size)
        wire += body
    reader = Reader("permessage-deflate" if deflated else "")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        found += reader.take(wire[start:end])
    assert found == [(WSMsgType.BINARY, content) for content in contents]


def test_the_reader_refuses_what_it_does_not_know() -> None:
    with pytest.raises(WireError, match="fragmented"):
        Reader().take(b"\x02\x01a")
    with pytest.raises(WireError, match="not agreed"):
        Reader().take(b"\xc2\x01a")
    with pytest.raises(WireError, match="no upgrade"):
        Handshake("h", 1, "/").reader(b"HTTP/1.1 400 Bad Request")
    with pytest.raises(WireError, match="does not fit"):
        Handshake("h", 1, "/").reader(b"HTTP/1.1 101 x\r\nSec-WebSocket-Accept: eA==")
    assert messages(frame(TEXT, b"x" * 200)) == [(TEXT, b"x" * 200)]


@pytest.mark.parametrize("frames", [1, 3])
def test_the_motion_is_real_and_carries_its_round(frames: int) -> None:
    motion = Motion(2, 2, frames)
    seen = [decode(motion.payload(1, n), "world") for n in (0, 1, 500)]
    for message, n in zip(seen, (0, 1, 500), strict=True):
        times = message.t0_us + message.records["dt"]
        assert {round_of(int(t_us), frames) for t_us in times} == {n}
        assert len(times) == frames
    assert seen[1].t0_us - seen[0].t0_us == frames * PERIOD_US
    assert [message.seq0 for message in seen] == [0, frames, 500 * frames]
    assert all(message.records["lm"].any() for message in seen)
    assert motion.payload(0, 3)[24:] != motion.payload(1, 3)[24:]


def level(sessions: int, worst_ms: float = 10.0, us: float = 40.0, lost: int = 0) -> Level:
    """Return a level as if measured."""
    return Level(
        sessions=sessions,
        us_per_frame=us,
        system_us=9.0,
        latency_ms={"score": (1.0, worst_ms)},
        cores={"server": 50.0, "generator": 20.0},
        late_ms=1.0,
        unsettled=lost,
        troubles={},
    )


class Bounded:
    """A server that holds so many sessions; the first try of each level may be disturbed."""

    def __init__(self, most: int, disturbed: bool) -> None:
        self.most = most
        self.disturbed = disturbed
        self.tried: list[int] = []

    def level(self, sessions: int, plan: Plan) -> Level:
        again = sessions in self.tried
        self.tried.append(sessions)
        held = sessions <= self.most and (again or not self.disturbed)
        return level(sessions, 10.0 if held else 80.0)


@pytest.mark.parametrize("disturbed", [False, True])
@pytest.mark.parametrize("most", [90, 330, 1200])
def test_the_search_closes_in_on_the_most_sessions(most: int, disturbed: bool) -> None:
    plan = Plan((100, 500), 1.0, 1.0, 1, 0, search=True, until=0.0, end=0.0)
    result = Result()
    for sessions in plan.levels:
        result.levels[sessions] = [level(sessions, 10.0 if sessions <= most else 80.0)]
    server = Bounded(most, disturbed)
    _search(server, result, plan, math.inf, lambda _: None)
    assert result.best is not None
    assert most / 1.16 <= result.best <= most
    assert len(set(server.tried)) <= 7
    assert result.notes == ([result.limit] if result.limit else [])
    assert "score p99 80 ms" in (result.limit or "score p99 80 ms")


def test_a_level_counts_by_what_most_rounds_gave() -> None:
    result = Result()
    result.levels[100] = [level(100, us=40.0), level(100, us=44.0), level(100, us=90.0)]
    assert result.us(100) == 44.0
    assert result.held(100)
    result.levels[500] = [level(500, lost=1), level(500, 5000.0), level(500)]
    assert result.us(500) is None
    assert not result.held(500)
    assert result.us(800) is None
    other = Result(levels={100: [level(100, us=88.0)]})
    found = ratios({"gemgem": result, "colyseus": other}, "gemgem", (100, 500))
    assert found == {"100": {"colyseus": 0.5}}


def test_a_level_says_why_it_was_not_held() -> None:
    assert level(5, 80.0).fault == "score p99 80 ms"
    assert level(5, 80.0, lost=3).fault == "3 connections missed something"
    troubled = dataclasses.replace(level(5), troubles={"gap": 2})
    assert not troubled.held
    assert "gap (2 times)" in troubled.fault
    assert "2.0 % of the feed" in dataclasses.replace(level(5), thinned=2.0).fault
    late = dataclasses.replace(level(5, 80.0), late_ms=30.0)
    assert "the generator was the limit, 30 ms late" in late.fault


def test_a_profile_adds_up_what_runs_below_the_loop() -> None:
    loop = "run_loop (server/loop.py:17)"
    stacks = "\n".join(
        [
            f"main (server/__main__.py:1);{loop};tick (sessions/engine.py:9);dumps (json.py:1) 3",
            f"main (server/__main__.py:1);{loop};tick (sessions/engine.py:12) 1",
            "wait (threading.py:3) 90",
        ]
    )
    found = profile.add_up(stacks)
    tick = ("sessions/engine.py", "tick")
    assert found.total == 4
    assert found.ours[tick] == found.within[tick] == 4
    assert found.own[tick] == 1
    assert found.own[("json.py", "dumps")] == 3
    assert ("server/__main__.py", "main") not in found.within


SMOKE = ("gemgem", "gemgem_relay", "socketio_python", "socketio_python_msgpack")
NODE = ("socketio_node", "socketio_node_msgpack", "colyseus")


@pytest.fixture
def kept(mongo_url: str, redis_url: str, tmp_path: Path) -> Stores:
    """Return the run's stores."""
    return Stores(mongo_url, redis_url, {}, tmp_path)


@pytest.mark.parametrize(
    ("name", "parser"),
    [
        ("gemgem", "msgpack"),
        ("gemgem_relay", "msgpack"),
        *((name, "default") for name in (*SMOKE, *NODE)),
    ],
)
def test_a_server_is_measured(
    name: str, parser: str, kept: Stores, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in NODE and (missing := packages.missing()):
        pytest.skip(missing)
    idle = 20 if name == "gemgem_relay" else 0
    plan = Plan((5,), 0.3, 1.0, 1, idle, search=False, until=0.0, end=0.0)
    result = compare([peers(parser)[name]], plan, kept, lambda _: None)
    (found,) = result[name].levels[5]
    assert not found.lost, (found.unsettled, found.troubles)
    assert found.thinned == 0 or name == "gemgem", "only ours may leave something out"
    assert found.us_per_frame > 0
    assert found.latency_ms.keys() == (
        {"answer", "score", "feed", "ack"} if name == "gemgem" else {"score", "feed"}
    )
    assert not result[name].notes
    assert len(result[name].kb) == bool(idle)
    told = report.told(result, plan, parser, 0.0)
    assert told["cpu_us_per_frame"]["5"].keys() == {name}
    assert json.loads(json.dumps(told)) == told
    report.show(told)
    assert name in capsys.readouterr().out
    assert f"| {name} |" in report.markdown(told)


def test_a_number_leads_to_the_round_it_was_sent_in(kept: Stores) -> None:
    with peers("default")["socketio_python"].running(kept) as running:
        generator = Generator(running.door, Motion(1, 2))
        try:
            generator.grow(2)
            for _ in range(2):
                generator.run(2, 0.0, 0.3, lambda: None)
                for conn in generator.players:
                    last = conn.sent_at[(conn.seq - 1 + conn.seq_round) % ROUNDS]
                    assert last == max(conn.sent_at) > 0.0
        finally:
            generator.close()


def test_what_is_lost_is_noticed(kept: Stores) -> None:
    peer = peers("default")["socketio_python"]
    with peer.running(kept) as running:
        door = running.door
        (conn,) = door.players(1, lambda _: None)
        try:
            conn.sent = 10
            assert not conn.settled(scored=False)
            conn.sent = 9
            assert conn.settled(scored=False)
        finally:
            door.close()
