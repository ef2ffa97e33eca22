"""Consents, diagnoses, grades and trials over REST."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from config.settings import Settings
from models.db import Mongo
from tests.flows.api import Api, People, people_of
from tests.serving import Served

CP = {
    "system": "icd10",
    "code": "G80.2",
    "label": "Spastic hemiplegic cerebral palsy",
    "affectedHand": "left",
    "diagnosedOn": "2019-05-01",
}


@pytest.fixture
async def people(served: Served) -> AsyncIterator[People]:
    async with people_of(served) as people:
        yield people


@pytest.fixture
async def treated(people: People) -> tuple[Api, Api, str]:
    """Return a guardian, the therapist of their child, and the child's path."""
    mother, therapist = people.guardian(), people.therapist()
    child_id = await mother.add_child()
    await mother.consent(child_id, "therapist_viewing")
    await mother.take_into_care(child_id, therapist)
    return mother, therapist, f"/children/{child_id}"


async def test_consents_are_given_by_version_and_withdrawn_and_kept(people: People) -> None:
    mother = people.guardian()
    path = f"/children/{await mother.add_child()}"
    documents = (await mother.ok("GET", "/consent-documents"))["items"]
    assert {d["purpose"] for d in documents} == {
        "play_data", "therapist_viewing", "research", "analytics",
    }  # fmt: skip
    assert all(d["textKo"] and d["textEn"] and d["titleKo"] for d in documents)
    assert (await mother.ok("GET", "/consent-documents/research/1")) in documents
    assert await mother.refused("GET", "/consent-documents/research/2") == "not_found"
    assert await mother.refused("GET", "/consent-documents/everything/1") == "invalid"

    put = f"{path}/consents/research"
    assert await mother.refused("PUT", put, {"given": True, "locale": "ko"}) == "invalid"
    wrong = {"given": True, "version": 2, "locale": "ko"}
    assert await mother.refused("PUT", put, wrong) == "conflict"
    for given in (False, True, True, False, False, True):
        body = {"given": given, "locale": "en", **({"version": 1} if given else {})}
        states = {s["purpose"]: s for s in (await mother.ok("PUT", put, body))["items"]}
        assert states["research"]["given"] is given
    assert states["analytics"] == {
        "purpose": "analytics", "given": False, "version": None, "newestVersion": 1, "at": None,
    }  # fmt: skip
    history: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await mother.ok("GET", f"{path}/consent-history?limit=2{cursor}")
        history += page["items"]
        cursor = page["nextCursor"] and f"&cursor={page['nextCursor']}"
    assert [row["given"] for row in history] == [True, False, True], (
        "what changed nothing is no row"
    )
    assert {(row["by"], row["version"], row["locale"]) for row in history} == {(mother.id, 1, "en")}


async def test_consents_changed_at_once_leave_no_hole(people: People, settings: Settings) -> None:
    mother = people.guardian()
    child_id = await mother.add_child()
    put = f"/children/{child_id}/consents/play_data"
    bodies = [{"given": n % 2 == 0, "version": 1, "locale": "ko"} for n in range(12)]
    outcomes = await asyncio.gather(*(mother.ask("PUT", put, body) for body in bodies))
    assert {status for status, _ in outcomes} <= {200, 503}
    page = await mother.ok("GET", f"/children/{child_id}/consent-history?limit=200")
    rows = page["items"]
    assert [row["given"] for row in reversed(rows)] == [n % 2 == 0 for n in range(len(rows))]
    states = (await mother.ok("GET", f"/children/{child_id}/consents"))["items"]
    now = next(s["given"] for s in states if s["purpose"] == "play_data")
    assert now is (rows[0]["given"] if rows else False)


