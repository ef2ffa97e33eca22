"""What providers say of links that were cut: taken once, acted on, whoever they are."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr
from pymongo.errors import AutoReconnect

from config.settings import Settings
from models.errors import AppError, ErrorCode
from server.embedded import Mongod
from server.lifespan import PARTS
from tests.fakes.vouchers import KAKAO_ADMIN_KEY, KAKAO_APP_ID
from tests.flows.client import connected
from tests.flows.people import Person, Town, town

Admin = pymongo.MongoClient[dict[str, Any]]
APPLE, KAKAO = "/webhooks/apple-account", "/webhooks/kakao-unlink"
KEY = {"Authorization": f"KakaoAK {KAKAO_ADMIN_KEY}"}
SOON = {"look_seconds": 0.05}


@pytest.fixture
async def here(settings: Settings, tmp_path: Path) -> AsyncIterator[Town]:
    """Run a server that looks at news at once; a withdrawal waits for a week."""
    async with town(settings, tmp_path, webhook=SOON, withdrawal=SOON) as running:
        await running.served.app[PARTS].background.indexes.made.wait()
        yield running


@pytest.fixture
def users(mongo_admin: Admin, mongo_database: str) -> Callable[[str], dict[str, Any]]:
    """Return a function that reads an account."""

    def read(user_id: str) -> dict[str, Any]:
        found = mongo_admin[mongo_database]["users"].find_one({"_id": user_id})
        assert found is not None
        return found

    return read


@pytest.fixture
def settled(mongo_admin: Admin, mongo_database: str) -> Callable[[], Awaitable[list[str]]]:
    """Return a function that waits until nothing is due, and returns what became of all news."""

    async def wait() -> list[str]:
        rows = mongo_admin[mongo_database]["webhook_inbox"]
        async with asyncio.timeout(15):
            while rows.count_documents({"next_attempt_at": {"$exists": True}}):
                await asyncio.sleep(0.05)
        return [row["status"] for row in rows.find().sort("received_at", 1)]

    return wait


def unlinked(user_id: str, **more: str) -> dict[str, str]:
    """Return what Kakao says."""
    told = {"app_id": str(KAKAO_APP_ID), "user_id": user_id, "referrer_type": "UNLINK_FROM_APPS"}
    return {**told, **more}


async def by_kakao(here: Town, told: dict[str, str], headers: dict[str, str] = KEY) -> int:
    """Send a call of Kakao's as a form, and return the status."""
    url = here.served.url + KAKAO
    async with here.http.post(url, data=told, headers=headers) as answer:
        return answer.status


async def by_apple(here: Town, payload: Any) -> int:
    """Send a call of Apple's, and return the status."""
    return (await here.person().call("POST", APPLE, {"payload": payload})).status


async def member(here: Town, provider: str, subject: str, **claims: Any) -> tuple[Person, str]:
    """Sign somebody in by a provider."""
    person = here.person(f"device-{subject}")
    answer = await person.social(provider, idToken=here.vouchers.token(provider, subject, **claims))
    return person.keep(answer), answer["userId"]


async def both(here: Town, subject: str) -> tuple[Person, str]:
    """Sign somebody in who has Apple and Kakao."""
    person, user_id = await member(here, "apple", subject)
    body = {"idToken": here.vouchers.token("kakao", subject)}
    linked = await person.call("PUT", "/v1/me/methods/kakao", body)
    assert linked.status < 300, linked.body
    return person, user_id


async def test_a_way_in_goes_and_everything_signed_in_ends(
    here: Town, users: Any, settled: Any
) -> None:
    person, user_id = await both(here, "77000001")
    notice = here.vouchers.notice("consent-revoked", "77000001")
    async with connected(here.served.url, "/watch", person.access) as line:
        for _ in range(3):
            assert await by_apple(here, notice) == 200
        assert await settled() == ["done"], "one, however often it comes"
        await line.until("revoked")
    assert (await person.me()).status == 401
    assert (await person.refresh()).status == 401
    assert [method["provider"] for method in users(user_id)["methods"]] == ["kakao"]
    assert users(user_id)["status"] == "active"
    _, again = await member(here, "kakao", "77000001")
    assert again == user_id
    _, another = await member(here, "apple", "77000001")
    assert another != user_id, "the way leads there no more"


