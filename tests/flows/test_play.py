"""The main job: a child plays, the server scores, everything is kept, and scores the same again."""

import asyncio
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from config.settings import Settings
from models.play.repo import PlayRepo
from sessions.catalogue import catalogue
from sessions.rescore import rescore_session
from sessions.synthetic import ChildParameters, SimulatedSet, play_set
from tests.flows.client import OPEN, START, Client, connected
from tests.serving import Served, serving


def fist(reps: int = 4, seed: int = 5, **more: Any) -> SimulatedSet:
    """Return a simulated set of fists."""
    child = ChildParameters(side="right", **more)
    return play_set(child, catalogue().motion("fist").definition, reps=reps, seed=seed)  # type: ignore[union-attr]


def start_of(played: SimulatedSet, set_no: int = 1) -> dict[str, Any]:
    """Return the payload that starts the set."""
    return {**START, "set_no": set_no, "side": played.side, "guide_t0_us": played.guide_t0_us}


async def play(client: Client, played: SimulatedSet, seq: int, set_no: int = 1) -> tuple[int, Any]:
    """Play a whole set as fast as the line takes it; return the next seq and the record."""
    await client.ok("set:start", seq, start_of(played, set_no))
    for message in played.messages(2):
        seq += 1
        await client.say("frames", seq, message.payload)
    answer = await client.ok("set:end", seq + 1, {"set_no": set_no})
    return seq + 2, answer["record"]


@pytest.fixture
def transport(request: pytest.FixtureRequest) -> str:
    """Return the transport a test asks for, or the usual one."""
    return str(getattr(request, "param", "lean"))


WAYS = [("lean", "default"), ("lean", "msgpack"), ("stock", "default"), ("stock", "msgpack")]


@pytest.mark.parametrize(("transport", "parser"), WAYS, indirect=["transport"])
async def test_a_session_from_opening_to_result(
    served: Served, repo: PlayRepo, parser: str
) -> None:
    played = fist()
    token = served.token("guardian", "child-1")
    async with connected(served.url, "/game", token, parser) as client:
        assert client.heard[0][0] == "welcome", "the first thing after CONNECT"
        welcome = client.heard[0][1][0]
        assert welcome["protocol"] == 1
        opened = await client.open()
        assert opened["expected"] == 0
        assert "fist" in opened["motions"]
        session_id = opened["session_id"]

        seq, record = await play(client, played, 0)
        peaks, reps = client.all("peak"), client.all("rep")
        assert [r[0]["rep_no"] for r in reps] == list(range(1, len(played.reps) + 1))
        assert len(peaks) == len(played.reps)
        assert record["metrics"]["reps_full"] + record["metrics"]["reps_partial"] == 4
        assert record["grade"] is not None
        assert record["explanation"]["ko"]
        assert client.all("score"), "scores come while the set is played"

        result = await client.ok("session:close", seq, {"reason": "done", "pain": 0})
        assert result["sealed"] == "closed"
        assert result["sets"][0]["grade"] == record["grade"]
        assert result["messages"] == seq + 1
        await client.until("ack", lambda a: a == {"buffered": seq, "stored": seq})

    frames = [f async for f in repo.iter_frames(session_id)]
    assert [payload for _, payload in frames] == [m.payload for m in played.messages(2)]
    assert [n for n, _ in frames] == list(range(1, seq - 1))
    events = [e async for e in repo.iter_events(session_id)]
    assert [(e["seq"], e["event"]) for e in events] == [
        (0, "set:start"),
        (seq - 1, "set:end"),
        (seq, "session:close"),
    ]
    again = await rescore_session(repo, catalogue(), session_id)
    assert [one.equal for one in again] == [True]


async def test_the_result_is_there_for_the_guardian_and_nobody_else(served: Served) -> None:
    token = served.token("guardian", "child-1")
    async with connected(served.url, "/game", token) as client:
        await client.open()
        seq, _ = await play(client, fist(1), 0)
        await client.ok("session:close", seq, {"reason": "done"})
    path = f"{served.url}/v1/children/child-1/results"
    async with aiohttp.ClientSession() as http:
        async with http.get(path, headers={"Authorization": f"Bearer {token}"}) as answer:
            body = await answer.json()
            assert answer.status == 200
            assert body["items"][0]["sets"][0]["motion"] == "fist"
            assert body["items"][0]["childId"] == "child-1"
        other = served.token("guardian", "child-2")
        async with http.get(path, headers={"Authorization": f"Bearer {other}"}) as answer:
            assert answer.status == 404
        async with http.get(
            f"{path}?limit=x", headers={"Authorization": f"Bearer {token}"}
        ) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]["code"] == "invalid"
        async with http.get(path) as answer:
            assert answer.status == 401


