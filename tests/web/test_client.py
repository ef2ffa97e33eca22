"""The JavaScript client in Node.js, against a server that misbehaves and against the real one."""

import asyncio
import base64
import json
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.server.simulation.scripted import ScriptedServer, scripted
from tests.web.runtime import packages, play_told


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    packages()
    async with scripted() as running:
        yield running


def _frame(n: int) -> bytes:
    return n.to_bytes(4, "big") * 8


def _plan(server: ScriptedServer, frames: int = 40, **more: Any) -> dict[str, Any]:
    return {
        "urls": [server.url],
        "token": "good",
        "open": {"child_id": "c", "client_key": "k-1"},
        "start": {"set_no": 1},
        "frames": [base64.b64encode(_frame(n)).decode() for n in range(frames)],
        "everyMs": 2,
        "end": True,
        **more,
    }


def _bodies(server: ScriptedServer) -> list[Any]:
    return [body for _, _, body in server.taken]


async def test_a_session_is_played_and_nothing_is_left(server: ScriptedServer) -> None:
    told = await play_told(_plan(server))
    assert server.auth[0]["client"]["platform"] == "node"
    assert told["answers"]["end"] == {"set_no": 1}
    assert told["answers"]["close"] == {"reason": "finished"}
    frames = [_frame(n) for n in range(40)]
    assert _bodies(server) == [{"set_no": 1}, *frames, {"set_no": 1}, {"reason": "finished"}]
    assert (told["up"], told["down"], told["errors"], told["ring"]) == (1, 0, {}, 0)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_each_message_is_taken_once_and_in_order(
    server: ScriptedServer, seed: int
) -> None:
    rng = random.Random(seed)
    server.retry_ms = 20
    for seq in rng.sample(range(1, 40), 10):
        match rng.randrange(3):
            case 0:
                server.cut_at[seq] = rng.random() < 0.5
            case 1:
                server.lose.add(seq)
            case 2:
                server.busy.add(seq)
    cuts = len(server.cut_at)
    told = await play_told(_plan(server, pauseAt=20))
    frames: list[Any] = [_frame(n) for n in range(40)]
    frames.insert(20, {"paused": True, "reason": "rest"})
    assert _bodies(server) == [{"set_no": 1}, *frames, {"set_no": 1}, {"reason": "finished"}]
    assert told["errors"] == {}
    assert told["down"] == len(server.resumes) == cuts
    assert told["ring"] == 0


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("seq", [0, 41, 42])
async def test_an_event_in_flight_is_asked_again(
    server: ScriptedServer, seq: int, after: bool
) -> None:
    server.cut_at = {seq: after}
    told = await play_told(_plan(server))
    assert told["answers"]["close"] == {"reason": "finished"}
    assert [n for n, _, _ in server.taken] == list(range(43))
    assert server.tries.count(seq) == 2


async def test_a_store_that_lost_its_last_second_gets_it_again(server: ScriptedServer) -> None:
    server.storing = False
    plan = _plan(server, everyMs=10)
    playing = asyncio.create_task(play_told(plan))
    while server.expected < 15:
        await asyncio.sleep(0.005)
    server.forget(10)
    await server.cut()
    while server.expected < 30:
        await asyncio.sleep(0.005)
    server.forget(25)  # with the line open: the next message finds the hole
    told = await playing
    assert told["errors"] == {}
    assert [n for n, _, _ in server.taken] == list(range(43))
    assert _bodies(server)[1:41] == [_frame(n) for n in range(40)]


async def test_superseded_ends_it_for_good(server: ScriptedServer) -> None:
    playing = asyncio.create_task(play_told(_plan(server, end=False, stayMs=1500)))
    while server.expected < 20:
        await asyncio.sleep(0.005)
    await server.tell("superseded", {"code": "superseded", "message": "Another device."})
    await server.cut()
    told = await playing
    assert told["over"] == "superseded: Another device."
    assert server.resumes == []


async def test_draining_moves_to_the_next_server(server: ScriptedServer) -> None:
    async with scripted() as other:
        plan = _plan(server, urls=[server.url, other.url], everyMs=20)
        other.taken = server.taken
        playing = asyncio.create_task(play_told(plan))
        while server.expected < 10:
            await asyncio.sleep(0.005)
        await server.tell("draining", {"retry_after_ms": 50})
        told = await playing
        assert len(other.resumes) == 1
        assert server.resumes == []
        assert _bodies(other)[1:41] == [_frame(n) for n in range(40)]
        assert (told["up"], told["errors"]) == (2, {})


async def test_a_lost_answer_to_open_is_asked_again_with_the_same_key(
    server: ScriptedServer,
) -> None:
    server.cut_open = True
    told = await play_told(_plan(server))
    assert [asked["client_key"] for asked in server.opens] == ["k-1", "k-1"]
    assert told["errors"] == {}


async def test_a_full_server_is_asked_again(server: ScriptedServer) -> None:
    server.refuse_open = [{"code": "busy", "message": "Later.", "retry_ms": 50}] * 2
    told = await play_told(_plan(server))
    assert len(server.opens) == 3
    assert told["errors"] == {}


async def test_a_session_sealed_while_away_ends_it(server: ScriptedServer) -> None:
    server.outcome, server.result = "sealed", {"grade": 7}
    server.cut_at = {42: True}
    told = await play_told(_plan(server))
    assert told["answers"]["close"] == {"grade": 7}


def _jwt(ends_in_s: float, n: int) -> str:
    claims = {"exp": time.time() + ends_in_s, "n": n}
    return f"h.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.s"


async def test_a_token_is_renewed_before_its_end(server: ScriptedServer) -> None:
    tokens = [_jwt(1.3, 0), _jwt(3600, 1)]
    plan = _plan(server, end=False, stayMs=1500, tokens=tokens)
    del plan["token"]
    await play_told(plan)
    assert server.auth[0]["token"] == tokens[0]
    assert server.renewed == [tokens[1]]


async def test_no_more_bytes_go_out_than_the_server_allows(server: ScriptedServer) -> None:
    server.limits |= {"unacked": 100, "unacked_bytes": 360}
    server.holding = True
    told = await play_told(_plan(server, end=False, stayMs=100))
    # The start counts 256 bytes, each frame message 32.
    assert (server.expected, told["ring"], told["errors"]) == (4, 41, {})


async def test_patience_is_as_long_as_the_server_keeps_the_session(
    server: ScriptedServer,
) -> None:
    server.limits["grace_s"] = 0.3
    server.refuse_resume = [{"code": "busy", "message": "Later.", "retry_ms": 100}] * 50
    server.cut_at = {5: True}
    told = await play_told(_plan(server, end=False, stayMs=1500, patienceMs=None))
    assert told["over"] == "busy: Later."
    assert len(server.resumes) < 10
