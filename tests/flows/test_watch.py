"""Watching: the list of what is live, a snapshot, the feed, from whichever worker plays it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from config.settings import Settings
from server.lifespan import PARTS
from server.realtime.sink import Sink
from server.realtime.wire import Outgoing
from tests.flows.client import Client, connected
from tests.flows.test_play import fist, play, start_of
from tests.serving import Served, serving


@asynccontextmanager
async def two_workers(settings: Settings, apart: bool) -> AsyncIterator[tuple[Served, Served]]:
    """Run the worker that plays and the one that is watched through: the same one, or two."""
    async with serving(settings) as one:
        if not apart:
            yield one, one
            return
        async with serving(settings) as two:
            yield one, two


def place(sent: list[bytes], payload: bytes) -> int:
    """Return which message this is; comparing places keeps a failure readable."""
    return sent.index(payload)


async def join(watcher: Client, session_id: str, **more: Any) -> dict[str, Any]:
    """Join a session; a session opened on another worker is listed within a second."""
    async with asyncio.timeout(5):
        while True:
            answer = await watcher.ask("watch:join", {"session_id": session_id, **more})
            if "ok" in answer:
                return dict(answer["ok"])
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("apart", [False, True], ids=["same worker", "another worker"])
async def test_a_watcher_sees_what_is_played(settings: Settings, apart: bool) -> None:
    played = fist(3)
    sent = [m.payload for m in played.messages(2)]
    async with (
        two_workers(settings, apart) as (one, two),
        connected(one.url, "/game", one.token("guardian", "child-1")) as player,
        connected(two.url, "/watch", two.token("therapist", "child-1")) as watcher,
    ):
        session_id = (await player.open())["session_id"]
        await player.ok("set:start", 0, start_of(played))
        half = len(sent) // 2
        for n, payload in enumerate(sent[:half]):
            await player.say("frames", n + 1, payload)
        await player.until("ack", lambda a: a["buffered"] >= half)

        joined = await join(watcher, session_id, max_fps=120)
        snapshot = joined["snapshot"]
        assert snapshot["session_id"] == session_id
        assert snapshot["set"]["motion"] == "fist"
        assert snapshot["set"]["side"] == "right"
        assert place(sent, snapshot["frames"]["right"]) == half - 1
        assert snapshot["frames"]["left"] is None
        assert len(snapshot["trace"]) > 50
        assert snapshot["score"]["full"] == len(snapshot["reps"])

        for n, payload in enumerate(sent[half:]):
            await player.say("frames", half + n + 1, payload)
            await asyncio.sleep(0.02)
        record = (await player.ok("set:end", len(sent) + 1, {"set_no": 1}))["record"]
        last = await player.ok("session:close", len(sent) + 2, {"reason": "done"})

        ended = await watcher.until("ended")
        assert ended["session_id"] == session_id
        assert ended["result"] == last
        feeds = watcher.all("feed")
        offsets = [offset for _, offset, _, _ in feeds]
        assert offsets == sorted(set(offsets))
        assert offsets[0] > joined["offset"]
        frames = [place(sent, payload) for _, _, payload, _ in feeds if payload]
        assert frames == sorted(set(frames)), "as they were sent, in order"
        assert frames[0] >= half
        assert len(frames) > len(sent[half:]) / 2
        told = [extra["rep"] for *_, extra in feeds if "rep" in extra]
        assert [r["rep_no"] for r in snapshot["reps"] + told] == [
            r["rep_no"] for r in record["reps"]
        ]


async def test_what_is_live_is_listed_and_changes_are_told(served: Served) -> None:
    async with (
        connected(served.url, "/watch", served.token("therapist", "child-1")) as watcher,
        connected(served.url, "/game", served.token("guardian", "child-1")) as player,
    ):
        assert await watcher.ok("live:list", {}) == {"sessions": []}
        session_id = (await player.open())["session_id"]
        added = await watcher.until("live", lambda c: c["added"])
        summary = added["added"][0]
        assert summary["session_id"] == session_id
        assert summary["alias"]
        assert "child_id" not in summary, "a live list shows aliases"
        played = fist(1)
        await player.ok("set:start", 0, start_of(played))
        changed = await watcher.until("live", lambda c: c["changed"])
        assert changed["changed"][0]["motion"] == "fist"
        await player.ok("session:close", 1, {"reason": "done"})
        await watcher.until("live", lambda c: session_id in c["removed"])


async def test_nobody_watches_a_child_that_is_not_theirs(served: Served) -> None:
    async with connected(served.url, "/game", served.token("guardian", "child-1")) as player:
        session_id = (await player.open())["session_id"]
        for role in ("therapist", "guardian"):
            async with connected(served.url, "/watch", served.token(role, "child-2")) as other:
                assert await other.ok("live:list", {}) == {"sessions": []}
                assert await other.code("watch:join", {"session_id": session_id}) == "not_found"
                assert await other.code("watch:join", {"session_id": "s_none"}) == "not_found"
        async with connected(served.url, "/watch", served.token("admin", "*")) as admin:
            assert await admin.code("watch:join", {"session_id": session_id}) == "forbidden"
            await admin.ok("watch:join", {"session_id": session_id, "reason": "a complaint"})


async def test_only_so_many_watch_a_session(settings: Settings) -> None:
    few = settings.model_copy(update={"live": settings.live.model_copy(update={"watchers": 1})})
    async with (
        serving(few) as served,
        connected(served.url, "/game", served.token("guardian", "child-1")) as player,
        connected(served.url, "/watch", served.token("therapist", "child-1")) as first,
        connected(served.url, "/watch", served.token("guardian", "child-1")) as second,
    ):
        session_id = (await player.open())["session_id"]
        await first.ok("watch:join", {"session_id": session_id})
        assert await second.code("watch:join", {"session_id": session_id}) == "busy"
        await first.ok("watch:leave", {"session_id": session_id})
        await second.ok("watch:join", {"session_id": session_id})


async def test_leaving_ends_the_feed(served: Served) -> None:
    played = fist(1)
    sent = [m.payload for m in played.messages(2)]
    async with (
        connected(served.url, "/game", served.token("guardian", "child-1")) as player,
        connected(served.url, "/watch", served.token("therapist", "child-1")) as watcher,
    ):
        session_id = (await player.open())["session_id"]
        await watcher.ok("watch:join", {"session_id": session_id})
        await player.say("frames", 0, sent[0])
        await watcher.until("feed")
        await watcher.ok("watch:leave", {"session_id": session_id})
        await player.say("frames", 1, sent[1])
        await player.until("ack", lambda a: a["buffered"] == 1)
        assert len(watcher.all("feed")) == 1


async def test_a_watcher_may_ask_for_fewer_frames(served: Served) -> None:
    played = fist(2)
    sent = [m.payload for m in played.messages(1)][:90]
    async with (
        connected(served.url, "/game", served.token("guardian", "child-1")) as player,
        connected(served.url, "/watch", served.token("therapist", "child-1")) as watcher,
    ):
        session_id = (await player.open())["session_id"]
        await watcher.ok("watch:join", {"session_id": session_id, "max_fps": 5})
        began = asyncio.get_running_loop().time()
        for n, payload in enumerate(sent):
            await player.say("frames", n, payload)
            await asyncio.sleep(0.015)
        await player.until("ack", lambda a: a["buffered"] == len(sent) - 1)
        passed = asyncio.get_running_loop().time() - began
        assert 3 <= len(watcher.all("feed")) <= passed * 5 + 3


async def test_a_new_set_renews_the_snapshot(served: Served) -> None:
    async with (
        connected(served.url, "/game", served.token("guardian", "child-1")) as player,
        connected(served.url, "/watch", served.token("therapist", "child-1")) as watcher,
    ):
        session_id = (await player.open())["session_id"]
        assert (await watcher.ok("watch:join", {"session_id": session_id}))["snapshot"][
            "set"
        ] is None
        await play(player, fist(1), 0)
        first = await watcher.until("snapshot", lambda s: s["snapshot"]["set"] is not None)
        assert first["snapshot"]["set"]["set_no"] == 1
        after = await watcher.until("snapshot", lambda s: s["snapshot"]["records"])
        assert after["snapshot"]["records"][0]["motion"] == "fist"


@pytest.mark.parametrize("killed", [False, True], ids=["taken over", "its worker died"])
async def test_a_watcher_follows_a_session_to_another_worker(
    settings: Settings, killed: bool
) -> None:
    played = fist(4)
    sent = [m.payload for m in played.messages(2)]
    async with (
        serving(settings) as one,
        serving(settings) as two,
        connected(two.url, "/watch", two.token("therapist", "child-1")) as watcher,
        connected(one.url, "/game", one.token("guardian", "child-1")) as player,
    ):
        opened = await player.open()
        await player.ok("set:start", 0, start_of(played))
        first = await join(watcher, opened["session_id"], max_fps=120)
        await player.say("frames", 1, sent[0])
        await watcher.until("feed")
        await player.until("ack", lambda a: a["buffered"] == 1)
        if killed:
            await one.app[PARTS].runner.close()
        async with connected(two.url, "/game", two.token("guardian", "child-1")) as again:
            asked = {k: opened[k] for k in ("session_id", "resume_token")}
            await again.ok("session:resume", asked)
            moved = await watcher.until("snapshot", lambda s: s["epoch"] > first["epoch"], 10)
            assert moved["snapshot"]["set"]["set_no"] == 1
            await again.say("frames", 2, sent[1])
            _, offset, payload, _ = await watcher.until("feed", lambda *a: a[2] == sent[1])
            assert offset > moved["offset"]
            assert place(sent, payload) == 1


@pytest.mark.parametrize("apart", [False, True], ids=["same worker", "another worker"])
async def test_who_joins_twice_at_once_leaves_once(settings: Settings, apart: bool) -> None:
    payload = next(m.payload for m in fist(1).messages(2))
    async with (
        two_workers(settings, apart) as (one, two),
        connected(one.url, "/game", one.token("guardian", "child-1")) as player,
        connected(two.url, "/watch", two.token("therapist", "child-1")) as hasty,
        connected(two.url, "/watch", two.token("guardian", "child-1")) as other,
    ):
        session_id = (await player.open())["session_id"]
        asked = {"session_id": session_id}
        await join(other, session_id)
        await asyncio.gather(*(hasty.ok("watch:join", asked) for _ in range(5)))
        await player.say("frames", 0, payload)
        await hasty.until("feed")
        await hasty.ok("watch:leave", asked)
        before = len(hasty.all("feed"))
        await player.say("frames", 1, payload)
        await other.until("feed", lambda _, offset, *__: offset == 2)
        await hasty.ok("live:list", {})
        assert before == len(hasty.all("feed")) == 1


async def test_joins_at_once_pass_no_limit(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.live.watch.JOINED_MAX", 2)
    children = [f"child-{n}" for n in range(4)]
    async with (
        two_workers(settings, apart=True) as (one, two),
        connected(two.url, "/watch", two.token("therapist", *children)) as watcher,
    ):
        opened = []
        for child in children:
            async with connected(one.url, "/game", one.token("guardian", child)) as player:
                opened.append((await player.open(child))["session_id"])
        await join(watcher, opened[-1])
        await watcher.ok("watch:leave", {"session_id": opened[-1]})
        asks = (watcher.ask("watch:join", {"session_id": i}) for i in opened)
        answers = await asyncio.gather(*asks)
        assert sorted("ok" in answer for answer in answers) == [False, False, True, True]
        assert {a["error"]["code"] for a in answers if "error" in a} == {"busy"}
        assert len(two.app[PARTS].relay._remote) == 2


async def test_the_last_frame_comes_though_nothing_follows_it(served: Served) -> None:
    sent = [m.payload for m in fist(1).messages(2)][:6]
    async with (
        connected(served.url, "/game", served.token("guardian", "child-1")) as player,
        connected(served.url, "/watch", served.token("therapist", "child-1")) as watcher,
    ):
        session_id = (await player.open())["session_id"]
        await watcher.ok("watch:join", {"session_id": session_id, "max_fps": 4})
        for n, payload in enumerate(sent[:3]):
            await player.say("frames", n, payload)
        await watcher.until("feed", lambda *item: item[2] == sent[2])
        await watcher.ok("watch:join", {"session_id": session_id, "max_fps": 0.01})
        for n, payload in enumerate(sent[3:]):
            await player.say("frames", n + 3, payload)
        await player.ok("session:close", len(sent), {"reason": "done"})
        await watcher.until("ended")
        assert [name for name, _ in watcher.heard][-2:] == ["feed", "ended"]
        assert place(sent, watcher.all("feed")[-1][2]) == len(sent) - 1


async def test_only_pictures_may_be_left_out(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list, a start or an end that a slow reader missed would be wrong for good."""
    posted: list[tuple[bool, str]] = []
    real = Sink.post

    def post(sink: Sink, encoded: Outgoing, *, lossy: bool = False) -> None:
        posted.append((lossy, str(encoded.frames(False))))
        real(sink, encoded, lossy=lossy)

    async with (
        connected(served.url, "/watch", served.token("therapist", "child-1")) as watcher,
        connected(served.url, "/game", served.token("guardian", "child-1")) as player,
    ):
        monkeypatch.setattr(Sink, "post", post)
        await watcher.ok("live:list", {})
        session_id = (await player.open())["session_id"]
        await watcher.ok("watch:join", {"session_id": session_id, "max_fps": 120})
        seq, _ = await play(player, fist(2), 0)
        await watcher.until("live", lambda told: told["added"])
        await player.ok("session:close", seq, {"reason": "done"})
        await watcher.until("ended")
        watched = [(lossy, text) for lossy, text in posted if "/watch," in text]
        for event in ("live", "snapshot", "ended"):
            assert {lossy for lossy, text in watched if f'["{event}"' in text} == {False}, event
        feeds = [(lossy, text) for lossy, text in watched if '["feed"' in text]
        assert {lossy for lossy, _ in feeds} == {False, True}
        for lossy, text in feeds:
            assert lossy is not ('"rep":' in text or '"peak":' in text)


