"""Who plays and who watches with the rights of a family: given, and taken away meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from config.settings import Settings
from models.db import Mongo
from server.lifespan import PARTS
from tests.flows.api import Api, People, people_of
from tests.flows.client import OPEN, Client, connected
from tests.flows.test_play import fist, start_of
from tests.flows.test_watch import join
from tests.serving import Served, serving

WITHIN = 2.0
"""Seconds within which what was withdrawn ends."""


@pytest.fixture
async def people(served: Served) -> AsyncIterator[People]:
    async with people_of(served) as people:
        yield people


async def family(people: People) -> tuple[Api, Api, str]:
    """Return a guardian, a therapist with care and consent, and the child."""
    mother, therapist = people.guardian(), people.therapist()
    child_id = await mother.add_child(alias="번개")
    for purpose in ("play_data", "therapist_viewing"):
        await mother.consent(child_id, purpose)
    await mother.take_into_care(child_id, therapist)
    return mother, therapist, child_id


def opening(child_id: str) -> dict[str, Any]:
    return {**OPEN, "child_id": child_id, "client_key": str(uuid4())}


async def test_who_may_play_a_child(people: People, served: Served) -> None:
    mother, other = people.guardian(), people.guardian()
    child_id = await mother.add_child()
    tablet = people.one("child", mother.id, child_id=child_id)
    wrong = people.one("child", other.id, child_id=child_id)
    async with connected(served.url, "/game", mother.token) as player:
        assert await player.code("session:open", opening(child_id)) == "consent_required"
        await mother.consent(child_id, "play_data")
        opened = await player.ok("session:open", opening(child_id))
    for one in (other, wrong):
        async with connected(served.url, "/game", one.token) as player:
            assert await player.code("session:open", opening(child_id)) == "not_found"
    async with connected(served.url, "/game", tablet.token) as player:
        assert await player.code("session:open", opening("c_nobody")) == "not_found"
        resume = {k: opened[k] for k in ("session_id", "resume_token")}
        answer = await player.ok("session:resume", resume)
        assert answer["outcome"] == "resumed"


async def test_a_session_knows_its_childs_alias_and_local_day(
    people: People, served: Served, settings: Settings
) -> None:
    mother, therapist, child_id = await family(people)
    async with (
        connected(served.url, "/game", mother.token) as player,
        connected(served.url, "/watch", therapist.token) as watcher,
    ):
        session_id = (await player.ok("session:open", opening(child_id)))["session_id"]
        joined = await join(watcher, session_id)
        assert joined["snapshot"]["alias"] == "번개"
        await player.ok("session:close", 0, {"reason": "done"})
    assert settings.mongo_url is not None
    mongo = Mongo(settings.mongo_url.get_secret_value(), settings.store.mongo_database)
    stored = await mongo.database["sessions"].find_one({"_id": session_id})
    await mongo.close()
    child = await mother.ok("GET", f"/children/{child_id}")
    assert (stored["zone"], stored["local_date"]) == ("Asia/Seoul", child["today"])


async def listed(watcher: Client, session_id: str, seconds: float = 5.0) -> bool:
    """Tell whether a live list shows a session, asking for a while."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sessions = (await watcher.ok("live:list", {}))["sessions"]
        if any(one["session_id"] == session_id for one in sessions):
            return True
        await asyncio.sleep(0.1)
    return False


async def test_who_may_watch_a_child(people: People, served: Served) -> None:
    mother, therapist, child_id = await family(people)
    stranger, other, admin = people.therapist(), people.guardian(), people.admin()
    async with connected(served.url, "/game", mother.token) as player:
        session_id = (await player.ok("session:open", opening(child_id)))["session_id"]
        for one in (mother, therapist):
            async with connected(served.url, "/watch", one.token) as watcher:
                assert await listed(watcher, session_id)
                await watcher.ok("watch:join", {"session_id": session_id})
        for one in (stranger, other):
            async with connected(served.url, "/watch", one.token) as watcher:
                assert not await listed(watcher, session_id, 0.5)
                asked = {"session_id": session_id}
                assert await watcher.code("watch:join", asked) == "not_found"
        async with connected(served.url, "/watch", admin.token) as watcher:
            assert await listed(watcher, session_id)
            asked = {"session_id": session_id}
            assert await watcher.code("watch:join", asked) == "forbidden"
            await watcher.ok("watch:join", {**asked, "reason": "a call from the family"})
    looks = (await mother.ok("GET", f"/children/{child_id}/looks"))["items"]
    assert [(x["role"], x["action"], x["via"], x["reason"]) for x in looks] == [
        ("admin", "watch:join", "live", "a call from the family"),
        ("therapist", "watch:join", "live", None),
    ]


