"""Grades over REST: what the weekly rule proposes, who sees it, and who decides."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from config.clock import SystemClock
from config.settings import Settings
from models.children.localday import local_date
from models.clinic.grade_records import WEEK
from models.clinic.grade_rules import monday_of
from models.db import Mongo
from models.play.repo import PlayRepo
from models.withdrawal.erasure import Erasure
from server.lifespan import PARTS
from server.worker import build_worker
from tests.factories import ManualClock
from tests.flows.api import Api, People, people_of
from tests.models.played import look_at_all, play_week, rounds_of
from tests.serving import Served, serving

ZONE = "Asia/Seoul"
YES, NO = {"accept": True, "why": "상태가 좋다"}, {"accept": False, "why": "아직 이르다"}


@dataclass
class Scene:
    """A family, a therapist, an admin, and weeks that pass when they are told to."""

    people: People
    mother: Api
    therapist: Api
    admin: Api
    mongo: Mongo
    clock: ManualClock
    child_id: str
    monday: date

    @property
    def path(self) -> str:
        return f"/children/{self.child_id}"

    async def weeks(self, *done: float) -> None:
        """Let weeks pass, a share of what was asked being done in each."""
        play = PlayRepo(self.mongo.database)
        for share in done:
            await play_week(play, self.child_id, self.monday, share, ZONE)
            self.monday += WEEK
            self.clock.move(WEEK.total_seconds())
            assert await look_at_all(rounds_of(self.mongo, self.clock)) == 1

    async def proposals(self, who: Api | None = None) -> list[Any]:
        found = await (who or self.mother).ok("GET", f"{self.path}/grade-proposals")
        return list(found["items"])


@pytest.fixture
async def scene(served: Served, settings: Settings) -> AsyncIterator[Scene]:
    assert settings.mongo_url is not None
    mongo = Mongo(settings.mongo_url.get_secret_value(), settings.store.mongo_database)
    async with people_of(served) as people:
        mother = people.guardian()
        child_id = await mother.add_child()
        await mother.consent(child_id, "play_data")
        now = datetime.now(UTC)
        # In the middle of a week: all that is looked at was over six hours ago.
        clock = ManualClock(round(now.timestamp() * 1e6))
        monday = monday_of(local_date(now, ZONE))
        clock.move((monday + WEEK / 2 - local_date(now, ZONE)).total_seconds())
        await look_at_all(rounds_of(mongo, clock))
        yield Scene(
            people, mother, people.therapist(), people.admin(), mongo, clock, child_id, monday
        )
    await mongo.close()


async def in_care(scene: Scene) -> None:
    await scene.mother.consent(scene.child_id, "therapist_viewing")
    await scene.mother.take_into_care(scene.child_id, scene.therapist)


async def test_a_therapist_sees_why_and_accepts(scene: Scene) -> None:
    await in_care(scene)
    await scene.weeks(1.0)
    assert await scene.proposals() == []
    await scene.weeks(0.9)
    (seen,) = await scene.proposals(scene.therapist)
    assert (seen["status"], seen["settledAt"], seen["reason"]) == ("open", None, None)
    assert seen["before"] == {"value": 1, "labelKo": "새싹", "labelEn": "Sprout"}
    assert seen["after"] == {"value": 2, "labelKo": "잎새", "labelEn": "Leaf"}
    one, two = seen["weeks"]
    assert (one["sets"], one["days"], one["leftOut"], one["says"]) == (16, 4, 0, "up")
    assert (one["completion"], two["completion"]) == (1.0, pytest.approx(0.9))
    assert one["quality"] == pytest.approx(0.9)
    assert seen["limits"] == {"sets": 10, "days": 3, "quality": 0.6, "up": 0.9, "down": 0.5}
    assert "세트 16개와 16개" in seen["explanationKo"]
    assert "16 and 16 sets" in seen["explanationEn"]
    for who in (scene.mother, scene.therapist):
        shown = await who.ok("GET", scene.path)
        assert (shown["grade"]["value"], shown["gradeProposed"]["value"]) == (1, 2)
    device = scene.people.one("child", scene.mother.id, child_id=scene.child_id)
    assert (await device.ok("GET", scene.path))["gradeProposed"] is None
    assert await device.refused("GET", f"{scene.path}/grade-proposals") == "forbidden"

    decision = f"{scene.path}/grade-proposals/{seen['id']}/decision"
    assert await scene.mother.refused("PUT", decision, YES) == "forbidden"
    stranger = scene.people.therapist()
    assert await stranger.refused("PUT", decision, YES) == "not_found"
    assert await scene.therapist.refused("PUT", decision, {"accept": True}) == "invalid", "why?"
    unknown = f"{scene.path}/grade-proposals/x/decision"
    assert await scene.therapist.refused("PUT", unknown, YES) == "not_found"
    done = await scene.therapist.ok("PUT", decision, YES)
    assert (done["status"], done["reason"], done["settledBy"]) == (
        "accepted", YES["why"], scene.therapist.id,
    )  # fmt: skip
    assert await scene.therapist.ok("PUT", decision, YES) == done, "the same again"
    assert await scene.therapist.refused("PUT", decision, NO) == "conflict"
    shown = await scene.mother.ok("GET", scene.path)
    assert (shown["grade"]["value"], shown["gradeProposed"]) == (2, None)
    (change,) = (await scene.mother.ok("GET", f"{scene.path}/grades"))["items"]
    assert (change["source"], change["by"], change["proposal"]) == (
        "therapist", scene.therapist.id, seen["id"],
    )  # fmt: skip
    looks = (await scene.mother.ok("GET", f"{scene.path}/looks?limit=200"))["items"]
    said = f"PUT /v1{scene.path}/grade-proposals".replace(scene.child_id, "{childId}")
    assert any(look["action"].startswith(said) for look in looks), "the family sees it"


async def test_a_therapist_declines_and_a_grade_set_by_hand_withdraws(scene: Scene) -> None:
    await in_care(scene)
    await scene.weeks(1.0, 1.0)
    (seen,) = await scene.proposals()
    declined = await scene.therapist.ok(
        "PUT", f"{scene.path}/grade-proposals/{seen['id']}/decision", NO
    )
    assert (declined["status"], declined["reason"]) == ("declined", NO["why"])
    assert (await scene.mother.ok("GET", scene.path))["grade"]["value"] == 1
    await scene.weeks(1.0, 1.0, 1.0)
    newest = (await scene.proposals())[0]
    assert newest["status"] == "open"
    await scene.therapist.ok("PUT", f"{scene.path}/grade", {"grade": 4, "why": "seen today"})
    pages: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await scene.mother.ok("GET", f"{scene.path}/grade-proposals?limit=1{cursor}")
        pages += [f"{one['status']} {one['reason']}" for one in page["items"]]
        cursor = page["nextCursor"] and f"&cursor={page['nextCursor']}"
    assert pages == ["withdrawn grade_changed", f"declined {NO['why']}"]


async def test_without_a_therapist_the_rule_decides(scene: Scene) -> None:
    await scene.weeks(1.0, 1.0)
    (change,) = (await scene.mother.ok("GET", f"{scene.path}/grades"))["items"]
    assert (change["source"], change["by"], change["after"]) == ("rule", None, 2)
    assert "두 주 연속" in change["reason"]
    (seen,) = await scene.proposals()
    assert seen["status"] == "applied"
    decision = f"{scene.path}/grade-proposals/{seen['id']}/decision"
    assert await scene.admin.refused("PUT", decision, NO) == "conflict"


async def test_an_admin_decides_with_a_reason_and_no_trial_child_is_proposed(scene: Scene) -> None:
    await in_care(scene)
    await scene.weeks(1.0, 1.0)
    (seen,) = await scene.proposals(scene.admin)
    decision = f"{scene.path}/grade-proposals/{seen['id']}/decision"
    site = await scene.admin.ok("POST", "/clinics", {"name": "아산", "kind": "trial_site"})
    trial = {
        "trial": "asan-2026", "site": site["id"], "arm": "B", "subjectNo": "A-017",
        "protocolVersion": "1.2",
    }  # fmt: skip
    enrolled = await scene.admin.ok("POST", f"{scene.path}/trials", trial)
    assert enrolled["value"]["pinsDifficulty"] is True
    assert await scene.admin.refused("PUT", decision, YES) == "conflict"
    assert [p["reason"] for p in await scene.proposals()] == ["trial"]
    await scene.weeks(1.0, 1.0)
    assert len(await scene.proposals()) == 1
    close = f"{scene.path}/attributes/{enrolled['id']}?why=withdrew"
    await scene.admin.ok("DELETE", close)
    await scene.weeks(1.0)
    newest = (await scene.proposals())[0]
    done = await scene.admin.ok("PUT", f"{scene.path}/grade-proposals/{newest['id']}/decision", YES)
    assert done["status"] == "accepted"
    (change,) = (await scene.mother.ok("GET", f"{scene.path}/grades"))["items"]
    assert change["source"] == "admin"


async def test_what_was_proposed_is_erased_with_the_child(scene: Scene, served: Served) -> None:
    await scene.weeks(1.0, 1.0)
    prefix = served.settings.store.redis_prefix
    erasure = Erasure(scene.mongo.database, served.app[PARTS].background.stores.redis, prefix)
    gone = await erasure.erase_children([scene.child_id])
    assert (gone["grade_proposals"], gone["grade_history"]) == (1, 1)
    assert await scene.mongo.database["grade_proposals"].count_documents({}) == 0


@pytest.mark.parametrize("process", ["serve", "worker"])
async def test_either_process_looks_by_itself(settings: Settings, process: str) -> None:
    grade = settings.grade.model_copy(update={"look_seconds": 0.05})
    often, seldom = settings.model_copy(update={"grade": grade}), settings
    assert settings.mongo_url is not None
    mongo = Mongo(settings.mongo_url.get_secret_value(), settings.store.mongo_database)
    children = mongo.database["children"]
    async with AsyncExitStack() as stack:
        stack.push_async_callback(mongo.close)
        served = await stack.enter_async_context(serving(often if process == "serve" else seldom))
        mother = (await stack.enter_async_context(people_of(served))).guardian()
        child_id = await mother.add_child()
        await mother.consent(child_id, "play_data")
        now = datetime.now(UTC) - timedelta(hours=grade.wait_hours)
        monday = monday_of(local_date(now, ZONE))
        for weeks_ago in (2, 1):
            play = PlayRepo(mongo.database)
            await play_week(play, child_id, monday - weeks_ago * WEEK, 1.0, ZONE)
        # As if it had not been looked at when it was new.
        await children.update_one({"_id": child_id}, {"$set": {"grade_look": {}}})
        if process == "worker":
            runner = web.AppRunner(build_worker(often, SystemClock()))
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
        async with asyncio.timeout(20):
            while (await mother.ok("GET", f"/children/{child_id}"))["grade"]["value"] != 2:
                await asyncio.sleep(0.05)
