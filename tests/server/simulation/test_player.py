"""The reference client against a server that misbehaves on command, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from config.clock import SystemClock
from server.simulation.ledger import FileLedger, digest
from server.simulation.line import LineLostError, RefusedError
from server.simulation.player import Player
from tests.server.simulation.scripted import ScriptedServer, scripted


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted() as running:
        yield running


@pytest.fixture
async def player(server: ScriptedServer) -> AsyncIterator[Player]:
    player = Player(server.url, "good", clock=SystemClock())
    await player.connect()
    await player.open_session(child_id="c")
    yield player
    await player.disconnect()


def _payload(n: int) -> bytes:
    return bytes(4) + n.to_bytes(2, "little") + bytes([n]) * 20


async def _until(done: Callable[[], bool]) -> None:
    for _ in range(1000):
        if done():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError("it never came to be")


async def test_connect_sends_the_token_in_auth_and_takes_the_limits(
    server: ScriptedServer, player: Player
) -> None:
    assert server.auth[0]["token"] == "good"
    assert server.auth[0]["client"]["app"] == "gemgem-simulate"
    assert player.line.welcome["protocol"] == 1
    assert player.limits.unacked == 8


async def test_a_refused_connect_says_why(server: ScriptedServer) -> None:
    player = Player(server.url, "stale", clock=SystemClock())
    with pytest.raises(RefusedError) as refused:
        await player.connect()
    assert refused.value.code == "unauthenticated"


async def test_nobody_there_is_a_lost_line(unused_tcp_port: int) -> None:
    player = Player(f"http://127.0.0.1:{unused_tcp_port}", "good", clock=SystemClock())
    with pytest.raises(LineLostError, match="no connection"):
        await player.connect()


async def test_an_error_without_a_seq_is_raised(server: ScriptedServer) -> None:
    player = Player(server.url, "good", clock=SystemClock())
    await player.connect()
    with pytest.raises(RefusedError, match="not_found"):
        await player.open_session(child_id="stranger")
    await player.disconnect()


async def test_a_session_numbers_its_messages_and_is_acknowledged(
    server: ScriptedServer, player: Player
) -> None:
    await player.start_set(set_no=1)
    for n in range(5):
        await player.send_frames(_payload(n))
    assert await player.end_set(1) == {"set_no": 1}
    await player.close_session(reason="finished")
    assert [seq for seq, _, _ in server.taken] == list(range(8))
    assert [event for _, event, _ in server.taken][::6] == ["set:start", "set:end"]
    assert server.taken[3][2] == _payload(2)
    tally = player.tally
    assert (tally.sent, tally.buffered, tally.stored, tally.frames) == (8, 8, 8, 10)
    assert (tally.events_ack.count, tally.frames_ack.count) == (3, 5)
    assert (tally.resent, tally.gaps, tally.refused) == (0, 0, 0)
    assert player.sealed


async def test_a_lost_frame_message_is_sent_again_from_the_hole(
    server: ScriptedServer, player: Player
) -> None:
    server.lose = {2}
    for n in range(6):
        await player.send_frames(_payload(n))
    await _until(lambda: server.expected == 6)
    assert [payload for _, _, payload in server.taken] == [_payload(n) for n in range(6)]
    assert player.tally.gaps == 1
    assert player.tally.resent >= 4


async def test_a_hole_found_by_an_event_is_filled_and_the_event_answered(
    server: ScriptedServer, player: Player
) -> None:
    await player.start_set(set_no=1)
    server.lose = {1}
    await player.send_frames(_payload(1))
    assert await player.end_set(1) == {"set_no": 1}
    assert [event for _, event, _ in server.taken] == ["set:start", "frames", "set:end"]


@pytest.mark.parametrize("seq", [0, 1, 2])
async def test_busy_takes_no_seq_and_is_tried_again(
    server: ScriptedServer, player: Player, seq: int
) -> None:
    server.busy = {seq}
    await player.start_set(set_no=1)
    await player.send_frames(_payload(1))
    await player.end_set(1)
    assert [seq for seq, _, _ in server.taken] == [0, 1, 2]
    assert player.tally.refused == 1
    assert server.tries.count(seq) == 2


async def test_a_busy_close_is_asked_again_and_not_counted(
    server: ScriptedServer, player: Player
) -> None:
    server.busy = {0}
    assert await player.close_session(reason="finished") == {"reason": "finished"}
    assert server.tries == [0, 0]
    assert player.tally.refused == 0


async def test_no_more_bytes_go_out_than_the_server_allows(server: ScriptedServer) -> None:
    server.limits |= {"unacked": 100, "unacked_bytes": 80}
    player = Player(server.url, "good", clock=SystemClock())
    await player.connect()
    await player.open_session(child_id="c")
    server.holding = True
    for n in range(8):
        await player.send_frames(_payload(n))  # 26 bytes each
    assert player.ring.in_flight == 3
    await _until(lambda: server.expected == 3)
    server.holding = False
    await server.acknowledge()
    await _until(lambda: server.expected == 8)
    await _until(lambda: player.ring.in_flight == 0)
    # One alone may be of any size; a control message counts 256 bytes.
    await player.start_set(set_no=1)
    await player.send_frames(bytes(200))
    await player.end_set(1)
    assert [seq for seq, _, _ in server.taken] == list(range(11))
    await player.disconnect()


async def test_any_other_error_has_taken_its_seq(server: ScriptedServer, player: Player) -> None:
    server.refuse = {0: "conflict", 1: "invalid"}
    with pytest.raises(RefusedError, match="conflict"):
        await player.start_set(set_no=1)
    await player.send_frames(_payload(1))
    await player.start_set(set_no=2)
    assert [seq for seq, _, _ in server.taken] == [0, 1, 2]
    assert player.tally.refused == 2


async def test_no_more_than_the_window_goes_out_ahead_of_buffered(
    server: ScriptedServer, player: Player
) -> None:
    server.holding = True
    for n in range(12):
        await player.send_frames(_payload(n))  # the game is not held up
    await asyncio.sleep(0.05)
    assert server.expected == 8
    server.holding = False
    await server.acknowledge()
    await _until(lambda: server.expected == 12)
    assert server.tries == list(range(12))


async def test_what_is_only_buffered_is_kept(server: ScriptedServer, player: Player) -> None:
    server.storing = False
    for n in range(4):
        await player.send_frames(_payload(n))
    await _until(lambda: player.ring.buffered == 3)
    assert len(player.ring) == 4
    server.storing = True
    await server.acknowledge()
    await _until(lambda: len(player.ring) == 0)


async def test_slow_down_pauses_without_losing_order(
    server: ScriptedServer, player: Player
) -> None:
    await server.tell("slow_down", {"delay_ms": 80})
    await _until(lambda: player.tally.slow_downs == 1)
    for n in range(4):
        await player.send_frames(_payload(n))
    assert server.tries == []
    await _until(lambda: server.expected == 4)
    assert server.tries == [0, 1, 2, 3]


async def test_a_cut_line_ends_the_wait_with_its_reason(
    server: ScriptedServer, player: Player
) -> None:
    server.busy, server.retry_ms = {0}, 60_000
    asking = asyncio.create_task(player.start_set(set_no=1))
    await _until(lambda: player.tally.refused == 1)
    await server.tell("superseded", {"code": "superseded", "message": "Another device."})
    await server.cut()
    with pytest.raises(LineLostError, match="superseded: Another device"):
        await asking
    with pytest.raises(LineLostError):
        await player.send_frames(_payload(2))


async def test_the_ledger_holds_what_was_sent_and_acknowledged(
    server: ScriptedServer, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.jsonl"
    with FileLedger(path, SystemClock()) as ledger:
        player = Player(server.url, "good", clock=SystemClock(), ledger=ledger)
        await player.connect()
        await player.open_session(child_id="c")
        server.refuse = {1: "invalid"}
        await player.start_set(set_no=1)
        await player.send_frames(_payload(7))
        await player.close_session(reason="finished")
        await player.disconnect()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["kind"] for line in lines][:2] == ["run", "open"]
    messages = [line for line in lines if line["kind"] == "message"]
    assert [(m["seq"], m["event"]) for m in messages] == [
        (0, "set:start"),
        (1, "frames"),
        (2, "session:close"),
    ]
    assert messages[1]["digest"] == digest(_payload(7))
    assert messages[0]["digest"] == digest({"set_no": 1})
    assert [line["code"] for line in lines if line["kind"] == "refused"] == ["invalid"]
    acks = [line for line in lines if line["kind"] == "ack"]
    assert (acks[-1]["buffered"], acks[-1]["stored"]) == (2, 2)
    assert lines[-1]["kind"] == "sealed"