@pytest.mark.parametrize("how", ["consent", "guardian", "therapist", "clinic"])
@pytest.mark.parametrize("apart", [False, True], ids=["same worker", "another worker"])
async def test_what_a_therapist_watches_ends_when_the_right_does(
    settings: Settings, how: str, apart: bool
) -> None:
    async with serving(settings) as one, serving(settings) as two, people_of(one) as people:
        mother, therapist, child_id = await family(people)
        assignment = (await mother.ok("GET", f"/children/{child_id}/care"))["items"][0]["id"]
        admin = people.admin()
        if how == "clinic":
            await therapist.ok("DELETE", f"/care/{assignment}")
            clinic = (await admin.ok("POST", "/clinics", {"name": "의원", "kind": "clinic"}))["id"]
            await admin.ok("PUT", f"/clinics/{clinic}/therapists/{therapist.id}")
            await mother.take_into_care(child_id, therapist, clinicId=clinic)
        served = two if apart else one
        async with (
            connected(one.url, "/game", mother.token) as player,
            connected(served.url, "/watch", therapist.token) as watcher,
            connected(served.url, "/watch", mother.token) as family_watches,
        ):
            session_id = (await player.ok("session:open", opening(child_id)))["session_id"]
            assert await listed(watcher, session_id)
            await join(watcher, session_id)
            await join(family_watches, session_id)
            if how == "consent":
                await mother.consent(child_id, "therapist_viewing", given=False)
            elif how == "guardian":
                await mother.ok("DELETE", f"/children/{child_id}/care/{assignment}")
            elif how == "therapist":
                await therapist.ok("DELETE", f"/care/{assignment}")
            else:
                await admin.ok("DELETE", f"/clinics/{clinic}/therapists/{therapist.id}")
            ended = await watcher.until("ended", seconds=WITHIN)
            assert ended == {"session_id": session_id, "result": {}}
            await watcher.until("live", lambda told: session_id in told["removed"])
            assert await watcher.code("watch:join", {"session_id": session_id}) == "not_found"
            played = fist(1)
            await player.ok("set:start", 0, start_of(played))
            for n, message in enumerate(played.messages(2)):
                await player.say("frames", n + 1, message.payload)
            await family_watches.until("feed")
            assert not watcher.all("feed"), "not a frame more"
            assert not family_watches.all("ended")


@pytest.mark.parametrize("how", ["consent", "guardian", "child"])
async def test_play_ends_when_the_right_does(people: People, served: Served, how: str) -> None:
    mother, father = people.guardian(), people.guardian()
    child_id = await mother.add_child()
    await mother.consent(child_id, "play_data")
    code = (await mother.ok("POST", f"/children/{child_id}/guardian-invites"))["code"]
    await father.ok("POST", "/guardian-invites/accept", {"code": code})
    tablet = people.one("child", father.id, child_id=child_id)
    async with connected(served.url, "/game", tablet.token) as player:
        opened = await player.ok("session:open", opening(child_id))
        if how == "consent":
            await mother.consent(child_id, "play_data", given=False)
        elif how == "guardian":
            await father.ok("DELETE", f"/children/{child_id}/guardians/{father.id}")
        else:
            await mother.ok("DELETE", f"/children/{child_id}")
        told = await player.until("closed", seconds=WITHIN)
        assert told["code"] == ("consent_required" if how == "consent" else "not_found")
    resume = {k: opened[k] for k in ("session_id", "resume_token")}
    async with connected(served.url, "/game", tablet.token) as player:
        code = await player.code("session:resume", resume)
        assert code == ("consent_required" if how == "consent" else "not_found")


async def test_changes_while_redis_loses_the_news_are_heard_all_the_same(
    people: People, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bus may lose what is said; the list in Redis is read every second."""
    mother, _, child_id = await family(people)
    monkeypatch.setattr("models.bus.Bus.run_listening", asyncio.Event().wait)
    async with (
        serving(served.settings) as deaf,
        connected(served.url, "/game", mother.token) as player,
        connected(deaf.url, "/watch", people.one("admin").token) as watcher,
    ):
        session_id = (await player.ok("session:open", opening(child_id)))["session_id"]
        assert await listed(watcher, session_id)
        told: asyncio.Queue[str] = asyncio.Queue()
        deaf.app[PARTS].background.families.changes.told.append(told.put_nowait)
        await mother.consent(child_id, "therapist_viewing", given=False)
        async with asyncio.timeout(WITHIN):
            assert await told.get() == child_id
