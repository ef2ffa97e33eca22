"""The reference client over lost lines: it comes back, resumes, and nothing is lost or doubled."""

import asyncio
import base64
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable

import pytest

from config.clock import SystemClock
from server.simulation.line import LineLostError, RefusedError
from server.simulation.link import Backoff, expires_at
from server.simulation.player import Player
from tests.server.simulation.scripted import ScriptedServer, scripted


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted() as running:
        yield running


@pytest.fixture
async def player(server: ScriptedServer) -> AsyncIterator[Player]:
    player = Player(server.url, "good", clock=SystemClock(), rng=random.Random(1))
    await player.connect()
    await player.open_session(child_id="c")
    yield player
    await player.disconnect()


def _payload(n: int) -> bytes:
    return bytes(4) + n.to_bytes(2, "little") + n.to_bytes(2, "big") * 10


async def _until(done: Callable[[], bool]) -> None:
    for _ in range(2000):
        if done():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError("it never came to be")


def test_backoff_is_full_jitter_up_to_its_cap() -> None:
    backoff = Backoff(random.Random(3))
    bounds = [min(5.0, 0.2 * 2**n) for n in range(12)]
    many = [
        [wait.next_s() for _ in bounds] for wait in (Backoff(random.Random(n)) for n in range(400))
    ]
    for n, bound in enumerate(bounds):
        waits = [waits[n] for waits in many]
        assert 0 <= min(waits) < 0.1 * bound
        assert 0.9 * bound < max(waits) <= bound
    for _ in range(9):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() <= 0.2


async def test_a_cut_line_is_resumed_and_sent_again_from_expected(
    server: ScriptedServer, player: Player
) -> None:
    await player.start_set(set_no=1)
    server.cut_at = {4: False}
    for n in range(1, 10):
        await player.send_frames(_payload(n))
    await _until(lambda: server.expected == 10)
    assert [body for _, _, body in server.taken][1:] == [_payload(n) for n in range(1, 10)]
    assert server.resumes == [{"session_id": "s-1", "resume_token": "r"}]
    assert player.tally.resumes == player.link.losses == 1
    assert await player.end_set(1) == {"set_no": 1}
    await player.close_session(reason="finished")
    assert len(player.ring) == 0


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("seq", [0, 2, 3])
async def test_an_event_in_flight_is_asked_again_under_its_old_seq(
    server: ScriptedServer, player: Player, seq: int, after: bool
) -> None:
    server.cut_at = {seq: after}
    await player.start_set(set_no=1)
    await player.send_frames(_payload(1))
    assert await player.end_set(1) == {"set_no": 1}
    assert await player.close_session(reason="finished") == {"reason": "finished"}
    assert [n for n, _, _ in server.taken] == [0, 1, 2, 3]
    assert server.tries.count(seq) == 2
    assert player.tally.resumes == 1


async def test_a_store_that_lost_its_last_second_gets_it_again(
    server: ScriptedServer, player: Player
) -> None:
    server.storing = False
    for n in range(6):
        await player.send_frames(_payload(n))
    await _until(lambda: player.ring.buffered == 5)
    server.forget(2)
    server.outcome = "restarted"
    await server.cut()
    await _until(lambda: server.expected == 6 and player.ring.buffered == 5)
    assert [body for _, _, body in server.taken] == [_payload(n) for n in range(6)]


async def test_expected_may_go_back_on_an_open_line(server: ScriptedServer, player: Player) -> None:
    server.storing = False
    for n in range(6):
        await player.send_frames(_payload(n))
    await _until(lambda: player.ring.buffered == 5)
    server.forget(3)
    await player.send_frames(_payload(6))
    await _until(lambda: server.expected == 7)
    assert [body for _, _, body in server.taken] == [_payload(n) for n in range(7)]
    assert player.tally.resumes == 0


async def test_a_server_that_lost_what_it_called_stored_ends_it_loudly(
    server: ScriptedServer, player: Player
) -> None:
    for n in range(4):
        await player.send_frames(_payload(n))
    await _until(lambda: player.ring.stored == 3)
    server.forget(2)
    await server.cut()
    with pytest.raises(RefusedError, match="the server asks for seq 2"):
        await player.start_set(set_no=1)


