"""`gemgem seed`: the first people, made once, in stores that run or do not."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from config.clock import SystemClock
from config.settings import Settings
from models.accounts.repo import AccountRepo
from models.accounts.sign_ins import SignIns
from models.accounts.tokens import create_dev_key
from models.children.actions import Children
from models.clinic.care import Care
from models.consent.actions import Consents
from models.db import Mongo
from server.keyring import ConfigurationError
from server.seeding.seeder import seeding
from server.seeding.village import CHOI, JUNHO, LEE, MINA, PEOPLE, settle
from tests.flows.people import Person
from tests.server.test_serve import command, exports_of, run
from tests.serving import serving, settings_of


@pytest.fixture
def settings(
    mongo_url: str, redis_url: str, mongo_database: str, redis_prefix: str, tmp_path: Path
) -> Settings:
    key = tmp_path / "key.pem"
    create_dev_key(key)
    return settings_of(mongo_url, redis_url, mongo_database, redis_prefix, key)


async def seeded(settings: Settings) -> dict[str, Any]:
    async with seeding(settings, SystemClock()) as seeder:
        return await settle(seeder)


async def held(settings: Settings) -> dict[str, Any]:
    """Return everything the database holds."""
    assert settings.mongo_url is not None
    mongo = Mongo(settings.mongo_url.get_secret_value(), settings.store.mongo_database)
    try:
        return {
            name: await mongo.database[name].find().sort("_id", 1).to_list(1000)
            for name in sorted(await mongo.database.list_collection_names())
        }
    finally:
        await mongo.close()


def password_of(village: dict[str, Any], email: str) -> str:
    return str(next(one["password"] for one in village["people"] if one["email"] == email))


async def test_everybody_signs_in_and_sees_what_is_theirs(settings: Settings) -> None:
    village = await seeded(settings)
    seen = {}
    async with serving(settings) as served, aiohttp.ClientSession() as http:
        for one in village["people"]:
            person = Person(http, served.url)
            person.keep(await person.sign_in(one["email"], one["password"]))
            me = await person.me()
            assert (me["roles"], me["emailVerified"]) == ([one["role"]], True)
            if one["role"] != "admin":
                listed = await person.call("GET", "/v1/children")
                seen[one["email"]] = {child["id"] for child in listed["items"]}
    assert seen == {
        MINA.email: {"c_seed_jiu", "c_seed_seoyeon", "c_seed_hajun"},
        JUNHO.email: {"c_seed_doyun", "c_seed_hajun"},
        LEE.email: {"c_seed_jiu"},
        CHOI.email: {"c_seed_jiu"},
    }


async def test_a_second_time_changes_nothing(settings: Settings) -> None:
    first, before = await seeded(settings), await held(settings)
    assert await seeded(settings) == first
    assert await held(settings) == before


async def test_what_people_changed_meanwhile_stays(settings: Settings) -> None:
    village = await seeded(settings)
    async with serving(settings) as served, aiohttp.ClientSession() as http:
        mina, choi = Person(http, served.url), Person(http, served.url)
        mina.keep(await mina.sign_in(MINA.email, password_of(village, MINA.email)))
        choi.keep(await choi.sign_in(CHOI.email, password_of(village, CHOI.email)))
        consent = "/v1/children/c_seed_jiu/consents/therapist_viewing"
        await mina.call("PUT", consent, {"given": False, "locale": "ko"})
        care = (await mina.call("GET", "/v1/children/c_seed_jiu/care"))["items"][0]["id"]
        assert (await mina.call("DELETE", f"/v1/children/c_seed_jiu/care/{care}")).status == 204
        body = {"current": password_of(village, CHOI.email), "password": "another long one 12"}
        assert (await choi.call("PUT", "/v1/me/password", body)).status == 200
    before = await held(settings)
    again = await seeded(settings)
    assert await held(settings) == before
    assert [p["email"] for p in again["people"] if p["password"] is None] == [CHOI.email]


@pytest.mark.parametrize(
    ("owner", "step"),
    [
        (AccountRepo, "confirm_email"),
        (SignIns, "change_roles"),
        (Care, "add_therapist"),
        (Children, "accept_invite"),
        (Consents, "give"),
        (Care, "accept"),
    ],
)
async def test_one_that_broke_off_is_completed_by_the_next(
    settings: Settings, owner: type, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise ConnectionError(step)

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, broken)
        with pytest.raises(ConnectionError, match=step):
            await seeded(settings)
    await seeded(settings)
    there = await held(settings)
    assert [user["email_verified"] for user in there["users"]] == [True] * 5
    assert sorted(user["roles"][0] for user in there["users"]) == sorted(one.role for one in PEOPLE)
    assert there["clinics"][0]["therapists"] == [LEE.id, CHOI.id]
    children = {child["_id"]: child for child in there["children"]}
    assert children["c_seed_hajun"]["guardians"] == [MINA.id, JUNHO.id]
    assert len(children["c_seed_jiu"]["care"]) == 1
    assert all(len(child["consents"]) == 2 for child in children.values())


async def test_never_in_production(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="Not in production"):
        await seeded(settings.model_copy(update={"env": "production"}))


@pytest.mark.timeout(180)
async def test_it_finds_the_stores_that_run_and_those_that_do_not(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    cheap = {"GEMGEM_ACCOUNT__HASH_MEMORY_KIB": "19456", "GEMGEM_ACCOUNT__HASH_PASSES": "2"}
    status, out, err = await run("seed", "--json", "--data", data, **cheap)
    assert status == 0, err
    village = json.loads(out)
    async with command("serve", "--embedded", "--data", data, "--port", "0", **cheap) as server:
        env = await exports_of(server)
        status, out, _ = await run("seed", "--data", data, **cheap)
        assert status == 0
        assert password_of(village, MINA.email) in out
        async with aiohttp.ClientSession() as http:
            person = Person(http, env["GEMGEM_URL"])
            person.keep(await person.sign_in(MINA.email, password_of(village, MINA.email)))
        server.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(server.wait(), 20) == 0
    assert not (tmp_path / "data" / "address.json").exists()