@pytest.mark.parametrize("how", ["GET", "POST"])
async def test_the_last_way_in_begins_a_withdrawal_that_can_be_undone(
    here: Town, users: Any, settled: Any, how: str
) -> None:
    person, user_id = await member(
        here, "kakao", "88000001", email="jiu@example.com", email_verified=True
    )
    told = unlinked("88000001")
    if how == "GET":
        url = here.served.url + KAKAO
        async with here.http.get(url, params={**told, "more": "1"}, headers=KEY) as answer:
            assert answer.status == 200
    else:
        assert await by_kakao(here, told) == 200
    assert await settled() == ["done"]
    assert users(user_id)["status"] == "withdrawing"
    assert (await person.me()).status == 401
    assert "undo the withdrawal" in await here.mail.text("jiu@example.com")
    back, same = await member(here, "kakao", "88000001")
    assert same == user_id
    assert (await back.call("DELETE", "/v1/me/withdrawal")).status == 204
    assert users(user_id)["status"] == "active"


async def test_old_news_do_not_undo_that_somebody_came_back(
    here: Town, users: Any, settled: Any
) -> None:
    before = int(time.time() * 1000) - 60_000
    _, user_id = await member(here, "apple", "a-1")
    assert await by_apple(here, here.vouchers.notice("account-deleted", "a-1", at=before)) == 200
    assert await settled() == ["ignored"]
    assert users(user_id)["status"] == "active"
    after = int(time.time() * 1000) // 2 * 2 + 1
    await asyncio.sleep(0.01)
    await member(here, "apple", "a-1")
    assert await by_apple(here, here.vouchers.notice("consent-revoked", "a-1", at=after)) == 200
    assert await settled() == ["ignored", "ignored"]
    assert users(user_id)["status"] == "active"


async def test_who_is_not_apple_or_kakao_is_refused(here: Town, settled: Any) -> None:
    vouchers = here.vouchers
    await member(here, "apple", "a-1")
    forged = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kind = "consent-revoked"
    for payload in (
        vouchers.notice(kind, "a-1", key=forged),
        vouchers.notice(kind, "a-1", kid="unknown"),
        vouchers.notice(kind, "a-1", iss="https://evil.example"),
        vouchers.notice(kind, "a-1", aud="another.app"),
        vouchers.notice(kind, "a-1", iat=4_000_000_000),
        vouchers.notice(kind, "a-1", events="{}"),
        vouchers.notice(kind, "a-1", events="no"),
        vouchers.notice(kind, "a-1", jti=""),
        vouchers.notice(kind, "a-1", at=10**18),
        vouchers.notice(kind, "a-1", at="now"),
        vouchers.token("apple", "a-1"),
        "x" * 9000,
        "no",
        7,
    ):
        assert await by_apple(here, payload) == 401, payload
    assert (await here.person().call("POST", APPLE, [])).status == 401
    assert await by_kakao(here, unlinked("1"), {}) == 401
    assert await by_kakao(here, unlinked("1"), {"Authorization": "KakaoAK no"}) == 401
    assert await by_kakao(here, unlinked("1"), {"Authorization": "Bearer x"}) == 401
    assert await settled() == []


async def test_kakao_is_answered_200_whatever_it_says(here: Town, settled: Any) -> None:
    for told in (
        unlinked("99"),
        unlinked("99", app_id="1"),
        unlinked("no number"),
        unlinked("99", referrer_type="NEW"),
        {},
    ):
        assert await by_kakao(here, told) == 200
    assert await settled() == ["ignored"], "nobody here"
    assert await by_apple(here, here.vouchers.notice("consent-revoked", "nobody")) == 200
    assert await by_apple(here, here.vouchers.notice("something-new", "nobody")) == 200
    assert await settled() == ["ignored", "ignored"]


