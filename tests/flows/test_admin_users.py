"""Admins look accounts up: each way by an index, page by page, and never unseen."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from models.admin.timeline import SOURCES, Place
from tests.flows.desk import Scene, desk
from tests.flows.people import GOOD


@pytest.fixture
async def scene(settings: Settings, tmp_path: Path) -> AsyncIterator[Scene]:
    async with desk(settings, tmp_path) as scene:
        yield scene


async def found(scene: Scene, by: str, value: str) -> list[str]:
    answer = await scene.ask("POST", "/user-searches", {"by": by, "value": value})
    assert answer.status == 200, answer.body
    return [one["id"] for one in answer["items"]]


async def test_somebody_is_found_by_what_is_known_of_them(scene: Scene) -> None:
    users = scene.mongo.database["users"]
    number = "+82 10-1234-5678"
    assert (await scene.mother.call("POST", "/v1/me/phone/code", {"number": number})).status == 204
    text = scene.town.messengers.texts[-1][1]
    code = "".join(c for c in text if c.isdigit())[:6]
    body = {"number": number, "code": code}
    assert (await scene.mother.call("PUT", "/v1/me/phone", body)).status == 200
    path = f"/v1/children/{scene.child_id}"
    assert (await scene.mother.call("PATCH", path, {"alias": "파란 고래"})).status == 200
    method = {"key": "kakao:42", "provider": "kakao", "subject": "42"}
    user = await users.find_one({"_id": scene.mother_id})
    method["linked_at"] = user["created_at"]
    await users.update_one({"_id": scene.mother_id}, {"$push": {"methods": method}})
    for by, value in (
        ("id", scene.mother_id),
        ("email", " Mother@Example.com "),
        ("email_prefix", "moth"),
        ("phone", "+82 (10) 1234 5678"),
        ("kakao", "42"),
        ("child", scene.child_id),
        ("alias", "파란 고래"),
    ):
        assert await found(scene, by, value) == [scene.mother_id], by
    for by, value in (
        ("email", "no@example.com"),
        ("google", "42"),
        ("alias", "고래"),
        ("id", "x"),
    ):
        assert await found(scene, by, value) == [], by


@pytest.mark.parametrize(
    "body",
    [
        {"by": "email", "value": {"$gt": ""}},
        {"by": "id", "value": ["x"]},
        {"by": "password", "value": "x"},
        {"by": "email_prefix", "value": "mo"},
        {"by": "email", "value": "no address"},
        {"by": "phone", "value": "+49 30 1234"},
    ],
)
async def test_what_is_no_value_is_refused(scene: Scene, body: dict[str, Any]) -> None:
    answer = await scene.ask("POST", "/user-searches", body)
    assert (answer.status, answer.code) == (400, "invalid")


async def test_a_prefix_is_no_pattern(scene: Scene) -> None:
    assert await found(scene, "email_prefix", "moth.*") == []
    assert await found(scene, "email_prefix", "^mother") == []


async def test_a_list_comes_in_pages(scene: Scene) -> None:
    users = scene.mongo.database["users"]
    user = await users.find_one({"_id": scene.mother_id})
    await users.insert_many(
        [
            {**user, "_id": f"u_{n}", "email": f"many{n}@example.com", "methods": []}
            for n in range(5)
        ]
    )
    seen: list[str] = []
    path = "/user-searches?limit=2"
    while True:
        answer = await scene.ask("POST", path, {"by": "email_prefix", "value": "many"})
        seen += [one["id"] for one in answer["items"]]
        if answer["nextCursor"] is None:
            break
        path = f"/user-searches?limit=2&cursor={answer['nextCursor']}"
    assert seen == [f"u_{n}" for n in range(5)]


async def test_an_account_shows_what_belongs_to_it_and_no_secret(scene: Scene) -> None:
    answer = await scene.ask("GET", f"/users/{scene.mother_id}")
    assert answer["children"] == [scene.child_id]
    assert (answer["email"], answer["isTest"]) == ("mother@example.com", False)
    assert "hash" not in str(answer.body).lower()
    assert answer["returning"] is False
    users = scene.mongo.database["users"]
    await users.update_one({"_id": scene.mother_id}, {"$set": {"returning": True}})
    assert (await scene.ask("GET", f"/users/{scene.mother_id}"))["returning"] is True
    assert (await scene.ask("GET", "/users/u_x")).code == "not_found"


async def test_a_timeline_is_whole_in_order_and_the_same_in_pages(scene: Scene) -> None:
    consents = f"/v1/children/{scene.child_id}/consents/play_data"
    for given in (True, False, True):
        body = {"given": given, "locale": "ko", **({"version": 1} if given else {})}
        assert (await scene.mother.call("PUT", consents, body)).status == 200
    phone = scene.mother.another("device-0002")
    phone.keep(await phone.sign_in("mother@example.com", GOOD))
    assert (await phone.call("DELETE", "/v1/sign-ins/current")).status == 204
    assert (
        await scene.mother.call("POST", f"/v1/children/{scene.child_id}/care", {})
    ).status == 201
    await scene.forced()
    path = f"/users/{scene.mother_id}/timeline"
    # Looking at it is an act that stands in it: what is compared is what was before.
    begun = (await scene.ask("GET", f"{path}?limit=200"))["items"][0]["at"]
    whole = [one for one in (await scene.ask("GET", f"{path}?limit=200"))["items"]
             if one["at"] <= begun]  # fmt: skip
    kinds = [one["kind"] for one in whole]
    assert kinds.count("consent") == 3
    assert kinds.count("signed_in") == 2
    assert {"created", "signed_out", "care_invited", "forced_token", "admin_act"} <= set(kinds)
    assert [one["at"] for one in whole] == sorted((one["at"] for one in whole), reverse=True)
    pages: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:
        answer = await scene.ask("GET", f"{path}?limit=3{cursor and f'&cursor={cursor}'}")
        pages += answer["items"]
        cursor = answer["nextCursor"]
    assert [one for one in pages if one["at"] <= begun] == whole


async def test_each_look_up_is_written_down_with_its_reason(scene: Scene) -> None:
    await asyncio.gather(*(scene.ask("GET", f"/users/{scene.mother_id}") for _ in range(5)))
    acts = await scene.acts()
    assert [(act["action"], act["reason"]) for act in acts] == [
        ("GET /v1/admin/users/{userId}", "a test of what admins do")
    ] * 5
    await found(scene, "email", "mother@example.com")
    search = await scene.mongo.database["access_log"].find_one({"about": None, "child_id": None})
    assert search["user_id"] == "admin-1"
    assert "mother@example.com" not in str(search)


def stages(plan: dict[str, Any]) -> set[str]:
    """Return the stages of a query plan."""
    below = [plan[key] for key in ("inputStage",) if key in plan] + plan.get("inputStages", [])
    return {plan["stage"]}.union(*(stages(one) for one in below))


async def test_no_look_up_reads_a_whole_collection(scene: Scene) -> None:
    database = scene.mongo.database
    mother = await database["users"].find_one({"_id": scene.mother_id})
    queries: list[tuple[str, dict[str, Any]]] = [
        ("users", {"email": "x"}),
        ("users", {"methods.key": "x"}),
        ("users", {"phone.index": "x"}),
        ("users", {"email": {"$type": "string", "$gte": "mo", "$gt": "", "$lt": "mo\x7f"}}),
        ("children", {"alias": "x", "removed_at": None}),
        ("children", {"guardians": "x", "removed_at": None}),
        ("clinics", {"therapists": "x"}),
    ]
    for source in SOURCES:
        for before in (None, Place(2**50, source.kind, "x"), Place(2**50, "a", "x")):
            queries.append((source.collection, source.query(mother["_id"], before)))  # noqa: PERF401 - two loops read better
    for name, query in queries:
        plan = await database[name].find(query).explain()
        assert "COLLSCAN" not in stages(plan["queryPlanner"]["winningPlan"]), (name, query)
