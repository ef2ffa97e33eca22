"""`gemgem forget`: an account is erased while its child plays, and what is left is found."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
import redis as redis_sync

from clients.mail import Mail
from config.clock import SystemClock
from config.settings import Settings
from models.accounts.tokens import create_dev_key
from models.cipher import Context
from models.withdrawal.records import State, Step, Withdrawal
from server.__main__ import main
from server.commands import forget as command
from server.keyring import field_cipher
from server.lifespan import PARTS
from tests.flows.people import Town, town
from tests.flows.test_withdrawal_steps import somebody_plays

Admin = pymongo.MongoClient[dict[str, object]]


@pytest.fixture
async def here(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Town]:
    """Run a server, and point the command at its stores."""
    for name, value in {
        "GEMGEM_MONGO_URL": settings.mongo_url.get_secret_value() if settings.mongo_url else "",
        "GEMGEM_REDIS_URL": settings.redis_url.get_secret_value() if settings.redis_url else "",
        "GEMGEM_DEV_KEY": str(settings.dev_key),
        "GEMGEM_STORE__MONGO_DATABASE": settings.store.mongo_database,
        "GEMGEM_STORE__REDIS_PREFIX": settings.store.redis_prefix,
    }.items():
        monkeypatch.setenv(name, value)
    async with town(settings, tmp_path) as running:
        await running.served.app[PARTS].background.indexes.made.wait()
        yield running


async def forget(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, Any]:
    """Run the command in a thread of its own; return its status and what it said."""
    capsys.readouterr()
    status = await asyncio.to_thread(main, ["forget", *args, "--json"])
    said = capsys.readouterr().out
    return status, json.loads(said) if said else None


async def test_an_account_is_forgotten_while_its_child_plays(
    here: Town, capsys: pytest.CaptureFixture[str], mongo_admin: Admin, mongo_database: str
) -> None:
    async with somebody_plays(here) as (_, gone):
        user_id = gone[0]
        forced = mongo_admin[mongo_database]["forced_tokens"]
        forced.insert_many(
            [
                {"_id": "f_1", "user_id": user_id, "admin_id": "u_admin"},
                {"_id": "f_2", "user_id": "u_other", "admin_id": user_id},
            ]
        )
        status, said = await forget(capsys, user_id, "--yes", "--prove")
    assert (status, said["state"], said["left"]) == (0, "withdrawn", 0), said
    assert mongo_admin[mongo_database]["users"].count_documents({}) == 0
    assert [token["_id"] for token in forced.find({})] == ["f_2"], "what others did stays"
    assert await forget(capsys, user_id, "--prove") == (
        0,
        {"withdrawal": None, "state": "unknown", "left": 0, "chained": 0, "traces": []},
    )
    assert (await forget(capsys, user_id))[0] == 2, "there is nobody to erase"


async def test_a_server_that_looks_while_it_is_signed_out_erases_nothing_yet(
    here: Town, monkeypatch: pytest.MonkeyPatch, settings: Settings, redis_url: str
) -> None:
    person = here.person()
    person.keep(await person.sign_up("jiu@example.com"))
    background = here.served.app[PARTS].background
    leaving, saga = background.leaving, background.leaving.withdrawals._saga
    user = await background.people.repo.find_by_email("jiu@example.com")
    assert user is not None
    do, states = saga.do, []

    async def slow(withdrawal: Withdrawal, step: Step) -> None:
        monkeypatch.setattr(saga, "do", do)
        while await leaving.job.look():
            pass
        found = await leaving.repo.find(withdrawal.id)
        states.append(None if found is None else found.state)
        await do(withdrawal, step)

    monkeypatch.setattr(saga, "do", slow)
    found = await leaving.withdrawals.hasten(user, "w_1")
    assert states == [State.WITHDRAWING]
    async with asyncio.timeout(20):
        while found.state is not State.WITHDRAWN:
            await leaving.job.look()
            found = await leaving.repo.find("w_1") or found
    with redis_sync.Redis.from_url(redis_url) as redis:
        kept = [redis.zrange(key, 0, -1) for key in redis.keys("*:revoked")]
    assert user.id not in str(kept)


async def test_an_account_that_has_to_wait_is_told_where(
    here: Town, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "MOST_S", 0.0)
    person = here.person()
    person.keep(await person.sign_up("jiu@example.com"))
    assert await asyncio.to_thread(main, ["forget", "jiu@example.com", "--yes"]) == 2
    said = capsys.readouterr().err
    assert "the account waits at step" in said
    assert "goes on with a running server" in said


async def test_whoever_runs_it_hears_its_alarms(
    settings: Settings, capsys: pytest.CaptureFixture[str], mongo_admin: Admin, mongo_database: str
) -> None:
    assert settings.dev_key is not None
    create_dev_key(settings.dev_key)
    async with command._tools(settings, SystemClock()) as tools:
        people = tools.background.people
        await people.mails.post(Mail("jiu@example.com", "s", "t"), key="k", about="u_1")
        unreadable = {"$set": {"payload": "s1.gone.AAAA"}}
        mongo_admin[mongo_database]["outbox"].update_one({}, unreadable)
        assert await tools.background.relay.look("u_1")
    said = capsys.readouterr().err
    assert "forget: Parcel " in said
    assert "jiu" not in said


async def test_nothing_is_erased_unasked(
    here: Town, capsys: pytest.CaptureFixture[str], mongo_admin: Admin, mongo_database: str
) -> None:
    person = here.person()
    person.keep(await person.sign_up("jiu@example.com"))
    assert (await forget(capsys, "jiu@example.com"))[0] == 2
    assert (await person.me())["status"] == "active"


@pytest.mark.parametrize(
    "place", ["deep", "key", "bytes", "sealed", "hash", "list", "zset", "stream", "name", "string"]
)
async def test_what_is_left_is_found(
    here: Town, settings: Settings, capsys: pytest.CaptureFixture[str], mongo_admin: Admin,
    mongo_database: str, redis_url: str, place: str,
) -> None:  # fmt: skip
    async with somebody_plays(here) as (_, gone):
        user_id = gone[0]
    database = mongo_admin[mongo_database]
    sealed = field_cipher(settings).seal("jiu@example.com", Context("stray", "mail", "x_1"))
    planted: dict[str, dict[str, Any]] = {
        "deep": {"a": [{"b": f"said by {user_id}."}]},
        "key": {"votes": {user_id: 1}},
        "bytes": {"blob": b"\x81\xa4user\xb0" + user_id.encode()},
        "sealed": {"mail": sealed},
    }
    prefix = settings.store.redis_prefix
    with redis_sync.Redis.from_url(redis_url) as redis:
        match place:
            case "hash":
                redis.hset(f"{prefix}:stray", "who", user_id)
            case "list":
                redis.rpush(f"{prefix}:stray", "x", user_id)
            case "zset":
                redis.zadd(f"{prefix}:stray", {f"@9 {user_id}": 1})
            case "stream":
                redis.xadd(f"{prefix}:stray", {"x": b"\x81" + user_id.encode()})
            case "name":
                redis.set(f"{prefix}:stray", "김지우")
            case "string":
                redis.set(f"{prefix}:stray", "jiu@example.com")
            case _:
                database["stray"].insert_one({"_id": "x_1", **planted[place]})
    status, said = await forget(capsys, user_id, "--yes", "--prove")
    assert (status, said["state"]) == (1, "withdrawn")
    assert said["left"] >= 1
    assert all("stray" in trace["where"] for trace in said["traces"]), said
