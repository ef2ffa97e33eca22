"""Care over REST: invitations, who sees what, the end of it, and what stands in the log."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from config.settings import Settings
from models.audit.verify import verify
from models.db import Mongo
from server.keyring import field_cipher
from server.parts.families import audit_repo
from tests.flows.api import Api, People, people_of
from tests.serving import Served


@pytest.fixture
async def people(served: Served) -> AsyncIterator[People]:
    async with people_of(served) as people:
        yield people


@pytest.fixture
async def mongo(settings: Settings) -> AsyncIterator[Mongo]:
    assert settings.mongo_url is not None
    mongo = Mongo(settings.mongo_url.get_secret_value(), settings.store.mongo_database)
    yield mongo
    await mongo.close()


async def family(people: People) -> tuple[Api, str]:
    """Return a guardian and the child whose viewing they consent to."""
    mother = people.guardian()
    child_id = await mother.add_child()
    await mother.consent(child_id, "therapist_viewing")
    return mother, child_id


async def test_a_therapist_sees_a_child_from_the_acceptance_to_the_end(people: People) -> None:
    mother, child_id = await family(people)
    therapist, path = people.therapist(), f"/children/{child_id}"
    invited = await mother.ok("POST", f"{path}/care", {"days": 30})
    assert invited["link"] == f"gemgem://care/{invited['code']}"
    assert await therapist.refused("GET", path) == "not_found", "invited is not accepted"
    done = await therapist.ok("POST", "/care/accept", {"code": invited["code"]})
    assert (done["status"], done["therapistId"], done["careDays"]) == ("active", therapist.id, 30)
    assert (await therapist.ok("GET", path))["name"] == "김지우"
    assert [c["id"] for c in (await therapist.ok("GET", "/children"))["items"]] == [child_id]

    assert await therapist.ask("DELETE", f"/care/{done['id']}") == (204, None)
    assert await therapist.ask("DELETE", f"/care/{done['id']}") == (204, None)
    assert await therapist.refused("GET", path) == "not_found"
    assert (await therapist.ok("GET", "/children"))["items"] == []
    listed = (await mother.ok("GET", f"{path}/care"))["items"]
    assert [(a["status"], a["endReason"]) for a in listed] == [("ended", "withdrawn_by_therapist")]


async def test_care_without_consent_shows_nothing(people: People) -> None:
    mother, therapist = people.guardian(), people.therapist()
    child_id = await mother.add_child()
    await mother.take_into_care(child_id, therapist)
    path = f"/children/{child_id}"
    assert await therapist.refused("GET", path) == "not_found"
    await mother.consent(child_id, "therapist_viewing")
    await therapist.ok("GET", path)
    await mother.consent(child_id, "therapist_viewing", given=False)
    assert await therapist.refused("GET", path) == "not_found"
    assert (await therapist.ok("GET", "/children"))["items"] == []


async def test_the_guardian_ends_care_and_withdraws_an_invitation(people: People) -> None:
    mother, child_id = await family(people)
    one, two = people.therapist(), people.therapist()
    active = await mother.take_into_care(child_id, one)
    invited = await mother.ok("POST", f"/children/{child_id}/care", {})
    for assignment in (active, invited["assignment"]["id"]):
        for _ in range(2):
            path = f"/children/{child_id}/care/{assignment}"
            assert await mother.ask("DELETE", path) == (204, None)
    assert await one.refused("GET", f"/children/{child_id}") == "not_found"
    body = {"code": invited["code"]}
    assert await two.refused("POST", "/care/accept", body) == "not_found"
    other, other_child = await family(people)
    path = f"/children/{other_child}/care/{active}"
    assert await other.refused("DELETE", path) == "not_found", "of another family"
    assert await two.refused("DELETE", f"/care/{active}") == "not_found", "of another therapist"


async def test_many_accept_one_invitation_and_one_wins(people: People) -> None:
    mother, child_id = await family(people)
    code = (await mother.ok("POST", f"/children/{child_id}/care", {}))["code"]
    asking = [people.therapist() for _ in range(10)]
    outcomes = await asyncio.gather(
        *(one.ask("POST", "/care/accept", {"code": code}) for one in asking for _ in range(2))
    )
    won = [n for n, (status, _) in enumerate(outcomes) if status == 200]
    assert won
    assert len({n // 2 for n in won}) == 1, "the winner may ask twice, nobody else got in"
    seen = [(await one.ask("GET", f"/children/{child_id}"))[0] for one in asking]
    assert sorted(seen) == [200] + [404] * 9


async def test_one_therapist_has_a_child_once(people: People) -> None:
    mother, child_id = await family(people)
    therapist = people.therapist()
    codes = [(await mother.ok("POST", f"/children/{child_id}/care", {}))["code"] for _ in range(6)]
    outcomes = await asyncio.gather(
        *(therapist.ask("POST", "/care/accept", {"code": code}) for code in codes)
    )
    assert sorted(status for status, _ in outcomes) == [200] + [409] * 5


async def test_time_ends_care_and_invitations(people: People, mongo: Mongo) -> None:
    mother, child_id = await family(people)
    therapist = people.therapist()
    assignment = await mother.take_into_care(child_id, therapist)
    invited = await mother.ok("POST", f"/children/{child_id}/care", {})
    past = timedelta(days=400)
    rows = mongo.database["care_assignments"]
    row = await rows.find_one({"_id": assignment})
    await rows.update_one({"_id": assignment}, {"$set": {"until": row["until"] - past}})
    await mongo.database["children"].update_one(
        {"_id": child_id}, {"$set": {"care.0.until": row["until"] - past}}
    )
    await rows.update_one(
        {"_id": invited["assignment"]["id"]}, {"$set": {"invite_until": row["until"] - past}}
    )
    assert await therapist.refused("GET", f"/children/{child_id}") == "not_found"
    assert (await therapist.ok("GET", "/children"))["items"] == []
    listed = (await mother.ok("GET", f"/children/{child_id}/care"))["items"]
    assert {(a["status"], a["endReason"]) for a in listed} == {("ended", "expired")}
    body = {"code": invited["code"]}
    assert await people.therapist().refused("POST", "/care/accept", body) == "not_found"
    # What is over is in nobody's way.
    await mother.take_into_care(child_id, therapist)
    await therapist.ok("GET", f"/children/{child_id}")


async def test_a_clinic_gives_care_by_all_its_therapists(people: People) -> None:
    admin, (mother, child_id) = people.admin(), await family(people)
    clinic = await admin.ok("POST", "/clinics", {"name": "아산 재활의학과", "kind": "clinic"})
    one, two, stranger = people.therapist(), people.therapist(), people.therapist()
    for therapist in (one, two):
        await admin.ok("PUT", f"/clinics/{clinic['id']}/therapists/{therapist.id}")
    shown = (await mother.ok("GET", "/clinics"))["items"]
    assert [(c["name"], c["therapists"]) for c in shown] == [("아산 재활의학과", None)]

    code = (await mother.ok("POST", f"/children/{child_id}/care", {"clinicId": clinic["id"]}))[
        "code"
    ]
    assert await stranger.refused("POST", "/care/accept", {"code": code}) == "not_found"
    done = await one.ok("POST", "/care/accept", {"code": code})
    assert (done["clinicId"], done["therapistId"], done["acceptedBy"]) == (
        clinic["id"],
        None,
        one.id,
    )
    for therapist in (one, two):
        await therapist.ok("GET", f"/children/{child_id}")
        assert len((await therapist.ok("GET", "/children"))["items"]) == 1
    assert await two.refused("DELETE", f"/care/{done['id']}") == "not_found", "for one alone"

    left = await admin.ok("DELETE", f"/clinics/{clinic['id']}/therapists/{two.id}")
    assert left["therapists"] == [one.id]
    assert await two.refused("GET", f"/children/{child_id}") == "not_found"
    await one.ok("GET", f"/children/{child_id}")
    assert (
        await mother.refused("POST", f"/children/{child_id}/care", {"clinicId": "cl_x"})
        == "not_found"
    )
    assert await admin.refused("PUT", f"/clinics/cl_x/therapists/{two.id}") == "not_found"


async def test_the_family_reads_who_looked(
    people: People, mongo: Mongo, settings: Settings
) -> None:
    mother, child_id = await family(people)
    therapist, admin, path = people.therapist(), people.admin(), f"/children/{child_id}"
    await mother.take_into_care(child_id, therapist)
    await mother.ok("GET", path)
    await therapist.ok("GET", path)
    await therapist.ok("GET", "/children")
    await therapist.ok("GET", f"{path}/results")
    await admin.ok("GET", path)
    assert await people.therapist().refused("GET", path) == "not_found"
    first = await mother.ok("GET", f"{path}/looks?limit=3")
    rest = await mother.ok("GET", f"{path}/looks?limit=3&cursor={first['nextCursor']}")
    looks = [
        (x["userId"], x["role"], x["action"], x["reason"]) for x in first["items"] + rest["items"]
    ]
    assert looks == [
        (admin.id, "admin", "GET /v1/children/{childId}", "a test looks"),
        (therapist.id, "therapist", "GET /v1/children/{childId}/results", None),
        (therapist.id, "therapist", "GET /v1/children", None),
        (therapist.id, "therapist", "GET /v1/children/{childId}", None),
    ]
    assert await therapist.refused("GET", f"{path}/looks") == "forbidden"
    verdict = await verify(audit_repo(mongo, field_cipher(settings)))
    assert (verdict.entries, verdict.faults) == (4, [])


async def test_an_admin_gives_a_reason(people: People) -> None:
    _, child_id = await family(people)
    admin = people.admin()
    path = f"/children/{child_id}"
    await admin.ok("GET", path)
    assert await people.one("admin", admin.id).ask("GET", path, **{"X-Reason": ""}) == (
        400,
        "invalid",
    )


async def test_a_look_that_cannot_be_written_down_is_refused(people: People, mongo: Mongo) -> None:
    mother, child_id = await family(people)
    therapist, path = people.therapist(), f"/children/{child_id}"
    await mother.take_into_care(child_id, therapist)
    await mongo.database["access_log_heads"].delete_many({})
    for one in (therapist, people.admin()):
        assert await one.ask("GET", path) == (503, "busy")
    await mother.ok("GET", path)


async def test_nobody_of_another_family_reaches_anything(people: People) -> None:
    """Every route of a child, by everybody who has a role but no right."""
    mother, child_id = await family(people)
    assignment = await mother.take_into_care(child_id, people.therapist())
    invite = await mother.ok("POST", f"/children/{child_id}/guardian-invites")
    other = people.guardian()
    await other.add_child()
    path = f"/children/{child_id}"
    asked: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("PATCH", path, {"sex": "male"}),
        ("DELETE", path, None),
        ("GET", f"{path}/guardians", None),
        ("POST", f"{path}/guardian-invites", None),
        ("DELETE", f"{path}/guardian-invites/{invite['id']}", None),
        ("DELETE", f"{path}/guardians/{mother.id}", None),
        ("GET", f"{path}/looks", None),
        ("GET", f"{path}/consents", None),
        ("GET", f"{path}/consent-history", None),
        ("PUT", f"{path}/consents/play_data", {"given": False, "locale": "ko"}),
        ("POST", f"{path}/care", {}),
        ("GET", f"{path}/care", None),
        ("DELETE", f"{path}/care/{assignment}", None),
        ("GET", f"{path}/diagnoses", None),
        ("GET", f"{path}/grades", None),
        ("GET", f"{path}/attributes", None),
        ("GET", f"{path}/results", None),
    ]
    for method, where, body in asked:
        assert await other.ask(method, where, body) == (404, "not_found"), (method, where)
        unknown = where.replace(child_id, "c_nobody")
        assert await other.ask(method, unknown, body) == (404, "not_found")
    stranger = people.therapist()
    diagnosis = {
        "system": "icd10", "code": "G80.2", "label": "x", "affectedHand": "left",
        "diagnosedOn": "2020-01-01",
    }  # fmt: skip
    for method, where, body in (
        ("GET", path, None),
        ("GET", f"{path}/diagnoses", None),
        ("POST", f"{path}/diagnoses", diagnosis),
        ("DELETE", f"{path}/diagnoses/dx_1?why=because", None),
        ("PUT", f"{path}/grade", {"grade": 2, "why": "because"}),
        ("GET", f"{path}/results", None),
    ):
        assert await stranger.ask(method, where, body) == (404, "not_found"), (method, where)
    assert (await mother.ok("GET", f"{path}/looks"))["items"] == []