async def test_the_game_plays_on_while_there_is_no_line(
    server: ScriptedServer, player: Player
) -> None:
    server.refuse_resume = [{"code": "busy", "message": "Later.", "retry_ms": 150}] * 2
    await server.cut()
    await _until(lambda: not player.link.up)
    for n in range(20):
        await asyncio.wait_for(player.send_frames(_payload(n)), 0.1)
    assert server.expected == 0
    await _until(lambda: server.expected == 20)
    assert len(server.resumes) == 3


async def test_superseded_ends_it_for_good(server: ScriptedServer, player: Player) -> None:
    await server.tell("superseded", {"code": "superseded", "message": "Another device."})
    await server.cut()
    await _until(lambda: player.link.over is not None)
    with pytest.raises(LineLostError, match="Another device"):
        await player.start_set(set_no=1)
    assert server.resumes == []


async def test_draining_moves_before_the_line_is_cut(
    server: ScriptedServer, player: Player
) -> None:
    await server.tell("draining", {"retry_after_ms": 50})
    for n in range(30):
        await player.send_frames(_payload(n))
        await asyncio.sleep(0.01)
    await _until(lambda: len(server.resumes) == 1 and server.expected == 30)
    assert player.link.losses == 0
    assert [body for _, _, body in server.taken] == [_payload(n) for n in range(30)]


async def test_closed_names_when_to_come_back(server: ScriptedServer, player: Player) -> None:
    at = SystemClock().monotonic()
    await server.tell("closed", {"code": "rate_limited", "message": "Calm.", "retry_ms": 300})
    await server.cut()
    await _until(lambda: len(server.resumes) == 1)
    assert SystemClock().monotonic() - at >= 0.3


async def test_a_session_sealed_by_our_own_close_has_its_result(
    server: ScriptedServer, player: Player
) -> None:
    server.cut_at = {0: True}
    server.outcome, server.result = "sealed", {"grade": 80}
    assert await player.close_session(reason="finished") == {"grade": 80}
    assert player.sealed


async def test_a_session_sealed_while_we_were_away_ends_it(
    server: ScriptedServer, player: Player
) -> None:
    server.outcome, server.result = "sealed", {"grade": None}
    await server.cut()
    await _until(lambda: player.link.over is not None)
    with pytest.raises(RefusedError, match="session_sealed"):
        await player.send_frames(_payload(1))
    assert player.state["result"] == {"grade": None}


async def test_a_session_sealed_under_our_hands_ends_it(
    server: ScriptedServer, player: Player
) -> None:
    server.refuse = {0: "session_sealed"}
    await player.send_frames(_payload(1))
    await _until(lambda: player.link.over is not None)
    with pytest.raises(RefusedError, match="session_sealed"):
        await player.end_set(1)


async def test_a_session_nobody_knows_ends_it(server: ScriptedServer, player: Player) -> None:
    server.refuse_resume = [{"code": "not_found", "message": "No such session."}]
    await server.cut()
    await _until(lambda: player.link.over is not None)
    with pytest.raises(RefusedError, match="not_found"):
        await player.start_set(set_no=1)


async def test_a_lost_answer_to_open_is_asked_again_with_the_same_key(
    server: ScriptedServer,
) -> None:
    player = Player(server.url, "good", clock=SystemClock(), rng=random.Random(2))
    await player.connect()
    server.cut_open = True
    answer = await player.open_session(child_id="c", client_key="k-1")
    assert answer["session_id"] == "s-1"
    assert [asked["client_key"] for asked in server.opens] == ["k-1", "k-1"]
    assert server.resumes == []
    await player.disconnect()


async def test_a_full_server_is_asked_again_after_the_time_it_names(
    server: ScriptedServer,
) -> None:
    player = Player(server.url, "good", clock=SystemClock(), rng=random.Random(2))
    await player.connect()
    server.refuse_open = [{"code": "session_limit", "message": "Full.", "retry_ms": 100}] * 2
    began = SystemClock().monotonic()
    await player.open_session(child_id="c", client_key="k-1")
    assert SystemClock().monotonic() - began >= 0.2
    assert len(server.opens) == 3
    await player.disconnect()


