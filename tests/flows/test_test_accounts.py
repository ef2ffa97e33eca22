"""Accounts for tests: the same set by the same key, gone without trace, unheard of outside."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from models.play.repo import PlayRepo
from sessions.catalogue import catalogue
from sessions.rescore import rescore_session
from tests.flows.desk import Scene, desk
from tests.flows.people import Answer, Person


@pytest.fixture
async def scene(settings: Settings, tmp_path: Path) -> AsyncIterator[Scene]:
    async with desk(settings, tmp_path) as scene:
        yield scene


async def make(scene: Scene, key: str = "spring", count: int = 2, template: str = "family",
               **more: Any) -> Answer:  # fmt: skip
    body = {"batchKey": key, "count": count, "template": template, **more}
    return await scene.ask("POST", "/test-accounts", body)


async def held(scene: Scene) -> dict[str, int]:
    """Return how many documents each collection holds."""
    database = scene.mongo.database
    names = await database.list_collection_names()
    kept = ("access_log", "access_log_heads", "answers")
    return {
        name: n
        for name in sorted(names)
        if name not in kept and (n := await database[name].count_documents({}))
    }


async def signed_in(scene: Scene, batch: Answer, n: int = 0) -> Person:
    person = scene.town.person(f"device-test-{n}")
    email = batch["accounts"][n]["email"]
    return person.keep(await person.sign_in(email, batch["password"]))


async def test_a_key_gives_the_same_set_each_time(scene: Scene) -> None:
    first = await make(scene)
    assert (first.status, len(first["accounts"])) == (201, 2)
    before = await held(scene)
    assert (await make(scene)).body == first.body
    assert await held(scene) == before
    other = await make(scene, "autumn")
    assert {a["userId"] for a in other["accounts"]}.isdisjoint(
        a["userId"] for a in first["accounts"]
    )
    for more in ({"count": 3}, {"template": "guardian"}):
        assert (await make(scene, **{"count": 2, **more})).code == "conflict"


async def test_many_who_ask_at_once_make_one_set(scene: Scene) -> None:
    answers = await asyncio.gather(*(make(scene, count=4, template="played") for _ in range(5)))
    assert {answer.status for answer in answers} == {201}
    assert len({str(answer.body) for answer in answers}) == 1
    counts = await held(scene)
    assert counts["users"] == 4 + 1
    assert (counts["children"], counts["consents"], counts["therapy_results"]) == (5, 8, 4)
    assert (counts["sessions"], counts["play_records"], counts["test_batches"]) == (4, 4, 1)


async def test_a_test_family_signs_in_and_has_really_played(scene: Scene) -> None:
    batch = await make(scene, count=1, template="played")
    person = await signed_in(scene, batch)
    child_id = batch["accounts"][0]["childId"]
    assert (await person.call("GET", f"/v1/children/{child_id}"))["alias"] == "시험 기린"
    (result,) = (await person.call("GET", f"/v1/children/{child_id}/results"))["items"]
    assert result["totals"]["repsFull"] > 0
    assert result["grade"] is not None
    # Scored anew from what is stored, the record is the same byte for byte.
    repo = PlayRepo(scene.mongo.database)
    compared = await rescore_session(repo, catalogue(), result["sessionId"])
    assert [one.equal for one in compared] == [True]


async def test_deleting_leaves_nothing_and_touches_nobody_else(scene: Scene) -> None:
    before = await held(scene)
    batch = await make(scene, template="played")
    person = await signed_in(scene, batch)
    added = {"name": "김새봄", "birthDate": "2018-03-04", "zone": "Asia/Seoul"}
    assert (await person.call("POST", "/v1/children", added)).status == 201
    own = f"/v1/children/{batch['accounts'][0]['childId']}"
    assert (await person.call("POST", f"{own}/care", {})).status == 201
    done = await scene.ask("DELETE", "/test-accounts/spring")
    deleted = done["deleted"]
    assert (done.status, deleted["users"], deleted["children"]) == (200, 2, 3)
    assert (deleted["sessions"], deleted["therapy_results"]) == (2, 2)
    assert await held(scene) == before
    again = await scene.ask("DELETE", "/test-accounts/spring")
    assert (again.status, set(again["deleted"].values())) == (200, {0})
    async with asyncio.timeout(5):
        while (await person.me()).status == 200:
            await asyncio.sleep(0.02)
    assert (await person.me()).code == "unauthenticated"


async def test_a_child_with_a_real_guardian_stays(scene: Scene) -> None:
    batch = await make(scene, count=1)
    child_id = batch["accounts"][0]["childId"]
    person = await signed_in(scene, batch)
    invite = await person.call("POST", f"/v1/children/{child_id}/guardian-invites")
    body = {"code": invite["code"]}
    assert (await scene.mother.call("POST", "/v1/guardian-invites/accept", body)).status == 200
    done = await scene.ask("DELETE", "/test-accounts/spring")
    assert (done["deleted"]["users"], done["deleted"]["children"]) == (1, 0)
    guardians = await scene.mother.call("GET", f"/v1/children/{child_id}/guardians")
    assert [one["userId"] for one in guardians["guardians"]] == [scene.mother_id]


async def test_an_account_that_is_none_for_tests_is_not_deleted(scene: Scene) -> None:
    batch = await make(scene, count=1, template="guardian")
    user_id = batch["accounts"][0]["userId"]
    await scene.mongo.database["users"].update_one({"_id": user_id}, {"$set": {"is_test": False}})
    done = await scene.ask("DELETE", "/test-accounts/spring")
    assert set(done["deleted"].values()) == {0}


async def test_nothing_of_a_test_account_goes_outside(scene: Scene) -> None:
    batch = await make(scene, count=1, template="guardian")
    person = await signed_in(scene, batch)
    messengers, mails = scene.town.messengers, len(scene.town.mail.taken)
    for number in ("+82 10-1234-5678", "+1 415-555-2671"):
        sent = await person.call("POST", "/v1/me/phone/code", {"number": number})
        assert sent.status == 204
        body = {"number": number, "code": "246810"}
        assert (await person.call("PUT", "/v1/me/phone", body)).code == "code_refused"
    reset = {"email": batch["accounts"][0]["email"]}
    assert (await person.call("POST", "/v1/password-resets", reset)).status == 204
    assert (messengers.texts, messengers.codes, messengers.checks) == ([], {}, {})
    assert len(scene.town.mail.taken) == mails


@pytest.mark.parametrize(
    "more",
    [{"count": 0}, {"count": 201}, {"count": "2"}, {"template": "clinic"}, {"batchKey": {"$ne": 1}},
     {"batchKey": "a b"}],
)  # fmt: skip
async def test_what_is_no_batch_is_refused(scene: Scene, more: dict[str, Any]) -> None:
    body = {"batchKey": "k", "count": 1, **more}
    assert (await scene.ask("POST", "/test-accounts", body)).code == "invalid"
    assert "test_batches" not in await held(scene)