async def test_nothing_is_asked_of_a_session_that_was_given_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = settings.model_copy(
        update={"live": settings.live.model_copy(update={"grace_seconds": 1})}
    )

    async def nothing(_: object) -> dict[str, Any]:
        return {}

    async with (
        two_workers(short, apart=True) as (one, two),
        connected(one.url, "/game", one.token("guardian", "child-1")) as player,
        connected(two.url, "/watch", two.token("therapist", "child-1")) as watcher,
    ):
        session_id = (await player.open())["session_id"]
        await join(watcher, session_id)
        parts = two.app[PARTS]
        assert parts.relay._remote
        monkeypatch.setattr(parts.directory, "read", nothing)
        assert await watcher.until("ended") == {"session_id": session_id, "result": {}}
        assert not parts.relay._remote


@pytest.mark.parametrize("how", ["left", "ended"])
async def test_what_happens_while_a_feed_is_joined_is_heeded(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with (
        two_workers(settings, apart=True) as (one, two),
        connected(one.url, "/game", one.token("guardian", "child-1")) as player,
        connected(two.url, "/watch", two.token("therapist", "child-1")) as watcher,
    ):
        session_id = (await player.open())["session_id"]
        asked = {"session_id": session_id}
        await join(watcher, session_id)
        parts = two.app[PARTS]
        really_join, left = parts.relay.join, asyncio.Event()

        async def interrupted(session: str, node: str, sink: Any) -> Any:
            if how == "left":
                await watcher.ok("watch:leave", asked)
            joined = await really_join(session, node, sink)
            if how == "ended":
                await player.ok("session:close", 0, {"reason": "done"})
                async with asyncio.timeout(5):
                    while not sink.over:
                        await asyncio.sleep(0.01)
            left.set()
            return joined

        monkeypatch.setattr(parts.relay, "join", interrupted)
        if how == "left":
            for connection in parts.watch.connections.values():
                for sink in connection.sinks.values():
                    sink.node = "another"  # so that it moves
            await asyncio.wait_for(left.wait(), 5)
        else:
            assert await watcher.code("watch:join", asked) == "not_found"
        await watcher.ok("live:list", {})
        assert not parts.relay._remote
        assert not any(c.sinks for c in parts.watch.connections.values())
