"""Telephone numbers: Korean ones by our own codes, US ones by Twilio's, and no others."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pymongo
import pytest

from config.settings import Settings
from tests.flows.people import Person, Town, town

Admin = pymongo.MongoClient[dict[str, object]]
KOREAN, AMERICAN = "+82 010-1234-5678", "+1 (212) 555-0142"


@pytest.fixture
async def here(settings: Settings, tmp_path: Path) -> AsyncIterator[Town]:
    async with town(settings, tmp_path) as running:
        yield running


@pytest.fixture
async def minjun(here: Town) -> Person:
    person = here.person()
    return person.keep(await person.sign_up("minjun@example.com", locale="ko"))


async def test_a_korean_number_is_verified_by_a_text_message(
    here: Town, minjun: Person, mongo_admin: Admin, mongo_database: str
) -> None:
    assert (await minjun.call("POST", "/v1/me/phone/code", {"number": KOREAN})).status == 204
    code = here.messengers.code_to("01012345678")
    assert "인증번호" in here.messengers.texts[0][1]
    wrong = {"number": KOREAN, "code": "000000" if code != "000000" else "111111"}
    assert (await minjun.call("PUT", "/v1/me/phone", wrong)).code == "code_refused"
    right = {"number": "+821012345678", "code": code}
    answers = await asyncio.gather(*(minjun.call("PUT", "/v1/me/phone", right) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 400, 400, 400, 400]
    assert (await minjun.me())["phone"] == "+82 ••••5678"
    user: Any = mongo_admin[mongo_database]["users"].find_one({})
    assert "12345678" not in str(user)
    assert (await minjun.call("DELETE", "/v1/me/phone")).status == 204
    assert (await minjun.me())["phone"] is None


async def test_a_us_number_is_verified_by_twilio(here: Town, minjun: Person) -> None:
    assert (await minjun.call("POST", "/v1/me/phone/code", {"number": AMERICAN})).status == 204
    for _ in range(6):  # the sixth is Twilio's own "too many checks"
        wrong = await minjun.call("PUT", "/v1/me/phone", {"number": AMERICAN, "code": "000000"})
        assert wrong.code == "code_refused"
    late = await minjun.call("PUT", "/v1/me/phone", {"number": AMERICAN, "code": "246810"})
    assert late.code == "code_refused"
    here.messengers.checks.clear()
    here.messengers.checks["+12125550142"] = 0
    done = await minjun.call("PUT", "/v1/me/phone", {"number": AMERICAN, "code": "246810"})
    assert done["phone"] == "+1 ••••0142"


async def test_codes_are_sent_once_a_minute_and_ten_an_hour(here: Town, minjun: Person) -> None:
    assert (await minjun.call("POST", "/v1/me/phone/code", {"number": KOREAN})).status == 204
    early = await minjun.call("POST", "/v1/me/phone/code", {"number": KOREAN})
    assert (early.status, early.code) == (429, "rate_limited")
    assert 50_000 < early["error"]["retry_ms"] <= 60_000
    assert len(here.messengers.texts) == 1


@pytest.mark.parametrize(
    "number",
    [
        "01012345678",  # no country
        "+81 90 1234 5678",  # Japan
        "+82 2 123 4567",  # a land line
        "+1 900 555 0100",  # premium
        "+1 876 555 0100",  # Jamaica
        "+1 809 555 0100",  # the Dominican Republic
        "+1 416 555 0100",  # Canada
        "+1 800 555 0100",  # free of charge
        "+1 911 555 0100",
        "+1 212 911 0100",
        "+1 012 555 0100",
        "+8210123456789",
        "+82 10 1234 567x",
    ],
)
async def test_no_code_goes_to_other_numbers(here: Town, minjun: Person, number: str) -> None:
    answer = await minjun.call("POST", "/v1/me/phone/code", {"number": number})
    assert (answer.status, answer.code) == (400, "invalid")
    assert not here.messengers.texts
    assert not here.messengers.codes


async def test_a_number_belongs_to_one_account_and_sending_does_not_tell_whose(
    here: Town, minjun: Person
) -> None:
    await minjun.call("POST", "/v1/me/phone/code", {"number": AMERICAN})
    await minjun.call("PUT", "/v1/me/phone", {"number": AMERICAN, "code": "246810"})
    other = here.person("device-0002")
    other.keep(await other.sign_up("seoyeon@example.com"))
    early = await other.call("POST", "/v1/me/phone/code", {"number": AMERICAN})
    assert early.status == 429  # the number's own limit, whoever asks
    here.messengers.codes["+12125550142"] = "246810"
    here.messengers.checks["+12125550142"] = 0
    taken = await other.call("PUT", "/v1/me/phone", {"number": AMERICAN, "code": "246810"})
    assert (taken.status, taken.code) == (409, "conflict")


async def test_when_the_sender_is_away_it_is_said_and_nothing_is_sent_twice(
    here: Town, minjun: Person
) -> None:
    here.messengers.status = 503
    answer = await minjun.call("POST", "/v1/me/phone/code", {"number": KOREAN})
    assert (answer.status, answer.code) == (503, "provider_unavailable")
    here.messengers.status = 200
    assert not here.messengers.texts


async def test_without_a_service_codes_lie_in_a_folder(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "mails"
    sections: dict[str, dict[str, Any]] = {
        "mail": {"host": "", "folder": str(folder)},
        "twilio": {"service": ""},
        "sens": {"service": ""},
    }
    async with town(settings, tmp_path, **sections) as here:
        person = here.person()
        person.keep(await person.sign_up("minjun@example.com"))
        assert (await person.call("POST", "/v1/me/phone/code", {"number": KOREAN})).status == 204
        async with asyncio.timeout(5):
            while len(list(folder.glob("*.eml"))) < 2:
                await asyncio.sleep(0.01)
    assert {path.name.rpartition("-")[0] for path in folder.iterdir()} == {
        "minjun@example.com",
        "+821012345678",
    }
