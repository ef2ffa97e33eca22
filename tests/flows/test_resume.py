"""A lost line, worker or Redis: the session goes on where it was, or ends once."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from config.settings import Settings
from models.play.keys import PlayKeys
from models.play.repo import PlayRepo
from server.lifespan import PARTS
from sessions.catalogue import catalogue
from sessions.rescore import rescore_session
from tests.factories import redis_of
from tests.flows.client import OPEN, Client, connected
from tests.flows.test_play import fist, start_of
from tests.serving import Served, serving

PLAYED = fist(4)
SENT = [m.payload for m in PLAYED.messages(2)]


def keys_of(settings: Settings) -> PlayKeys:
    return PlayKeys(settings.store.redis_prefix, settings.store.shards)


async def begin(client: Client, count: int) -> dict[str, Any]:
    """Open a session and play the first messages of its set; return the answer of the opening."""
    opened = await client.open()
    await client.ok("set:start", 0, start_of(PLAYED))
    for n in range(count):
        await client.say("frames", n + 1, SENT[n])
    await client.until("ack", lambda a: a["buffered"] == count)
    return opened


async def go_on(client: Client, opened: dict[str, Any], more: int | None = None) -> dict[str, Any]:
    """Resume, send again from `expected` (up to `more` messages); return the answer."""
    answer = await client.ok(
        "session:resume",
        {"session_id": opened["session_id"], "resume_token": opened["resume_token"]},
    )
    last = len(SENT) if more is None else more
    for n in range(max(0, answer["expected"] - 1), last):
        await client.say("frames", n + 1, SENT[n])
    return answer


async def finish(client: Client) -> dict[str, Any]:
    """End the set and the session; return the record."""
    record = (await client.ok("set:end", len(SENT) + 1, {"set_no": 1}))["record"]
    await client.ok("session:close", len(SENT) + 2, {"reason": "done"})
    return dict(record)


async def check(repo: PlayRepo, session_id: str) -> None:
    """Everything is there once, and scores again to the same bytes."""
    frames = [payload async for _, payload in repo.iter_frames(session_id, merged=False)]
    assert len(frames) == len(SENT)
    assert all(a == b for a, b in zip(frames, SENT, strict=True))
    assert [one.equal for one in await rescore_session(repo, catalogue(), session_id)] == [True]


@pytest.fixture
async def uninterrupted(served: Served) -> dict[str, Any]:
    """Return the record of the same set played without a break, apart from its names and times."""
    async with connected(served.url, "/game", served.token("guardian", "child-9")) as client:
        opened = await client.open("child-9")
        await client.ok("set:start", 0, start_of(PLAYED))
        for n, payload in enumerate(SENT):
            await client.say("frames", n + 1, payload)
        record = (await client.ok("set:end", len(SENT) + 1, {"set_no": 1}))["record"]
        await client.ok("session:close", len(SENT) + 2, {"reason": "done"})
        assert opened["session_id"] == record["session_id"]
    return measured(record)


def measured(record: dict[str, Any]) -> dict[str, Any]:
    named = ("session_id", "child_id", "started_us", "context", "time_us")
    return {key: value for key, value in record.items() if key not in named}


@pytest.mark.parametrize("apart", [False, True], ids=["same worker", "another worker"])
@pytest.mark.parametrize("snapshots", [False, True], ids=["from the start", "from a snapshot"])
async def test_a_lost_line_is_resumed_anywhere(
    settings: Settings,
    repo: PlayRepo,
    uninterrupted: dict[str, Any],
    apart: bool,
    snapshots: bool,
) -> None:
    kept = settings.model_copy(
        update={"live": settings.live.model_copy(update={"snapshot_seconds": 1})}
    )
    async with serving(kept) as one, serving(kept) as two:
        async with connected(one.url, "/game", one.token("guardian", "child-1")) as client:
            opened = await begin(client, 60)
            if snapshots:
                async with redis_of(settings.redis_url.get_secret_value()) as redis:  # type: ignore[union-attr]
                    async with asyncio.timeout(5):
                        key = keys_of(settings).session(opened["session_id"])
                        while not await redis.hexists(key, "snapshot"):
                            await asyncio.sleep(0.1)
            for n in range(60, 70):  # sent, and perhaps not received: the line drops here
                await client.say("frames", n + 1, SENT[n])
        there = two if apart else one
        async with connected(there.url, "/game", there.token("guardian", "child-1")) as client:
            answer = await go_on(client, opened)
            # The other worker may not have heard yet that the line is gone.
            assert answer["outcome"] in ({"resumed", "taken_over"} if apart else {"resumed"})
            assert answer["expected"] > 60
            assert answer["state"]["set"]["motion"] == "fist"
            record = await finish(client)
    assert measured(record) == uninterrupted
    await check(repo, opened["session_id"])


@pytest.mark.parametrize("apart", [False, True], ids=["same worker", "another worker"])
async def test_a_second_connection_takes_over_and_the_first_is_fenced(
    settings: Settings, repo: PlayRepo, apart: bool
) -> None:
    async with serving(settings) as one, serving(settings) as two:
        there = two if apart else one
        token = one.token("guardian", "child-1")
        async with connected(one.url, "/game", token) as first:
            opened = await begin(first, 40)
            async with connected(there.url, "/game", token) as second:
                answer = await go_on(second, opened)
                assert answer["outcome"] == "taken_over"
                assert (await first.until("superseded"))["code"] == "superseded"
                await finish(second)
    await check(repo, opened["session_id"])


async def test_a_killed_worker_is_survived_by_the_next(settings: Settings, repo: PlayRepo) -> None:
    # The dead worker's hold on the streams must end before the next can flush.
    store = settings.store.model_copy(update={"lease_ms": 1000})
    brief = settings.model_copy(update={"store": store})
    async with serving(brief) as two, serving(brief) as one:
        async with connected(one.url, "/game", one.token("guardian", "child-1")) as client:
            opened = await begin(client, 50)
            # As after a kill: nothing of this worker's memory gets out any more.
            parts = one.app[PARTS]
            await parts.runner.close()
        async with connected(two.url, "/game", two.token("guardian", "child-1")) as client:
            answer = await go_on(client, opened)
            assert answer["expected"] == 51
            await finish(client)
    await check(repo, opened["session_id"])


async def test_what_redis_lost_is_sent_again(settings: Settings, repo: PlayRepo) -> None:
    async with serving(settings) as one:
        token = one.token("guardian", "child-1")
        async with connected(one.url, "/game", token) as client:
            opened = await begin(client, 30)
            await client.until("ack", lambda a: a["stored"] == 30)
        async with redis_of(settings.redis_url.get_secret_value()) as redis:  # type: ignore[union-attr]
            await lose(redis, settings, opened["session_id"])
        async with connected(one.url, "/game", token) as client:
            # The worker still remembers; Redis does not: the first append finds out.
            answer = await go_on(client, opened)
            assert answer["outcome"] == "resumed"
            await client.until("closed")
        async with connected(one.url, "/game", token) as client:
            answer = await go_on(client, opened)
            assert answer["outcome"] == "restarted"
            assert answer["expected"] == answer["stored"] + 1 == 31
            await finish(client)
    await check(repo, opened["session_id"])


async def lose(redis: Redis, settings: Settings, session_id: str) -> None:
    """Let Redis forget everything of a session."""
    keys = keys_of(settings)
    await redis.delete(keys.session(session_id), keys.stream(keys.shard_of(session_id)))


async def test_a_sealed_session_answers_with_its_result(served: Served) -> None:
    token = served.token("guardian", "child-1")
    async with connected(served.url, "/game", token) as client:
        opened = await begin(client, len(SENT))
        record = await finish(client)
    async with connected(served.url, "/game", token) as client:
        answer = await client.ok(
            "session:resume",
            {"session_id": opened["session_id"], "resume_token": opened["resume_token"]},
        )
        assert answer["outcome"] == "sealed"
        assert answer["state"]["result"]["sets"][0]["grade"] == record["grade"]


async def test_answers_of_before_are_given_again_after_a_takeover(settings: Settings) -> None:
    async with serving(settings) as one, serving(settings) as two:
        token = one.token("guardian", "child-1")
        async with connected(one.url, "/game", token) as client:
            opened = await begin(client, len(SENT))
            record = (await client.ok("set:end", len(SENT) + 1, {"set_no": 1}))["record"]
        async with connected(two.url, "/game", token) as client:
            await go_on(client, opened, more=0)
            again = await client.ok("set:end", len(SENT) + 1, {"set_no": 1})
            assert again["record"] == record
            started = await client.ok("set:start", 0, start_of(PLAYED))
            assert started["set_no"] == 1
            result = await client.ok("session:close", len(SENT) + 2, {"reason": "done"})
            assert result["sets"][0]["grade"] == record["grade"]


async def test_a_lost_answer_of_the_opening_is_given_again_by_any_worker(
    settings: Settings,
) -> None:
    asked = {**OPEN, "child_id": "child-1", "client_key": "5a0cf2b7-6a5e-4f43-9a80-0d1f9d7aa001"}
    async with serving(settings) as one, serving(settings) as two:
        token = one.token("guardian", "child-1")
        async with connected(one.url, "/game", token) as client:
            opened = await client.ok("session:open", asked)
            await client.say("frames", 0, SENT[0])
            await client.until("ack", lambda a: a["buffered"] == 0)
        async with connected(two.url, "/game", token) as client:
            again = await client.ok("session:open", asked)
            assert again["session_id"] == opened["session_id"]
            assert again["resume_token"] == opened["resume_token"]
            assert again["expected"] == 1
            await client.ok("session:close", 1, {"reason": "done"})
        async with connected(one.url, "/game", token) as client:
            assert await client.code("session:open", asked) == "session_sealed"


async def test_who_may_not_resume_finds_nothing(served: Served) -> None:
    token = served.token("guardian", "child-1")
    async with connected(served.url, "/game", token) as client:
        opened = await client.open()
    asked = {"session_id": opened["session_id"], "resume_token": opened["resume_token"]}
    other = served.token("guardian", "child-1", sub="somebody-else")
    async with connected(served.url, "/game", other) as client:
        assert await client.code("session:resume", asked) == "not_found"
    async with connected(served.url, "/game", token) as client:
        wrong = {**asked, "resume_token": "wrong"}
        assert await client.code("session:resume", wrong) == "not_found"
        unknown = {**asked, "session_id": "s_unknown"}
        assert await client.code("session:resume", unknown) == "not_found"
        assert (await client.ok("session:resume", asked))["outcome"] == "resumed"
        assert await client.code("session:resume", asked) == "conflict"


async def test_the_janitor_seals_what_a_dead_worker_left(
    settings: Settings, repo_of: Callable[[Settings], PlayRepo]
) -> None:
    live = settings.live.model_copy(update={"grace_seconds": 1})
    store = settings.store.model_copy(update={"lease_ms": 1000})
    short = settings.model_copy(update={"live": live, "store": store})
    async with (
        serving(short) as one,
        connected(one.url, "/game", one.token("guardian", "child-1")) as client,
    ):
        opened = await begin(client, 50)
        await one.app[PARTS].runner.close()
    async with redis_of(settings.redis_url.get_secret_value()) as redis:  # type: ignore[union-attr]
        await redis.delete(keys_of(settings).child("child-1"))  # its lease is over
    async with serving(short) as two:
        janitor = two.app[PARTS].janitor
        janitor._older_ms = 0
        assert await janitor.look() == 1
        repo = repo_of(settings)
        async with asyncio.timeout(20):
            while (result := await repo.find_result(opened["session_id"])) is None:
                await asyncio.sleep(0.05)
        assert await janitor.look() == 0
    assert result["sealed"] == "abandoned"
    assert result["messages"] == 51
    assert result["sets"][0]["unfinished"] is True
    again = await rescore_session(repo, catalogue(), opened["session_id"])
    assert [one.equal for one in again] == [True]