async def test_a_diagnosis_is_recorded_put_right_and_deleted(
    treated: tuple[Api, Api, str], settings: Settings
) -> None:
    mother, therapist, path = treated
    assert await mother.refused("POST", f"{path}/diagnoses", CP) == "forbidden"
    note = "왼손 집기가 어렵다"
    one = await therapist.ok("POST", f"{path}/diagnoses", {**CP, "note": note})
    assert (one["note"], one["valid"], one["author"]) == (note, True, therapist.id)
    assert (await mother.ok("GET", path))["diagnosedHand"] == "left"
    assert settings.mongo_url is not None
    mongo = Mongo(settings.mongo_url.get_secret_value(), settings.store.mongo_database)
    stored = await mongo.database["diagnoses"].find_one({"_id": one["id"]})
    await mongo.close()
    assert note not in str(stored)

    right = {**CP, "affectedHand": "right", "supersedes": one["id"]}
    two = await therapist.ok("POST", f"{path}/diagnoses", right)
    assert await therapist.refused("POST", f"{path}/diagnoses", right) == "conflict"
    assert (await mother.ok("GET", path))["diagnosedHand"] == "right"
    older = {**CP, "diagnosedOn": "2018-06-01", "affectedHand": "both"}
    three = await therapist.ok("POST", f"{path}/diagnoses", older)
    assert (await mother.ok("GET", path))["diagnosedHand"] == "right", "the newest counts"

    listed = (await mother.ok("GET", f"{path}/diagnoses"))["items"]
    assert [(d["id"], d["valid"]) for d in listed] == [
        (two["id"], True), (one["id"], False), (three["id"], True),
    ]  # fmt: skip
    pages: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await mother.ok("GET", f"{path}/diagnoses?limit=1{cursor}")
        pages += [d["id"] for d in page["items"]]
        cursor = page["nextCursor"] and f"&cursor={page['nextCursor']}"
    assert pages == [d["id"] for d in listed]

    delete = f"{path}/diagnoses/{two['id']}"
    assert await therapist.refused("DELETE", delete) == "invalid", "why?"
    for _ in range(2):
        gone = await therapist.ok("DELETE", f"{delete}?why=wrong%20child")
        assert (gone["valid"], gone["deleteReason"]) == (False, "wrong child")
    assert (await mother.ok("GET", path))["diagnosedHand"] == "both"
    old = f"{path}/diagnoses/{one['id']}?why=because"
    assert await therapist.refused("DELETE", old) == "conflict"
    assert await therapist.refused("DELETE", f"{path}/diagnoses/dx_x?why=because") == "not_found"


@pytest.mark.parametrize("day", ["2018-03-03", "2999-01-01"])
async def test_a_diagnosis_lies_between_birth_and_today(
    treated: tuple[Api, Api, str], day: str
) -> None:
    mother, therapist, path = treated
    wrong = {**CP, "diagnosedOn": day}
    assert await therapist.refused("POST", f"{path}/diagnoses", wrong) == "invalid"
    await therapist.ok("POST", f"{path}/diagnoses", {**CP, "diagnosedOn": "2018-03-04"})
    assert await mother.refused("PATCH", path, {"birthDate": "2018-03-05"}) == "conflict"
    await mother.ok("PATCH", path, {"birthDate": "2018-03-03"})


async def test_one_record_is_put_right_once(treated: tuple[Api, Api, str]) -> None:
    mother, therapist, path = treated
    one = await therapist.ok("POST", f"{path}/diagnoses", CP)
    right = {**CP, "supersedes": one["id"]}
    outcomes = await asyncio.gather(
        *(therapist.ask("POST", f"{path}/diagnoses", right) for _ in range(6))
    )
    assert sorted(status for status, _ in outcomes) == [201] + [409] * 5
    assert len((await mother.ok("GET", f"{path}/diagnoses"))["items"]) == 2


