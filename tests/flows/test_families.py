"""Families over REST: profiles, co-guardians, and everybody who is not of the family."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import pytest

from config.settings import Settings
from models.db import Mongo
from tests.flows.api import CHILD, People, people_of
from tests.serving import Served


@pytest.fixture
async def people(served: Served) -> AsyncIterator[People]:
    async with people_of(served) as people:
        yield people


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Any]:
    assert settings.mongo_url is not None
    mongo = Mongo(settings.mongo_url.get_secret_value(), settings.store.mongo_database)
    yield mongo.database
    await mongo.close()


async def test_a_child_is_added_changed_listed_and_removed(people: People, database: Any) -> None:
    mother = people.guardian()
    assert await mother.ok("GET", "/children") == {"items": [], "nextCursor": None}
    made = await mother.ok("POST", "/children", {**CHILD, "dominantHand": "left"})
    child_id = made["id"]
    assert made["name"] == "김지우"
    assert made["alias"], "an animal"
    assert made["grade"] == {"value": 1, "labelKo": "새싹", "labelEn": "Sprout"}
    assert (made["zone"], made["nextZone"]) == ("Asia/Seoul", None)

    stored = await database["children"].find_one({"_id": child_id})
    assert "지우" not in str(stored)
    assert stored["name"].startswith("s1.")

    changed = await mother.ok(
        "PATCH", f"/children/{child_id}", {"name": "김하준", "alias": "번개", "sex": "male"}
    )
    assert (changed["name"], changed["alias"], changed["sex"]) == ("김하준", "번개", "male")
    assert changed["dominantHand"] == "left", "what is left out stays"
    assert (await mother.ok("PATCH", f"/children/{child_id}", {"alias": None}))["alias"] != "번개"
    assert [c["name"] for c in (await mother.ok("GET", "/children"))["items"]] == ["김하준"]

    assert await mother.ask("DELETE", f"/children/{child_id}") == (204, None)
    assert await mother.refused("GET", f"/children/{child_id}") == "not_found"
    assert (await mother.ok("GET", "/children"))["items"] == []
    erased = await database["children"].find_one({"_id": child_id})
    assert not {"name", "birth_date", "alias", "affected_hand"} & erased.keys()


async def test_children_come_in_pages(people: People) -> None:
    mother = people.guardian()
    made = {await mother.add_child(name=f"아이 {n}") for n in range(5)}
    seen: list[str] = []
    cursor = ""
    for _ in range(3):
        page = await mother.ok("GET", f"/children?limit=2{cursor}")
        seen += [child["id"] for child in page["items"]]
        cursor = f"&cursor={page['nextCursor']}"
    assert page["nextCursor"] is None
    assert len(seen) == 5
    assert {*seen} == made


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": " \t "},
        {"name": "지\u0000우"},
        {"name": "가" * 41},
        {"name": {"$ne": ""}},
        {"birthDate": (date.today() + timedelta(days=2)).isoformat()},  # noqa: DTZ011 - a day is room enough
        {"birthDate": "1980-01-01"},
        {"birthDate": "2018-02-30"},
        {"zone": "KST"},
        {"zone": "../../etc/passwd"},
        {"affectedHand": "foot"},
        {"alias": "우리 김지우!"},
        {"alias": "김 지 우"},
        {"guardians": ["u_1"]},
        {"_id": "c_1"},
    ],
)
async def test_what_is_no_profile_is_refused(people: People, wrong: dict[str, Any]) -> None:
    mother = people.guardian()
    assert await mother.refused("POST", "/children", {**CHILD, **wrong}) == "invalid"
    child_id = await mother.add_child()
    assert await mother.refused("PATCH", f"/children/{child_id}", wrong) == "invalid"


async def test_a_repeated_request_adds_one_child(people: People) -> None:
    mother = people.guardian()
    key = {"Idempotency-Key": "0123456789abcdef"}
    made = await asyncio.gather(*(mother.ask("POST", "/children", CHILD, **key) for _ in range(5)))
    ids = {said["id"] for status, said in made if status == 201}
    assert len(ids) == 1
    assert {status for status, _ in made} <= {201, 409}
    assert (await mother.ok("POST", "/children", CHILD, **key))["id"] in ids
    assert len((await mother.ok("GET", "/children"))["items"]) == 1


async def test_a_zone_changes_once_in_a_day_and_from_tomorrow(people: People) -> None:
    mother = people.guardian()
    child_id = await mother.add_child()
    path = f"/children/{child_id}"
    moved = await mother.ok("PATCH", path, {"zone": "America/New_York"})
    assert moved["zone"] == "Asia/Seoul"
    assert moved["nextZone"]["zone"] == "America/New_York"
    assert await mother.ok("PATCH", path, {"zone": "America/New_York"}) == moved, "said again"
    assert await mother.refused("PATCH", path, {"zone": "UTC"}) == "conflict"


async def test_two_changes_at_once_are_both_kept(people: People) -> None:
    mother = people.guardian()
    path = f"/children/{await mother.add_child()}"
    await asyncio.gather(
        mother.ok("PATCH", path, {"sex": "female"}),
        mother.ok("PATCH", path, {"dominantHand": "left"}),
        mother.ok("PATCH", path, {"alias": "별"}),
    )
    child = await mother.ok("GET", path)
    assert (child["sex"], child["dominantHand"], child["alias"]) == ("female", "left", "별")


async def test_a_second_guardian_joins_by_a_code_that_works_once(people: People) -> None:
    mother, father, stranger = people.guardian(), people.guardian(), people.guardian()
    child_id = await mother.add_child()
    path = f"/children/{child_id}"
    assert await father.refused("GET", path) == "not_found"
    invited = await mother.ok("POST", f"{path}/guardian-invites")
    assert invited["link"].endswith(invited["code"])
    listed = await mother.ok("GET", f"{path}/guardians")
    assert [invite["id"] for invite in listed["invites"]] == [invited["id"]]
    assert invited["code"] not in str(listed)

    typed = invited["code"].lower().replace("-", " ").replace("0", "o")
    joined = await father.ok("POST", "/guardian-invites/accept", {"code": typed})
    assert joined["id"] == child_id
    again = await father.ok("POST", "/guardian-invites/accept", {"code": invited["code"]})
    assert again["id"] == child_id, "the same again changes nothing"
    code = {"code": invited["code"]}
    assert await stranger.refused("POST", "/guardian-invites/accept", code) == "not_found"
    who = await father.ok("GET", f"{path}/guardians")
    assert {g["userId"]: g["own"] for g in who["guardians"]} == {mother.id: False, father.id: True}

    assert await father.refused("DELETE", f"{path}/guardians/{mother.id}") == "forbidden"
    assert await mother.ask("DELETE", f"{path}/guardians/{mother.id}") == (204, None)
    assert await mother.refused("GET", path) == "not_found"
    assert await father.refused("DELETE", f"{path}/guardians/{father.id}") == "conflict"


async def test_an_invitation_ends_when_it_is_withdrawn_or_its_guardian_leaves(
    people: People,
) -> None:
    mother, father, friend = people.guardian(), people.guardian(), people.guardian()
    child_id = await mother.add_child()
    invites = f"/children/{child_id}/guardian-invites"
    withdrawn = await mother.ok("POST", invites)
    assert await mother.ask("DELETE", f"{invites}/{withdrawn['id']}") == (204, None)
    assert await mother.ask("DELETE", f"{invites}/{withdrawn['id']}") == (204, None)
    assert await mother.refused("DELETE", f"{invites}/gi_none") == "not_found"
    mine = await mother.ok("POST", invites)
    left = await mother.ok("POST", invites)
    await father.ok("POST", "/guardian-invites/accept", {"code": mine["code"]})
    assert await father.refused("DELETE", f"{invites}/{mine['id']}") == "not_found"
    await mother.ok("DELETE", f"/children/{child_id}/guardians/{mother.id}")
    for one in (withdrawn, left):
        body = {"code": one["code"]}
        assert await friend.refused("POST", "/guardian-invites/accept", body) == "not_found"


async def test_many_accept_one_code_and_one_wins(people: People) -> None:
    mother = people.guardian()
    child_id = await mother.add_child()
    code = (await mother.ok("POST", f"/children/{child_id}/guardian-invites"))["code"]
    friends = [people.guardian() for _ in range(8)]
    outcomes = await asyncio.gather(
        *(one.ask("POST", "/guardian-invites/accept", {"code": code}) for one in friends)
    )
    assert sorted(status for status, _ in outcomes) == [200] + [404] * 7
    who = await mother.ok("GET", f"/children/{child_id}/guardians")
    assert len(who["guardians"]) == 2


async def test_a_child_has_at_most_four_guardians(people: People) -> None:
    mother = people.guardian()
    child_id = await mother.add_child()
    invites = [
        (await mother.ok("POST", f"/children/{child_id}/guardian-invites"))["code"]
        for _ in range(6)
    ]
    outcomes = await asyncio.gather(
        *(
            people.guardian().ask("POST", "/guardian-invites/accept", {"code": code})
            for code in invites
        )
    )
    assert sorted(status for status, _ in outcomes) == [200] * 3 + [409] * 3


async def test_a_childs_device_reaches_its_child_as_long_as_its_guardian_does(
    people: People,
) -> None:
    mother, father = people.guardian(), people.guardian()
    child_id, other = await mother.add_child(), await mother.add_child(name="김서연")
    tablet = people.one("child", father.id, child_id=child_id)
    assert await tablet.refused("GET", f"/children/{child_id}") == "not_found"
    code = (await mother.ok("POST", f"/children/{child_id}/guardian-invites"))["code"]
    await father.ok("POST", "/guardian-invites/accept", {"code": code})
    assert (await tablet.ok("GET", f"/children/{child_id}"))["name"] == "김지우"
    assert await tablet.refused("GET", f"/children/{other}") == "not_found"
    assert await tablet.refused("PATCH", f"/children/{child_id}", {"sex": "male"}) == "forbidden"
    await father.ok("DELETE", f"/children/{child_id}/guardians/{father.id}")
    assert await tablet.refused("GET", f"/children/{child_id}") == "not_found"


async def test_an_id_that_is_an_operator_finds_nothing(people: People) -> None:
    mother = people.guardian()
    await mother.add_child()
    operators = ("$ne", '{"$gt":""}', "%7B%22%24ne%22%3A1%7D", "*", ".*", "c_%00", "guardians.0")
    for tried in operators:
        status, said = await mother.ask("GET", f"/children/{tried}")
        assert (status, said) in {(404, "not_found"), (400, "invalid")}
    query = "/children?limit[$gt]=0"
    assert await mother.refused("GET", query) == "invalid"
    forged = "eyIkZ3QiOiIifQ"  # {"$gt":""}
    assert await mother.refused("GET", f"/children?cursor={forged}") == "invalid"