async def test_settled_news_name_nobody(
    here: Town, settled: Any, mongo_admin: Admin, mongo_database: str
) -> None:
    await member(here, "kakao", "88000001")
    assert await by_kakao(here, unlinked("88000001")) == 200
    await settled()
    [row] = mongo_admin[mongo_database]["webhook_inbox"].find()
    assert not {"raw", "about", "next_attempt_at"} & set(row)
    assert "88000001" not in str(row)
    assert row["until"] > row["received_at"]


async def test_providers_are_never_told_to_come_less_often(
    settings: Settings, tmp_path: Path
) -> None:
    async with town(settings, tmp_path, rate={"others": 1}) as here:
        statuses = [await by_kakao(here, unlinked("1")) for _ in range(5)]
        assert statuses == [200] * 5
        assert [await by_kakao(here, {}, {}) for _ in range(5)] == [401] * 5


async def test_keys_that_cannot_be_had_are_no_refusal(here: Town) -> None:
    notice = here.vouchers.notice("consent-revoked", "a-1")
    here.vouchers.status = 500
    assert await by_apple(here, notice) == 503
    here.vouchers.status = 200
    here.vouchers.rotate(keep=True)


async def test_two_providers_at_once_leave_one_way_back(
    here: Town, users: Any, settled: Any
) -> None:
    for n in range(4):
        subject = f"{6_000_000 + n}"
        _, user_id = await both(here, subject)
        at = int(time.time() * 1000) + 1000
        apple = here.vouchers.notice("consent-revoked", subject, at=at)
        calls = [by_apple(here, apple), by_kakao(here, unlinked(subject)), by_apple(here, apple)]
        assert await asyncio.gather(*calls) == [200] * 3
        await settled()
        found = users(user_id)
        assert (found["status"], len(found["methods"])) == ("withdrawing", 1)