async def test_who_stays_away_is_sealed_as_abandoned(settings: Settings, repo: PlayRepo) -> None:
    short = settings.model_copy(
        update={"live": settings.live.model_copy(update={"grace_seconds": 1})}
    )
    async with serving(short) as served:
        await abandon(served, repo)


async def abandon(served: Served, repo: PlayRepo) -> None:
    played = fist(2)
    messages = played.messages(2)[:60]
    async with connected(served.url, "/game", served.token("guardian", "child-1")) as client:
        session_id = (await client.open())["session_id"]
        await client.ok("set:start", 0, start_of(played))
        for n, message in enumerate(messages):
            await client.say("frames", n + 1, message.payload)
        # Everything is stored: the seal alone is still to come, and must not be forgotten.
        await client.until("ack", lambda a: a["stored"] == len(messages))
    for _ in range(300):
        if result := await repo.find_result(session_id):
            break
        await asyncio.sleep(0.05)
    assert result is not None
    assert result["sealed"] == "abandoned"
    assert result["messages"] == len(messages) + 1
    assert result["sets"][0]["unfinished"] is True
    assert all(one.equal for one in await rescore_session(repo, catalogue(), session_id))
    # The child's place is free again.
    async with connected(served.url, "/game", served.token("guardian", "child-1")) as client:
        await client.open()


async def test_the_same_client_key_returns_the_same_session(served: Served) -> None:
    token = served.token("guardian", "child-1")
    asked = {**OPEN, "child_id": "child-1", "client_key": str(uuid4())}
    async with connected(served.url, "/game", token) as first:
        one = await first.ok("session:open", asked)
        again = await first.ok("session:open", asked)
        assert again == one
        await first.say("frames", 0, fist(1).messages(2)[0].payload)
        await first.until("ack", lambda a: a["buffered"] == 0)
        async with connected(served.url, "/game", token) as second:
            two = await second.ok("session:open", asked)
            assert two["session_id"] == one["session_id"]
            assert two["expected"] == 1
            told = await first.until("superseded")
            assert told["code"] == "superseded"
            await second.ok("set:start", 1, start_of(fist(1)))


async def test_a_child_plays_one_session_at_a_time(served: Served) -> None:
    token = served.token("guardian", "child-1")
    async with connected(served.url, "/game", token) as first:
        await first.open()
        async with connected(served.url, "/game", token) as second:
            asked = {**OPEN, "child_id": "child-1", "client_key": str(uuid4())}
            assert await second.code("session:open", asked) == "session_limit"
            await first.ok("session:close", 0, {"reason": "done"})
            await second.ok("session:open", asked)


async def test_a_child_may_begin_again_at_once(served: Served, repo: PlayRepo) -> None:
    token = served.token("guardian", "child-1")
    ids = []
    for _ in range(4):
        async with connected(served.url, "/game", token) as client:
            ids.append((await client.open())["session_id"])
            await client.ok("session:close", 0, {"reason": "done"})
    newest = [r["session_id"] for r in await repo.list_results("child-1", 3)]
    assert newest == ids[:0:-1]


async def test_pausing_keeps_frames_and_does_not_score_them(served: Served) -> None:
    played = fist(2)
    async with connected(served.url, "/game", served.token("guardian", "child-1")) as client:
        await client.open()
        await client.ok("set:start", 0, start_of(played))
        await client.ok("session:pause", 1, {"paused": True, "reason": "water"})
        messages = played.messages(2)
        for n, message in enumerate(messages):
            await client.say("frames", n + 2, message.payload)
        record = (await client.ok("set:end", len(messages) + 2, {"set_no": 1}))["record"]
        assert record["metrics"]["reps_full"] == 0
        assert sum(record["verdicts"].values()) == 0
        assert not client.all("rep")


async def test_asking_again_gives_the_same_answer_and_writes_nothing(served: Served) -> None:
    played = fist(1)
    async with connected(served.url, "/game", served.token("guardian", "child-1")) as client:
        await client.open()
        first = await client.ok("set:start", 0, start_of(played))
        assert await client.ok("set:start", 0, start_of(played)) == first
        for n, message in enumerate(played.messages(2)):
            await client.say("frames", n + 1, message.payload)
        end = len(played.messages(2)) + 1
        record = await client.ok("set:end", end, {"set_no": 1})
        assert await client.ok("set:end", end, {"set_no": 1}) == record
        result = await client.ok("session:close", end + 1, {"reason": "done"})
        assert await client.ok("session:close", end + 1, {"reason": "done"}) == result
        assert await client.code("set:start", end + 2, start_of(played, 2)) == "session_sealed"


async def test_the_clock(served: Served) -> None:
    async with connected(served.url, "/game", served.token("guardian", "child-1")) as client:
        answer = await client.ok("clock", {"t_us": 5})
        assert answer["t_us"] == 5
        assert answer["server_us"] > 1_700_000_000_000_000
