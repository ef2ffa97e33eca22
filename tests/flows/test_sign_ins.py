"""Staying signed in: refresh chains, devices, ends that are heard everywhere."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pymongo
import pytest

from config.settings import Settings
from server.__main__ import main
from tests.flows.client import connected
from tests.flows.people import Person, Town, town

Admin = pymongo.MongoClient[dict[str, object]]


@pytest.fixture
async def here(settings: Settings, tmp_path: Path) -> AsyncIterator[Town]:
    async with town(settings, tmp_path) as running:
        yield running


@pytest.fixture
async def minjun(here: Town) -> Person:
    person = here.person()
    return person.keep(await person.sign_up("minjun@example.com"))


def claims(token: str) -> dict[str, Any]:
    """Return what a token says, unverified."""
    said: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return said


async def test_a_token_says_what_the_design_asks_for(here: Town, minjun: Person) -> None:
    said = claims(minjun.access)
    assert {"iss", "aud", "sub", "sid", "roles", "tv", "jti", "iat", "exp"} <= said.keys()
    assert said["exp"] - said["iat"] == 900
    assert said["roles"] == ["guardian"]
    assert "child_id" not in said
    header = jwt.get_unverified_header(minjun.access)
    assert (header["alg"], header["kid"]) == ("ES256", "dev")


async def test_a_refresh_gives_new_tokens_of_the_same_sign_in(minjun: Person) -> None:
    before = claims(minjun.access)
    first = minjun.refresh_token
    minjun.keep(await minjun.refresh())
    after = claims(minjun.access)
    assert minjun.refresh_token != first
    assert (after["sid"], after["auth_time"]) == (before["sid"], before["auth_time"])
    assert after["jti"] != before["jti"]
    assert (await minjun.me()).status == 200


async def test_a_device_that_lost_the_answer_gets_it_again(minjun: Person) -> None:
    old = minjun.refresh_token
    lost = await minjun.refresh(old)
    again = await minjun.refresh(old)
    assert again["refreshToken"] == lost["refreshToken"]
    minjun.keep(again)
    minjun.keep(await minjun.refresh())
    late = await minjun.refresh(old)  # the chain went on: still its own device, still in time
    assert late["refreshToken"] == minjun.refresh_token


async def test_a_token_presented_twice_ends_the_sign_in(
    here: Town, minjun: Person, mongo_admin: Admin, mongo_database: str
) -> None:
    stolen = minjun.refresh_token
    minjun.keep(await minjun.refresh())
    thief = await minjun.refresh(stolen, device="device-6666")
    assert (thief.status, thief.code) == (401, "unauthenticated")
    assert (await minjun.refresh()).status == 401
    async with asyncio.timeout(2):
        while (await minjun.me()).status != 401:
            await asyncio.sleep(0.02)
    await minjun.refresh(stolen, device="device-6666")
    warning = await here.mail.text("minjun@example.com", 2)
    assert minjun.device["name"] in warning
    [event] = mongo_admin[mongo_database]["account_events"].find({})
    assert (event["kind"], event["user_id"]) == (
        "refresh_token_reused",
        claims(minjun.access)["sub"],
    )


async def test_fifty_who_refresh_one_token_at_once_leave_one_chain(
    minjun: Person, mongo_admin: Admin, mongo_database: str
) -> None:
    one = minjun.refresh_token
    answers = await asyncio.gather(*(minjun.refresh(one) for _ in range(50)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer["refreshToken"] for answer in answers}) == 1
    tokens = mongo_admin[mongo_database]["refresh_tokens"]
    assert tokens.count_documents({"active": True}) == 1
    minjun.keep(answers[0])
    minjun.keep(await minjun.refresh())


async def test_fifty_of_two_devices_at_once_leave_at_most_one_chain(
    here: Town, minjun: Person
) -> None:
    one = minjun.refresh_token
    answers = await asyncio.gather(
        *(minjun.refresh(one, device=f"device-000{n % 2}") for n in range(50))
    )
    given = {answer["refreshToken"] for answer in answers if answer.status == 200}
    assert len(given) <= 1
    for token in given:
        assert (await minjun.refresh(token)).status == 401  # both used it: nobody keeps it
    assert await here.mail.text("minjun@example.com", 2)  # the first one holds the code
    warnings = [m for _, m in here.mail.taken if minjun.device["name"] in m.get_content()]
    assert len(warnings) == 1


@pytest.mark.parametrize("token", ["", "x", "0" * 64, "é" * 10, "0" * 9000])
async def test_what_is_no_refresh_token_is_refused(minjun: Person, token: str) -> None:
    body = {"refreshToken": token, "deviceId": minjun.device["id"]}
    answer = await minjun.call("POST", "/v1/tokens", body)
    assert answer.status in (400, 401)


async def test_devices_are_listed_and_ended_and_their_sockets_with_them(
    here: Town, minjun: Person
) -> None:
    tablet = here.person("device-0002")
    tablet.keep(await tablet.sign_in("minjun@example.com"))
    listed = await minjun.call("GET", "/v1/sign-ins")
    assert [one["current"] for one in listed["items"]] == [False, True]
    assert listed["items"][0]["deviceName"] == "태블릿"
    sign_in = claims(tablet.access)["sid"]
    async with connected(here.served.url, "/watch", tablet.access) as client:
        ended = await minjun.call("DELETE", f"/v1/sign-ins/{sign_in}")
        assert ended.status == 204
        await client.until("revoked", seconds=2.0)
    assert (await tablet.refresh()).status == 401
    assert (await tablet.me()).status == 401
    assert len((await minjun.call("GET", "/v1/sign-ins"))["items"]) == 1
    assert (await minjun.call("DELETE", f"/v1/sign-ins/{sign_in}")).status == 204


async def test_nobody_ends_the_sign_in_of_another(here: Town, minjun: Person) -> None:
    other = here.person("device-0002")
    other.keep(await other.sign_up("seoyeon@example.com"))
    sign_in = claims(minjun.access)["sid"]
    refused = await other.call("DELETE", f"/v1/sign-ins/{sign_in}")
    assert (refused.status, refused.code) == (404, "not_found")
    assert (await minjun.me()).status == 200


async def test_signing_out_here_and_everywhere(here: Town, minjun: Person) -> None:
    tablet = here.person("device-0002")
    tablet.keep(await tablet.sign_in("minjun@example.com"))
    phone = here.person("device-0003")
    phone.keep(await phone.sign_in("minjun@example.com"))
    assert (await tablet.call("DELETE", "/v1/sign-ins/current")).status == 204
    assert (await tablet.refresh()).status == 401
    assert (await phone.refresh()).status == 200
    assert (await minjun.call("DELETE", "/v1/sign-ins")).status == 204
    for person in (minjun, phone):
        async with asyncio.timeout(2):
            while (await person.me()).status != 401:
                await asyncio.sleep(0.02)
    assert (await minjun.sign_in("minjun@example.com")).status == 200


async def test_the_eleventh_device_ends_the_one_longest_unused(here: Town, minjun: Person) -> None:
    devices = []
    for n in range(10):
        device = here.person(f"device-1{n:03d}")
        devices.append(device.keep(await device.sign_in("minjun@example.com")))
    assert (await minjun.refresh()).status == 401
    assert [(await device.me()).status for device in devices] == [200] * 10


async def test_a_new_access_token_says_that_the_password_was_given_again(minjun: Person) -> None:
    before = claims(minjun.access)
    async with asyncio.timeout(3):
        while int(time.time()) <= before["auth_time"]:
            await asyncio.sleep(0.05)
    answer = await minjun.call(
        "POST", "/v1/sign-ins/current/confirmation", {"password": "not the password"}
    )
    assert answer.status == 401
    async with asyncio.timeout(3):
        body = {"password": "rather a long sentence 7"}
        path = "/v1/sign-ins/current/confirmation"
        while (answer := await minjun.call("POST", path, body)).status == 429:
            await asyncio.sleep(answer["error"]["retry_ms"] / 1000)
    assert claims(answer["accessToken"])["auth_time"] > before["auth_time"]


async def test_an_operator_gives_roles_by_a_command(
    here: Town, minjun: Person, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = here.served.settings
    monkeypatch.setattr("server.commands.roles.load_settings", lambda: settings)
    command = ["roles", "Minjun@example.com", "--role", "therapist", "--role", "guardian"]
    assert await asyncio.to_thread(main, command) == 1  # the address is not verified
    code = await here.mail.code("minjun@example.com")
    await minjun.call("POST", "/v1/me/email/confirmation", {"code": code})
    assert await asyncio.to_thread(main, command) == 0
    assert capsys.readouterr().out.split()[1:] == ["therapist", "guardian"]
    assert (await minjun.refresh()).status == 401
    minjun.keep(await minjun.sign_in("minjun@example.com"))
    assert claims(minjun.access)["roles"] == ["therapist", "guardian"]
    assert await asyncio.to_thread(main, ["roles", "no@example.com", "--role", "admin"]) == 1
    assert await asyncio.to_thread(main, ["roles", "none", "--role", "admin"]) == 1


async def test_an_access_token_of_an_account_opens_the_live_namespaces(
    here: Town, minjun: Person
) -> None:
    async with connected(here.served.url, "/watch", minjun.access) as client:
        minjun.keep(await minjun.refresh())
        await client.ok("token:renew", {"token": minjun.access})
        other = here.person("device-0002")
        other.keep(await other.sign_in("minjun@example.com"))
        assert await client.code("token:renew", {"token": other.access}) == "forbidden"