async def test_a_grade_changes_with_its_history(treated: tuple[Api, Api, str]) -> None:
    mother, therapist, path = treated
    assert await mother.refused("PUT", f"{path}/grade", {"grade": 3, "why": "x" * 3}) == "forbidden"
    for grade in (3, 3, 2, 5):
        body = {"grade": grade, "why": f"도달 {grade}"}
        assert (await therapist.ok("PUT", f"{path}/grade", body))["grade"] == grade
    assert await therapist.refused("PUT", f"{path}/grade", {"grade": 6, "why": "more"}) == "invalid"
    assert (await mother.ok("GET", path))["grade"] == {
        "value": 5, "labelKo": "열매", "labelEn": "Fruit",
    }  # fmt: skip
    first = await mother.ok("GET", f"{path}/grades?limit=2")
    rest = await mother.ok("GET", f"{path}/grades?limit=2&cursor={first['nextCursor']}")
    rows = [*first["items"], *rest["items"]]
    assert [(r["before"], r["after"]) for r in rows] == [(2, 5), (3, 2), (1, 3)]
    assert {(r["source"], r["by"]) for r in rows} == {("therapist", therapist.id)}


async def test_grades_set_at_once_make_one_history(treated: tuple[Api, Api, str]) -> None:
    mother, therapist, path = treated
    outcomes = await asyncio.gather(
        *(
            therapist.ask("PUT", f"{path}/grade", {"grade": grade, "why": "at once"})
            for grade in (2, 3, 4, 5)
        )
    )
    assert {status for status, _ in outcomes} <= {200, 409}
    rows = (await mother.ok("GET", f"{path}/grades"))["items"]
    befores, afters = [r["before"] for r in rows], [r["after"] for r in rows]
    assert befores == [*afters[1:], 1]
    assert (await mother.ok("GET", path))["grade"]["value"] == afters[0]


async def test_a_child_is_in_one_trial_at_a_time(
    people: People, treated: tuple[Api, Api, str]
) -> None:
    mother, therapist, path = treated
    admin = people.admin()
    clinic = await admin.ok("POST", "/clinics", {"name": "의원", "kind": "clinic"})
    site = await admin.ok("POST", "/clinics", {"name": "아산", "kind": "trial_site"})
    trial = {
        "trial": "asan-2026", "site": site["id"], "arm": "B", "subjectNo": "A-017",
        "protocolVersion": "1.2",
    }  # fmt: skip
    assert await mother.refused("POST", f"{path}/trials", trial) == "forbidden"
    wrong = {**trial, "site": clinic["id"]}
    assert await admin.refused("POST", f"{path}/trials", wrong) == "invalid"
    wrong = {**trial, "site": "cl_x"}
    assert await admin.refused("POST", f"{path}/trials", wrong) == "not_found"
    wrong = {**trial, "validFrom": "2026-02-01T00:00:00Z", "validTo": "2026-01-01T00:00:00Z"}
    assert await admin.refused("POST", f"{path}/trials", wrong) == "invalid"
    outcomes = await asyncio.gather(*(admin.ask("POST", f"{path}/trials", trial) for _ in range(5)))
    assert sorted(status for status, _ in outcomes) == [201] + [409] * 4

    for one, arm in ((mother, None), (therapist, None), (admin, "B")):
        (shown,) = (await one.ok("GET", f"{path}/attributes"))["items"]
        assert (shown["type"], shown["holds"]) == ("CLINICAL_TRIAL", True)
        assert (shown["value"]["subjectNo"], shown["value"]["arm"]) == ("A-017", arm)
    close = f"{path}/attributes/{shown['id']}?why=withdrew"
    for _ in range(2):
        closed = await admin.ok("DELETE", close)
        assert (closed["holds"], closed["closeReason"]) == (False, "withdrew")
    assert await admin.refused("DELETE", f"{path}/attributes/at_x?why=withdrew") == "not_found"

    over = {**trial, "validFrom": "2020-01-01T00:00:00Z", "validTo": "2021-01-01T00:00:00+09:00"}
    await admin.ok("POST", f"{path}/trials", over)
    await admin.ok("POST", f"{path}/trials", trial)  # what is over is in nobody's way
    held = [a["holds"] for a in (await mother.ok("GET", f"{path}/attributes"))["items"]]
    assert sorted(held) == [False, False, True]
