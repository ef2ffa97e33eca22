"""An account of one's own: signing up, signing in, passwords, the e-mail, the profile."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pymongo
import pytest

from config.settings import Settings
from models.errors import AppError, ErrorCode
from server.lifespan import PARTS
from tests.flows.people import GOOD, Person, Town, patiently, town

Admin = pymongo.MongoClient[dict[str, object]]


@pytest.fixture
async def here(settings: Settings, tmp_path: Path) -> AsyncIterator[Town]:
    async with town(settings, tmp_path) as running:
        yield running


@pytest.fixture
async def minjun(here: Town) -> Person:
    person = here.person()
    return person.keep(await person.sign_up("minjun@example.com", name="김민준"))


async def test_who_signs_up_is_signed_in_and_verifies_the_address(
    here: Town, minjun: Person
) -> None:
    me = await minjun.me()
    assert me.status == 200
    assert me["email"] == "minjun@example.com"
    assert not me["emailVerified"]
    assert (me["name"], me["locale"], me["zone"]) == ("김민준", "en", "Asia/Seoul")
    assert [method["provider"] for method in me["methods"]] == ["local"]
    code = await here.mail.code("minjun@example.com")
    wrong = await minjun.call("POST", "/v1/me/email/confirmation", {"code": "2222-2222"})
    assert (wrong.status, wrong.code) == (400, "code_refused")
    done = await minjun.call("POST", "/v1/me/email/confirmation", {"code": code.lower()})
    assert done["emailVerified"]
    again = await minjun.call("POST", "/v1/me/email/confirmation", {"code": code})
    assert again["emailVerified"]


async def test_an_address_in_any_spelling_is_one_account(here: Town, minjun: Person) -> None:
    other = here.person("device-0002")
    for spelling in (" Minjun@EXAMPLE.com ", "minjun@example。com", "MINJUN@ｅxample.com"):
        refused = await other.sign_up(spelling)
        assert (refused.status, refused.code) == (409, "email_already_registered")
        assert refused["error"]["details"] == {"providers": ["local"]}
    assert (await other.sign_in("MINJUN@example.COM")).status == 200


async def test_wrong_and_unknown_are_answered_alike_and_the_next_attempt_waits(
    here: Town, minjun: Person
) -> None:
    stranger = here.person("device-0002")
    wrong = await stranger.sign_in("minjun@example.com", "not the password")
    unknown = await stranger.sign_in("nobody@example.com", "not the password")
    for answer in (wrong, unknown):
        assert (answer.status, answer.code) == (401, "unauthenticated")
    assert wrong["error"]["message"] == unknown["error"]["message"]
    for email in ("minjun@example.com", "nobody@example.com"):
        early = await stranger.sign_in(email)
        assert (early.status, early.code) == (429, "rate_limited")
        assert 0 < early["error"]["retry_ms"] <= 1000
        assert early.headers["Retry-After"] == "1"


async def test_a_success_clears_the_failures(here: Town, minjun: Person) -> None:
    stranger = here.person("device-0002")
    await stranger.sign_in("minjun@example.com", "not the password")
    right = await patiently(lambda: stranger.sign_in("minjun@example.com"))
    assert right.status == 200
    wrong = await stranger.sign_in("minjun@example.com", "not the password")
    assert wrong.status == 401  # the count began anew


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("short", "too_short"),
        ("x" * 129, "too_long"),
        ("1234567890", "common"),
        ("Password123!", "common"),
        ("abababababab", "common"),
        ("poiuytrewq", "common"),
        ("minjunkim@example.com", "personal"),
        ("Seoyeon-Park1", "personal"),
        ("correct horse battery", "breached"),
    ],
)
async def test_passwords_that_are_guessed_first_are_refused(
    here: Town, password: str, reason: str
) -> None:
    here.messengers.breached.add("correct horse battery")
    answer = await here.person().sign_up("minjunkim@example.com", password, name="Seoyeon Park")
    assert (answer.status, answer.code) == (400, "password_refused")
    assert answer["error"]["details"] == {"reason": reason}


async def test_when_the_breach_service_is_away_people_still_sign_up(here: Town) -> None:
    here.messengers.status = 503
    assert (await here.person().sign_up("one@example.com")).status == 201


@pytest.mark.parametrize("lost", ["mail", "sign-out"])
async def test_a_password_changes_with_the_notice_of_it_or_not_at_all(
    here: Town, minjun: Person, mongo_admin: Admin, mongo_database: str, lost: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    async def gone(*_: Any, **__: Any) -> None:
        raise AppError(ErrorCode.BUSY, "A store is away.")

    await here.mail.code("minjun@example.com")
    people, database = here.served.app[PARTS].background.people, mongo_admin[mongo_database]
    before = database["users"].find_one({})
    broken = (people.outbox, "put") if lost == "mail" else (people.accounts.sign_ins, "end_all")
    monkeypatch.setattr(*broken, gone)
    new = {"current": GOOD, "password": "another sentence 8"}
    assert (await minjun.call("PUT", "/v1/me/password", new)).code == "busy"
    assert (database["users"].find_one({}) == before) is (lost == "mail")
    if lost == "mail":
        assert (await minjun.me()).status == 200
    else:
        assert "changed" in await here.mail.text("minjun@example.com", 2)
        assert (await minjun.refresh()).status == 401


async def test_a_changed_password_ends_everything_but_the_answer(
    here: Town, minjun: Person
) -> None:
    tablet = here.person("device-0002")
    tablet.keep(await tablet.sign_in("minjun@example.com"))
    wrong = await minjun.call(
        "PUT", "/v1/me/password", {"current": "no such one", "password": "another sentence 8"}
    )
    assert wrong.status == 401
    old = Person(here.http, here.served.url)
    old.access, old.refresh_token = minjun.access, minjun.refresh_token
    new = {"current": GOOD, "password": "another sentence 8"}
    minjun.keep(await patiently(lambda: minjun.call("PUT", "/v1/me/password", new)))
    assert (await minjun.me()).status == 200
    for ended in (tablet, old):
        assert (await ended.refresh()).status == 401
        async with asyncio.timeout(2):
            while (await ended.me()).status != 401:
                await asyncio.sleep(0.02)
    assert (await tablet.sign_in("minjun@example.com")).status == 401
    text = await here.mail.text("minjun@example.com", 2)
    assert "changed" in text


async def test_a_reset_is_answered_alike_for_known_and_unknown(here: Town, minjun: Person) -> None:
    stranger = here.person("device-0002")
    await here.mail.text("minjun@example.com")  # of the sign-up: the next one has to wait
    for email in ("minjun@example.com", "nobody@example.com"):
        asked = {"email": email}
        answers = [await stranger.call("POST", "/v1/password-resets", asked) for _ in range(2)]
        assert answers[-1].code == "rate_limited"
    body = {"email": "nobody@example.com", "code": "2222-2222", "password": GOOD}
    refused = await stranger.call("POST", "/v1/password-resets/confirmation", body)
    body["email"] = "minjun@example.com"
    wrong = await stranger.call("POST", "/v1/password-resets/confirmation", body)
    assert (refused.status, refused.body["error"]["message"]) == (
        wrong.status,
        wrong.body["error"]["message"],
    )


async def test_a_reset_writes_as_much_for_the_unknown_as_for_the_known(
    here: Town, mongo_admin: Admin, mongo_database: str
) -> None:
    rows, person = mongo_admin[mongo_database]["outbox"], here.person()
    known = {"email": "minjun@example.com", "email_verified": True}
    await person.social("google", idToken=here.vouchers.token("google", "g-1", **known))
    for n, email in enumerate(("minjun@example.com", "nobody@example.com"), start=1):
        asked = await person.call("POST", "/v1/password-resets", {"email": email})
        assert asked.status == 204
        assert rows.count_documents({}) == n
    assert "Google" in await here.mail.text("minjun@example.com")
    assert rows.count_documents({"status": "void"}) == 1
    assert len(here.mail.taken) == 1


async def test_a_code_that_must_wait_does_not_hold_up_a_sign_up(here: Town) -> None:
    person = here.person()
    await person.call("POST", "/v1/password-resets", {"email": "minjun@example.com"})
    person.keep(await person.sign_up("minjun@example.com"))
    assert (await person.me()).status == 200
    early = await person.call("POST", "/v1/me/email/code")
    assert (early.status, early.code) == (429, "rate_limited")


async def test_a_sign_up_that_is_repeated_has_one_account_and_one_answer(
    here: Town, mongo_admin: Admin, mongo_database: str
) -> None:
    person = here.person()
    body = {"email": "minjun@example.com", "password": GOOD, "device": person.device}
    headers = {"Idempotency-Key": "0f8fad5b-d9cb-469f-a165-70867728950e"}
    first = await person.call("POST", "/v1/accounts", body, headers=headers)
    again = await person.call("POST", "/v1/accounts", body, headers=headers)
    assert (first.status, again.status) == (201, 201)
    assert first.body == again.body
    database = mongo_admin[mongo_database]
    assert first["accessToken"] not in str(list(database["answers"].find({})))
    database["answers"].delete_many({})  # as after a crash before the answer was kept
    resumed = await person.call("POST", "/v1/accounts", body, headers=headers)
    assert (resumed.status, resumed["userId"]) == (201, first["userId"])
    assert database["users"].count_documents({}) == 1
    database["answers"].delete_many({})
    other = await person.call(
        "POST", "/v1/accounts", {**body, "password": "guessed sentence 1"}, headers=headers
    )
    assert other.code == "email_already_registered"


async def test_the_code_of_a_reset_is_good_once_and_proves_the_address(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.accounts.local.MAIL_RATES", ())
    async with town(settings, tmp_path) as here:
        person = here.person()
        person.keep(await person.sign_up("seoyeon@example.com", locale="ko"))
        await here.mail.text("seoyeon@example.com")
        asked = {"email": "seoyeon@example.com", "locale": "ko"}
        assert (await person.call("POST", "/v1/password-resets", asked)).status == 204
        code = await here.mail.code("seoyeon@example.com", 2)
        body = {"email": "Seoyeon@example.com", "code": code, "password": "eine lange Reihe 9"}
        done = await asyncio.gather(
            *(person.call("POST", "/v1/password-resets/confirmation", body) for _ in range(5))
        )
        assert sorted(answer.status for answer in done) == [204, 400, 400, 400, 400]
        assert (await person.refresh()).status == 401
        person.keep(await person.sign_in("seoyeon@example.com", "eine lange Reihe 9"))
        assert (await person.me())["emailVerified"]


async def test_guesses_at_a_code_run_out(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.accounts.local.MAIL_RATES", ())
    async with town(settings, tmp_path) as here:
        person = here.person()
        person.keep(await person.sign_up("seoyeon@example.com"))
        code = await here.mail.code("seoyeon@example.com")
        for _ in range(5):
            wrong = await person.call("POST", "/v1/me/email/confirmation", {"code": "2222-2222"})
            assert wrong.code == "code_refused"
        late = await person.call("POST", "/v1/me/email/confirmation", {"code": code})
        assert late.code == "code_refused"
        assert (await person.call("POST", "/v1/me/email/code")).status == 204
        fresh = await here.mail.code("seoyeon@example.com", 2)
        assert (
            await person.call("POST", "/v1/me/email/confirmation", {"code": fresh})
        ).status == 200


async def test_a_hundred_who_sign_up_at_once_with_one_address_make_one_account(
    here: Town, mongo_admin: Admin, mongo_database: str
) -> None:
    answers = await asyncio.gather(
        *(here.person(f"device-{n:04d}").sign_up("race@example.com") for n in range(20))
    )
    statuses = sorted(answer.status for answer in answers)
    assert statuses[0] == 201
    assert set(statuses[1:]) <= {409, 503, 429}  # taken, too many hashes at once, told too often
    assert mongo_admin[mongo_database]["users"].count_documents({"email": "race@example.com"}) == 1


async def test_the_profile_is_changed_in_part(minjun: Person) -> None:
    changed = await minjun.call("PATCH", "/v1/me", {"zone": "America/New_York", "locale": "ko"})
    assert (changed["zone"], changed["locale"], changed["name"]) == (
        "America/New_York",
        "ko",
        "김민준",
    )
    wrong = await minjun.call("PATCH", "/v1/me", {"zone": "Mars/Olympus"})
    assert (wrong.status, wrong.code) == (400, "invalid")


@pytest.mark.parametrize(
    "body",
    [
        {"email": {"$gt": ""}, "password": GOOD},
        {"email": "minjun@example.com", "password": {"$ne": None}},
        {"email": ["minjun@example.com"], "password": GOOD},
        {"email": "minjun@example.com", "password": GOOD, "device": {"id": {"$gt": ""}}},
        {"email": "minjun@example.com", "password": GOOD, "roles": ["admin"]},
    ],
)
async def test_operators_of_the_database_are_no_input(
    here: Town, minjun: Person, body: dict[str, Any]
) -> None:
    stranger = here.person("device-0002")
    for path in ("/v1/sign-ins", "/v1/accounts"):
        answer = await stranger.call("POST", path, {"device": stranger.device, **body})
        assert (answer.status, answer.code) == (400, "invalid")


async def test_a_password_is_hashed_anew_when_hashes_get_dearer(
    settings: Settings, tmp_path: Path, mongo_admin: Admin, mongo_database: str
) -> None:
    def stored() -> str:
        user: Any = mongo_admin[mongo_database]["users"].find_one({})
        return str(user["methods"][0]["password_hash"])

    async with town(settings, tmp_path) as here:
        person = here.person()
        person.keep(await person.sign_up("minjun@example.com"))
    assert ",t=2," in stored()
    async with town(settings, tmp_path, account={"hash_passes": 3}) as here:
        person = here.person()
        person.keep(await person.sign_in("minjun@example.com"))
        assert ",t=3," in stored()
        assert (await person.refresh()).status == 200


async def test_names_and_secrets_do_not_lie_readable_in_the_database(
    here: Town, minjun: Person, mongo_admin: Admin, mongo_database: str
) -> None:
    everything = str(
        [
            list(mongo_admin[mongo_database][name].find({}))
            for name in ("users", "sign_ins", "refresh_tokens")
        ]
    )
    assert "minjun@example.com" in everything
    for secret in ("김민준", GOOD, minjun.refresh_token, minjun.access):
        assert secret not in everything
