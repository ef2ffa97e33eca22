"""Leaving the product over REST: asked for, undone, carried to its end, and its receipt."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest
import redis as redis_sync

from config.settings import Settings
from server.lifespan import PARTS
from tests.flows.api import CHILD
from tests.flows.client import START, connected
from tests.flows.people import Answer, Person, Town, town

Admin = pymongo.MongoClient[dict[str, object]]
DAWN = datetime(2020, 1, 1, tzinfo=UTC)
SOON = {"undo_hours": 0, "look_seconds": 0.05}


@pytest.fixture
async def here(settings: Settings, tmp_path: Path) -> AsyncIterator[Town]:
    """Run a server that erases at once."""
    async with town(settings, tmp_path, withdrawal=SOON) as running:
        await running.served.app[PARTS].background.indexes.made.wait()
        yield running


@pytest.fixture
async def patient(settings: Settings, tmp_path: Path) -> AsyncIterator[Town]:
    """Run a server that waits a week before it erases."""
    async with town(settings, tmp_path, withdrawal={"look_seconds": 0.05}) as running:
        await running.served.app[PARTS].background.indexes.made.wait()
        yield running


async def receipt_of(here: Town, withdrawal: Answer) -> Answer:
    """Read a receipt, as somebody without an account."""
    return await here.person().call(
        "GET",
        f"/v1/withdrawals/{withdrawal['receipt']['id']}",
        headers={"X-Receipt-Key": withdrawal["receiptKey"]},
    )


async def the_end(here: Town, withdrawal: Answer) -> Answer:
    """Wait until a withdrawal is at its end, and return its receipt."""
    async with asyncio.timeout(15):
        while (found := await receipt_of(here, withdrawal))["state"] != "withdrawn":
            await asyncio.sleep(0.05)
    return found


async def consented(person: Person, child_id: str, *purposes: str) -> None:
    """Give consents for a child."""
    for purpose in purposes:
        body = {"given": True, "locale": "ko", "version": 1}
        answer = await person.call("PUT", f"/v1/children/{child_id}/consents/{purpose}", body)
        assert answer.status < 300, answer.body


async def verified(here: Town, person: Person, email: str) -> None:
    """Verify the e-mail of a sign-up."""
    body = {"code": await here.mail.code(email)}
    answer = await person.call("POST", "/v1/me/email/confirmation", body)
    assert answer.status < 300, answer.body


def everything(admin: Admin, database: str) -> dict[str, list[Any]]:
    """Return all documents of the database, but the access log."""
    found = admin[database]
    names = set(found.list_collection_names()) - {"access_log", "access_log_heads"}
    return {name: list(found[name].find({})) for name in sorted(names)}


async def test_who_withdraws_is_signed_out_and_may_come_back(patient: Town) -> None:
    person = patient.person()
    person.keep(await person.sign_up("jiu@example.com"))
    tablet = patient.person("device-0002")
    tablet.keep(await tablet.sign_in("jiu@example.com"))
    asked = await person.call("POST", "/v1/me/withdrawal")
    assert asked.status == 202, asked.body
    assert asked["receipt"]["state"] == "withdrawing"
    for one in (person, tablet):
        assert (await one.me()).status == 401
        assert (await one.refresh()).status == 401
    assert (await receipt_of(patient, asked))["state"] == "withdrawing"

    back = person.keep(await person.sign_in("jiu@example.com"))
    assert (await back.me())["status"] == "withdrawing"
    again = await back.call("POST", "/v1/me/withdrawal")
    assert again["receipt"]["id"] == asked["receipt"]["id"], "the same one"
    assert again["receiptKey"] == asked["receiptKey"]
    assert (await back.call("DELETE", "/v1/me/withdrawal")).status == 204
    assert (await back.call("DELETE", "/v1/me/withdrawal")).status == 204
    assert (await back.me())["status"] == "active"
    assert (await receipt_of(patient, asked))["state"] == "undone"
    fresh = await back.call("POST", "/v1/me/withdrawal")
    assert fresh["receipt"]["id"] != asked["receipt"]["id"]


async def test_many_requests_at_once_are_one_withdrawal(
    patient: Town, mongo_admin: Admin, mongo_database: str
) -> None:
    person = patient.person()
    person.keep(await person.sign_up("jiu@example.com"))
    answers = await asyncio.gather(*(person.call("POST", "/v1/me/withdrawal") for _ in range(8)))
    # Some come after the sign-in has ended; whoever is let in is told of the same one.
    assert {answer.status for answer in answers} <= {202, 401}
    assert len({a["receipt"]["id"] for a in answers if a.status == 202}) == 1
    assert mongo_admin[mongo_database]["withdrawals"].count_documents({}) == 1


async def test_a_receipt_needs_its_key(patient: Town) -> None:
    person = patient.person()
    person.keep(await person.sign_up("jiu@example.com"))
    asked = await person.call("POST", "/v1/me/withdrawal")
    path = f"/v1/withdrawals/{asked['receipt']['id']}"
    stranger = patient.person()
    wrong = {"X-Receipt-Key": "0" * 64}
    assert (await stranger.call("GET", path, headers=wrong)).status == 404
    assert (await stranger.call("GET", path)).status == 400
    assert (await stranger.call("GET", "/v1/withdrawals/w_1", headers=wrong)).status == 404


async def test_everything_goes_but_what_is_anothers(
    here: Town, mongo_admin: Admin, mongo_database: str, redis_url: str, redis_prefix: str
) -> None:
    mother, father = here.person(), here.person("device-0002")
    mother_id = (
        mother.keep(await mother.sign_up("mother@example.com")) and (await mother.me())["id"]
    )
    father.keep(await father.sign_up("father@example.com"))
    await verified(here, mother, "mother@example.com")
    shared = (await mother.call("POST", "/v1/children", {**CHILD, "name": "김하준"}))["id"]
    own = (await mother.call("POST", "/v1/children", CHILD))["id"]
    await consented(mother, own, "play_data")
    await consented(mother, shared, "play_data")
    code = (await mother.call("POST", f"/v1/children/{shared}/guardian-invites"))["code"]
    assert (await father.call("POST", "/v1/guardian-invites/accept", {"code": code})).status < 300

    async with (
        connected(here.served.url, "/game", mother.access) as game,
        connected(here.served.url, "/game", mother.access) as other,
    ):
        played = (await game.open(own))["session_id"]
        await other.open(shared)
        await game.ok("set:start", 0, {**START, "set_no": 1})
        asked = await mother.call("POST", "/v1/me/withdrawal")
        assert asked.status == 202, asked.body
        await game.until("revoked")
    receipt = await the_end(here, asked)

    left = str(everything(mongo_admin, mongo_database))
    for gone in (mother_id, own, "mother@example.com", played):
        assert gone not in left, gone
    with redis_sync.Redis.from_url(redis_url) as redis:
        names = b" ".join(redis.scan_iter(match=f"{redis_prefix}*"))
        assert mother_id.encode() not in names
        assert own.encode() not in names

    counts = {step["step"]: step["counts"] for step in receipt["steps"]}
    assert all(step["done"] for step in receipt["steps"])
    assert counts["care"] == {"children_left": 1, "children_removed": 1}
    assert counts["play"]["sessions"] == 1
    assert counts["account"]["users"] == 1
    assert {one["what"] for one in receipt["remains"]} >= {"access_log", "tombstones"}
    assert all(one["ko"] and one["en"] for one in receipt["remains"])

    listed = await father.call("GET", "/v1/children")
    assert [child["id"] for child in listed["items"]] == [shared], "it stays with its father"
    assert (await mother.sign_in("mother@example.com")).status == 401
    token = here.vouchers.token("google", email="mother@example.com", email_verified=True)
    again = await mother.another("device-0003").social("google", idToken=token)
    assert again["created"], "a tombstone keeps nobody out"
    tombstones = mongo_admin[mongo_database]["tombstones"]
    assert tombstones.count_documents({}) == 1, "of the e-mail"
    users = mongo_admin[mongo_database]["users"]
    assert (users.find_one({"_id": again["userId"]}) or {})["returning"], "what is given once"


@pytest.mark.parametrize(
    ("locale", "asked", "undone"),
    [
        ("ko", "탈퇴 신청이 접수되었습니다", "탈퇴가 취소되었습니다"),
        ("en", "You asked to leave", "Your account stays"),
    ],
)
async def test_who_leaves_and_who_stays_is_written_once(
    patient: Town, locale: str, asked: str, undone: str
) -> None:
    email = "jiu@example.com"
    person = patient.person()
    person.keep(await person.sign_up(email, locale=locale))
    await verified(patient, person, email)
    withdrawn = await person.call("POST", "/v1/me/withdrawal")
    text = await patient.mail.text(email, 2)
    erase_at = datetime.fromisoformat(withdrawn["receipt"]["eraseAt"])
    there = erase_at + timedelta(hours=9)  # Korea has kept no summer time since 1988
    assert f"{there:%Y-%m-%d %H:%M} (Asia/Seoul)" in text
    person.keep(await person.sign_in(email))
    assert (await person.call("POST", "/v1/me/withdrawal")).status == 202
    for _ in range(2):
        assert (await person.call("DELETE", "/v1/me/withdrawal")).status == 204
    await patient.mail.text(email, 3)
    assert [message["Subject"] for _, message in patient.mail.taken[1:]] == [asked, undone]


@pytest.mark.parametrize(
    ("locale", "subject"), [("ko", "계정이 삭제되었습니다"), ("en", "Your account is erased")]
)
async def test_the_last_mail_tells_of_the_end_and_then_the_address_is_gone(
    here: Town, mongo_admin: Admin, mongo_database: str, locale: str, subject: str
) -> None:
    email = "jiu@example.com"
    person = here.person()
    person.keep(await person.sign_up(email, locale=locale))
    await verified(here, person, email)
    receipt = await the_end(here, await person.call("POST", "/v1/me/withdrawal"))
    rows = mongo_admin[mongo_database]["outbox"]
    async with asyncio.timeout(10):
        while rows.count_documents({"payload": {"$exists": True}}):
            await asyncio.sleep(0.02)
    [last] = [m for _, m in here.mail.taken if m["Subject"] == subject]
    assert receipt["id"] in str(last.get_content())
    [kept] = mongo_admin[mongo_database]["withdrawals"].find({})
    assert "mail_to" not in kept
    assert rows.count_documents({"about": {"$exists": True}}) == 0


async def test_what_cannot_be_opened_keeps_nobody_from_being_erased(
    patient: Town, mongo_admin: Admin, mongo_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    person = patient.person()
    person.keep(await person.sign_up("jiu@example.com"))
    asked = await person.call("POST", "/v1/me/withdrawal")
    rows = mongo_admin[mongo_database]["withdrawals"]
    soon = {"mail_to": "s1.gone.AAAA", "erase_at": DAWN, "next_at": DAWN}
    rows.update_one({}, {"$set": soon})
    await the_end(patient, asked)
    assert "its end is not told" in caplog.text


@pytest.mark.parametrize("proof", ["sign-up", "link", "number", "nothing"])
async def test_who_comes_back_is_known_for_what_is_given_once(
    here: Town, mongo_admin: Admin, mongo_database: str, redis_url: str, redis_prefix: str,
    proof: str,
) -> None:  # fmt: skip
    users, number = mongo_admin[mongo_database]["users"], "+821012345678"

    async def signed_up(device: str, subject: str) -> tuple[Person, str]:
        person = here.person(device)
        answer = await person.social("google", idToken=here.vouchers.token("google", subject))
        return person.keep(answer), answer["userId"]

    async def numbered(person: Person) -> None:
        with redis_sync.Redis.from_url(redis_url) as redis:
            for key in redis.scan_iter(match=f"{redis_prefix}:{{sends}}:*"):
                redis.delete(key)  # one code a minute goes to a number
        await person.call("POST", "/v1/me/phone/code", {"number": number})
        body = {"number": number, "code": here.messengers.code_to("01012345678")}
        assert (await person.call("PUT", "/v1/me/phone", body)).status < 300

    first, _ = await signed_up("device-0001", "g-1")
    await numbered(first)
    await the_end(here, await first.call("POST", "/v1/me/withdrawal"))
    if proof == "sign-up":
        _, user_id = await signed_up("device-0002", "g-1")
    else:
        token = here.vouchers.token("kakao", "4711")
        person = here.person("device-0002")
        answer = await person.social("kakao", idToken=token)
        person.keep(answer)
        user_id = answer["userId"]
        assert "returning" not in (users.find_one({"_id": user_id}) or {})
        if proof == "link":
            body = {"idToken": here.vouchers.token("google", "g-1")}
            assert (await person.call("PUT", "/v1/me/methods/google", body)).status < 300
        if proof == "number":
            await numbered(person)
    found = users.find_one({"_id": user_id})
    assert (found or {}).get("returning", False) is (proof != "nothing")
    tombstones = mongo_admin[mongo_database]["tombstones"]
    tombstones.update_many({}, {"$set": {"until": DAWN}})
    _, fresh = await signed_up("device-0003", "g-1" if proof != "link" else "g-2")
    again = users.find_one({"_id": fresh}) or {}
    assert again.get("returning", False) is (proof == "sign-up"), "their time is over"


async def test_nobody_is_written_at_an_address_they_never_proved(here: Town) -> None:
    person = here.person()
    person.keep(await person.sign_up("jiu@example.com"))
    await the_end(here, await person.call("POST", "/v1/me/withdrawal"))
    other = here.person("device-0002")
    other.keep(await other.sign_up("seoyeon@example.com"))
    await here.mail.text("seoyeon@example.com")
    assert [to for to, _ in here.mail.taken].count("jiu@example.com") <= 1, "the code alone"


@pytest.mark.parametrize("provider", ["apple", "kakao"])
async def test_providers_are_told(here: Town, provider: str) -> None:
    person = here.person()
    here.vouchers.codes = {"code-1": "refresh-1"}
    proof = {"code": "code-1"} if provider == "apple" else {}
    token = here.vouchers.token(provider, "4711")
    person.keep(await person.social(provider, idToken=token, **proof))
    receipt = await the_end(here, await person.call("POST", "/v1/me/withdrawal"))
    assert receipt["outside"] == [{"provider": provider, "state": "done"}]
    told = here.vouchers.revoked if provider == "apple" else here.vouchers.unlinked
    assert told == ["refresh-1" if provider == "apple" else "4711"]


async def test_who_is_not_linked_any_more_is_unlinked(here: Town) -> None:
    person = here.person()
    here.vouchers.strangers = {"4711"}
    person.keep(await person.social("kakao", idToken=here.vouchers.token("kakao", "4711")))
    receipt = await the_end(here, await person.call("POST", "/v1/me/withdrawal"))
    assert receipt["outside"] == [{"provider": "kakao", "state": "done"}]


async def test_an_apple_account_without_a_token_is_to_be_disconnected_by_hand(here: Town) -> None:
    person = here.person()
    person.keep(await person.social("apple", idToken=here.vouchers.token("apple", "a-1")))
    receipt = await the_end(here, await person.call("POST", "/v1/me/withdrawal"))
    assert receipt["outside"] == [{"provider": "apple", "state": "by_hand"}]


async def test_a_provider_that_is_away_does_not_keep_us_from_erasing(
    here: Town, mongo_admin: Admin, mongo_database: str
) -> None:
    person = here.person()
    person.keep(await person.social("kakao", idToken=here.vouchers.token("kakao", "4711")))
    here.vouchers.status = 400
    receipt = await the_end(here, await person.call("POST", "/v1/me/withdrawal"))
    assert receipt["outside"] == [{"provider": "kakao", "state": "pending"}]
    rows = mongo_admin[mongo_database]["withdrawals"]
    (row,) = rows.find({})
    assert "4711" not in str(row), "what is told later is sealed"
    here.vouchers.status = 200
    rows.update_one({}, {"$set": {"next_at": row["at"], "outside.kakao.next_at": row["at"]}})
    async with asyncio.timeout(10):
        while not here.vouchers.unlinked:
            await asyncio.sleep(0.05)
        while "sealed" in str(rows.find_one({})):
            await asyncio.sleep(0.05)
    assert here.vouchers.unlinked == ["4711"]


async def test_what_research_was_agreed_to_stays_under_a_pseudonym(
    here: Town, mongo_admin: Admin, mongo_database: str
) -> None:
    person = here.person()
    signed = await person.sign_up("jiu@example.com")
    person.keep(signed)
    child_id = (await person.call("POST", "/v1/children", {**CHILD, "alias": "번개"}))["id"]
    await consented(person, child_id, "play_data", "research")
    async with connected(here.served.url, "/game", person.access) as game:
        session_id = (await game.open(child_id))["session_id"]
        await game.ok("set:start", 0, {**START, "set_no": 1})
        await game.ok("session:close", 1, {"reason": "done", "note": "손이 아프대요"})
    receipt = await the_end(here, await person.call("POST", "/v1/me/withdrawal"))
    counts = {step["step"]: step["counts"] for step in receipt["steps"]}
    assert counts["play"] == {"pseudonymised": 1}
    left = everything(mongo_admin, mongo_database)
    assert [session["_id"] for session in left["sessions"]] == [session_id]
    assert left["therapy_results"]
    for one in (child_id, signed["userId"], "번개", "손이 아프대요", "resume_sha256"):
        assert one not in str(left), one


async def test_a_therapist_who_leaves_ends_the_care_they_gave(
    here: Town, mongo_admin: Admin, mongo_database: str
) -> None:
    mother, therapist = here.person(), here.person("device-0002")
    mother.keep(await mother.sign_up("mother@example.com"))
    signed = await therapist.sign_up("therapist@example.com")
    users = mongo_admin[mongo_database]["users"]
    users.update_one({"_id": signed["userId"]}, {"$set": {"roles": ["therapist"]}})
    therapist.keep(await therapist.sign_in("therapist@example.com"))
    child_id = (await mother.call("POST", "/v1/children", CHILD))["id"]
    await consented(mother, child_id, "therapist_viewing")
    code = (await mother.call("POST", f"/v1/children/{child_id}/care", {}))["code"]
    accepted = await therapist.call("POST", "/v1/care/accept", {"code": code})
    assert accepted.status == 200, accepted.body
    receipt = await the_end(here, await therapist.call("POST", "/v1/me/withdrawal"))
    counts = {step["step"]: step["counts"] for step in receipt["steps"]}
    assert counts["care"] == {"care": 1}
    (care,) = mongo_admin[mongo_database]["care_assignments"].find({})
    assert (care["status"], care["end_reason"]) == ("ended", "person_left")
    assert signed["userId"] not in str(everything(mongo_admin, mongo_database))
    assert (await mother.call("GET", f"/v1/children/{child_id}")).status == 200


async def test_a_provider_that_never_takes_it_is_reported(
    settings: Settings, tmp_path: Path, mongo_admin: Admin, mongo_database: str
) -> None:
    async with town(settings, tmp_path, withdrawal={**SOON, "outside_attempts": 1}) as here:
        await here.served.app[PARTS].background.indexes.made.wait()
        person = here.person()
        person.keep(await person.social("kakao", idToken=here.vouchers.token("kakao", "4711")))
        here.vouchers.status = 400
        receipt = await the_end(here, await person.call("POST", "/v1/me/withdrawal"))
    assert receipt["outside"] == [{"provider": "kakao", "state": "failed"}]
    (row,) = mongo_admin[mongo_database]["withdrawals"].find({})
    assert "sealed" not in str(row)
    assert "next_at" not in row, "nobody looks at it again"


async def test_a_step_that_fails_is_tried_again_and_told_of(
    here: Town, mongo_admin: Admin, mongo_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = here.person()
    signed = await person.sign_up("jiu@example.com")
    person.keep(signed)
    told: list[str] = []
    monkeypatch.setattr(here.served.app[PARTS].background.leaving.job, "_alarm", told.append)
    users = mongo_admin[mongo_database]["users"]
    broken = {"phone": {"sealed": "s1.dev.AAAA", "index": "i"}}
    users.update_one({"_id": signed["userId"]}, {"$set": broken})
    asked = await person.call("POST", "/v1/me/withdrawal")
    rows = mongo_admin[mongo_database]["withdrawals"]
    async with asyncio.timeout(15):
        while not told:
            rows.update_one({"steps.account.error": "UnsealError"}, {"$set": {"next_at": DAWN}})
            await asyncio.sleep(0.05)
    assert told == [f"Withdrawal {asked['receipt']['id']} does not get past account."]
    receipt = await receipt_of(here, asked)
    assert receipt["state"] == "erasing"
    last = receipt["steps"][-1]
    assert (last["step"], last["done"], last["counts"]) == ("account", False, {})
    back = person.another("device-0003")
    assert (await back.sign_in("jiu@example.com")).status == 401, "nobody gets in any more"

    users.update_one({"_id": signed["userId"]}, {"$unset": {"phone": ""}})
    rows.update_one({}, {"$set": {"next_at": DAWN}})
    assert (await the_end(here, asked))["state"] == "withdrawn"


async def test_what_is_being_erased_cannot_be_undone(
    patient: Town, mongo_admin: Admin, mongo_database: str
) -> None:
    person = patient.person()
    person.keep(await person.sign_up("jiu@example.com"))
    await person.call("POST", "/v1/me/withdrawal")
    person.keep(await person.sign_in("jiu@example.com"))
    rows = mongo_admin[mongo_database]["withdrawals"]
    # Its time is over, and no worker has come to it yet.
    rows.update_one({}, {"$set": {"erase_at": DAWN}})
    late = await person.call("DELETE", "/v1/me/withdrawal")
    assert (late.status, late.code) == (409, "conflict")