async def test_servers_are_tried_in_turn(server: ScriptedServer, unused_tcp_port: int) -> None:
    away = f"http://127.0.0.1:{unused_tcp_port}"
    player = Player([away, server.url], "good", clock=SystemClock(), rng=random.Random(2))
    await player.connect()
    await player.open_session(child_id="c")
    await server.cut()
    await _until(lambda: len(server.resumes) == 1)
    assert player.line.url == server.url
    await player.disconnect()


async def test_patience_ends(server: ScriptedServer) -> None:
    player = Player(server.url, "good", clock=SystemClock(), patience_s=0.3)
    await player.connect()
    await player.open_session(child_id="c")
    server.refuse_resume = [{"code": "busy", "message": "Later.", "retry_ms": 100}] * 50
    asking = asyncio.create_task(player.start_set(set_no=1))
    server.cut_at = {0: False}
    with pytest.raises(RefusedError, match="busy"):
        await asking
    await player.disconnect()


async def test_patience_is_as_long_as_the_server_keeps_the_session(
    server: ScriptedServer,
) -> None:
    server.limits["grace_s"] = 0.3
    player = Player(server.url, "good", clock=SystemClock())
    await player.connect()
    assert player.link.patience_s == 300
    await player.open_session(child_id="c")
    assert player.link.patience_s == 0.3
    server.refuse_resume = [{"code": "busy", "message": "Later.", "retry_ms": 100}] * 50
    await server.cut()
    await _until(lambda: player.link.over is not None)
    assert "busy" in str(player.link.over)
    await player.disconnect()


async def test_a_resume_tells_how_long_the_session_is_kept(server: ScriptedServer) -> None:
    player = Player(server.url, "good", clock=SystemClock())
    await player.connect()
    await player.open_session(child_id="c")
    server.limits["grace_s"] = 70
    await server.cut()
    await _until(lambda: player.link.lines == 2)
    assert player.link.patience_s == 70
    await player.disconnect()


def _jwt(ends_in_s: float, n: int) -> str:
    claims = {"exp": SystemClock().time_us() / 1e6 + ends_in_s, "n": n}
    return f"h.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.s"


async def test_a_token_is_renewed_before_its_end(server: ScriptedServer) -> None:
    made: list[str] = []

    def fresh() -> str:
        made.append(_jwt(1.2 if len(made) < 1 else 3600, len(made)))
        return made[-1]

    player = Player(server.url, fresh, clock=SystemClock())
    await player.connect()
    await _until(lambda: len(server.renewed) == 1)
    assert server.auth[0]["token"] == made[0]
    assert server.renewed == [made[1]]
    await server.cut()
    await _until(lambda: len(server.auth) == 2)
    assert server.auth[1]["token"] == made[2]
    await player.disconnect()


def test_a_token_that_says_nothing_lasts() -> None:
    assert expires_at("good") == expires_at("a.b.c") == float("inf")


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_each_message_is_taken_once_and_in_order(seed: int) -> None:
    """Random drops, holes, refusals and lost seconds; what was taken is what was sent."""
    rng = random.Random(seed)
    async with scripted() as server:
        player = Player(server.url, "good", clock=SystemClock(), rng=random.Random(seed))
        await player.connect()
        await player.open_session(child_id="c")
        server.storing = False
        server.retry_ms = 20
        count = 60
        for seq in rng.sample(range(count), 12):
            match rng.randrange(4):
                case 0:
                    server.cut_at[seq] = rng.random() < 0.5
                case 1:
                    server.lose.add(seq)
                case 2:
                    server.busy.add(seq)
                case 3:
                    server.refuse[seq] = "invalid"
        sent: list[object] = []
        for n in range(count):
            if n % 15 == 7:
                sent.append({"paused": n % 2 == 0})
                with contextlib.suppress(RefusedError):  # its seq is taken all the same
                    await player.pause(n % 2 == 0)
            else:
                sent.append(_payload(n))
                await player.send_frames(_payload(n))
            if rng.random() < 0.05 and server.expected > 2:
                server.forget(server.expected - rng.randrange(1, 3))
            await asyncio.sleep(0.002)
        await player.pause(True)
        sent.append({"paused": True})
        await _until(lambda: player.ring.buffered == count)
        assert [body for _, _, body in server.taken] == sent
        assert player.tally.sent == player.tally.buffered == count + 1
        await player.disconnect()