async def test_what_fails_for_good_is_given_up_with_an_alarm(
    settings: Settings,
    tmp_path: Path,
    mongo_admin: Admin,
    mongo_database: str,
    settled: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow = {"look_seconds": 3600, "attempts": 2}
    async with town(settings, tmp_path, webhook=slow) as here:
        assert await by_kakao(here, unlinked("1")) == 200
        rows = mongo_admin[mongo_database]["webhook_inbox"]
        rows.update_many({}, {"$set": {"raw": "s1.dev.AAAA"}})
        desk = here.served.app[PARTS].background.leaving.news
        assert await desk.look()
        [row] = rows.find()
        assert (row["status"], row["attempts"]) == ("received", 1)
        assert row["next_attempt_at"] > row["received_at"]
        assert not await desk.look(), "not before its time"
        rows.update_many({}, {"$set": {"next_attempt_at": row["received_at"]}})
        assert await desk.look()
        assert await settled() == ["dead"]
        assert "could not be acted on" in caplog.text


@pytest.mark.parametrize("error", [AppError(ErrorCode.BUSY, "Redis is away."), AutoReconnect()])
async def test_a_store_that_is_away_counts_as_no_failure(
    settings: Settings,
    tmp_path: Path,
    users: Any,
    mongo_admin: Admin,
    mongo_database: str,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    async with town(settings, tmp_path, webhook={"look_seconds": 3600, "attempts": 1}) as here:
        _, user_id = await both(here, "88000001")
        assert await by_kakao(here, unlinked("88000001")) == 200
        rows = mongo_admin[mongo_database]["webhook_inbox"]
        behind = here.served.app[PARTS].background

        async def away(*_: Any) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(behind.people.repo, "cut_method", away)
            with contextlib.suppress(AutoReconnect):
                assert await behind.leaving.news.look()
        [row] = rows.find()
        assert (row["status"], row["attempts"]) == ("received", 0)
        assert len(users(user_id)["methods"]) == 2, "nothing is half done"
        rows.update_many({}, {"$set": {"next_attempt_at": row["received_at"]}})
        assert await behind.leaving.news.look()
        assert [method["provider"] for method in users(user_id)["methods"]] == ["apple"]
        assert rows.find()[0]["status"] == "done"


async def test_a_worker_that_is_gone_holds_news_up_for_its_lease_alone(
    settings: Settings, tmp_path: Path, mongo_admin: Admin, mongo_database: str
) -> None:
    async with town(settings, tmp_path, webhook={"look_seconds": 3600}) as here:
        assert await by_kakao(here, unlinked("1")) == 200
        desk, rows = (
            here.served.app[PARTS].background.leaving.news,
            mongo_admin[mongo_database]["webhook_inbox"],
        )
        now = datetime.now(UTC)
        held = {"status": "processing", "lease_until": now + timedelta(seconds=60)}
        rows.update_many({}, {"$set": held})
        assert not await desk.look()
        rows.update_many({}, {"$set": {"lease_until": now}})
        assert await desk.look()
        assert rows.find()[0]["status"] == "ignored"


async def test_a_worker_that_lost_its_lease_changes_nothing_any_more(
    settings: Settings, tmp_path: Path, mongo_admin: Admin, mongo_database: str
) -> None:
    async with town(settings, tmp_path, webhook={"look_seconds": 3600}) as here:
        assert await by_kakao(here, unlinked("1")) == 200
        desk, rows = (
            here.served.app[PARTS].background.leaving.news,
            mongo_admin[mongo_database]["webhook_inbox"],
        )
        now = datetime.now(UTC)
        slow = await desk.inbox.claim(now + timedelta(seconds=1), now - timedelta(seconds=1))
        assert slow is not None
        assert await desk.look()
        settled = rows.find()[0]
        await desk.inbox.put_off(slow, now)
        await desk.inbox.fail(slow, "LateError", None, now)
        assert rows.find()[0] == settled


async def test_news_under_way_are_erased_with_the_account(
    settings: Settings, tmp_path: Path, mongo_admin: Admin, mongo_database: str
) -> None:
    leaving = {"undo_hours": 0, "look_seconds": 0.05}
    later = {"look_seconds": 3600}
    async with town(settings, tmp_path, webhook=later, withdrawal=leaving) as here:
        await here.served.app[PARTS].background.indexes.made.wait()
        person, user_id = await member(here, "kakao", "88000001")
        assert await by_kakao(here, unlinked("88000001")) == 200
        assert await by_kakao(here, unlinked("88000002")) == 200
        assert (await person.call("POST", "/v1/me/withdrawal")).status == 202
        database = mongo_admin[mongo_database]
        async with asyncio.timeout(15):
            while database["users"].count_documents({"_id": user_id}):
                await asyncio.sleep(0.05)
        assert database["webhook_inbox"].count_documents({}) == 1, "that of somebody else"


async def test_while_the_database_is_away_apple_waits_and_kakao_is_remembered(
    redis_url: str, settings: Settings, tmp_path: Path
) -> None:
    mongod = Mongod(tmp_path / "mongod", temporary=False)
    await mongod.start()
    own = settings.model_copy(update={"mongo_url": SecretStr(mongod.url)})
    try:
        async with town(own, tmp_path, webhook=SOON) as here:
            await here.served.app[PARTS].background.indexes.made.wait()
            notice = here.vouchers.notice("consent-revoked", "a-1")
            assert await by_apple(here, notice) == 200
            await mongod.stop()
            began = time.monotonic()
            later = here.vouchers.notice("consent-revoked", "a-2")
            apple, kakao = await asyncio.gather(
                by_apple(here, later), by_kakao(here, unlinked("5"))
            )
            assert (apple, kakao) == (503, 200)
            assert time.monotonic() - began < 3, "Kakao waits no longer"
            await mongod.start()
            with pymongo.MongoClient[dict[str, Any]](mongod.url) as admin:
                rows = admin[own.store.mongo_database]["webhook_inbox"]
                async with asyncio.timeout(30):
                    while not rows.count_documents({"source": "kakao", "status": "ignored"}):
                        await asyncio.sleep(0.1)
    finally:
        await mongod.stop()
