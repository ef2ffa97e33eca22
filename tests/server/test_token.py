"""`gemgem token`: an account's own token by its password; the development key's, which says so."""

import asyncio
import getpass
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import jwt
import pytest

from config.clock import SystemClock
from config.settings import Settings
from models.accounts.records import Role
from models.accounts.tokens import create_dev_key
from server.__main__ import main
from server.seeding.seeder import Person as Wanted
from server.seeding.seeder import seeding
from server.simulation.served import free_port
from tests.flows.people import Person
from tests.server.test_serve import run
from tests.serving import Served, serving, settings_of

MINA = Wanted("u_mina", Role.GUARDIAN, "김민아", "mina@family.example")


@pytest.fixture
def settings(
    mongo_url: str, redis_url: str, mongo_database: str, redis_prefix: str, tmp_path: Path
) -> Settings:
    key = tmp_path / "key.pem"
    create_dev_key(key)
    return settings_of(mongo_url, redis_url, mongo_database, redis_prefix, key)


@pytest.fixture
async def password(settings: Settings) -> str:
    async with seeding(settings, SystemClock()) as seeder:
        await seeder.person(MINA)
        return seeder.password(MINA.email)


@pytest.fixture
async def served(settings: Settings, password: str) -> AsyncIterator[Served]:
    async with serving(settings) as running:
        yield running


async def test_an_account_gets_its_own_token(served: Served, password: str) -> None:
    env = {"GEMGEM_URL": served.url, "GEMGEM_PASSWORD": password}
    status, out, err = await run("token", "--email", MINA.email, **env)
    assert (status, err) == (0, "")
    async with aiohttp.ClientSession() as http:
        person = Person(http, served.url)
        person.access = out.strip()
        assert (await person.me())["email"] == MINA.email
        status, out, _ = await run("token", "--email", MINA.email, "--json", **env)
        assert status == 0
        tokens = json.loads(out)
        assert sorted(tokens) == ["accessToken", "deviceId", "expiresIn", "refreshToken"]
        renewed = await person.refresh(tokens["refreshToken"], tokens["deviceId"])
        assert renewed.status == 200


async def test_a_refusal_is_the_servers_own_words(served: Served) -> None:
    words = ("token", "--url", served.url, "--email", MINA.email)
    status, out, err = await run(*words, GEMGEM_PASSWORD="not the password")
    assert (status, out) == (1, "")
    assert "E-mail or password is wrong" in err


async def test_a_terminal_is_asked_for_the_password(
    served: Served,
    password: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return password

    monkeypatch.delenv("GEMGEM_PASSWORD", raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(getpass, "getpass", answer)
    words = ["token", "--url", served.url, "--email", MINA.email]
    assert await asyncio.to_thread(main, words) == 0
    claims = jwt.decode(capfd.readouterr().out.strip(), options={"verify_signature": False})
    assert claims["sub"] == MINA.id
    assert asked == [f"Password of {MINA.email}: "]


async def test_what_is_missing_is_said_at_once(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port('127.0.0.1', None, 0)}"
    words = ("token", "--url", nobody, "--email", MINA.email)
    status, out, err = await run(*words)
    assert (status, out) == (2, "")
    assert "GEMGEM_PASSWORD" in err
    status, out, err = await run(*words, GEMGEM_PASSWORD="something")
    assert (status, out, err.strip()) == (2, "", f"token: nobody answers at {nobody}")
    status, _, err = await run("token")
    assert status == 2
    assert "--email" in err


async def test_a_grant_says_that_it_is_for_development(settings: Settings) -> None:
    env = {"GEMGEM_DEV_KEY": str(settings.dev_key)}
    words = ("token", "--role", "therapist", "--child", "*")
    status, out, err = await run(*words, **env)
    assert status == 0
    assert jwt.decode(out.strip(), options={"verify_signature": False})["children"] == ["*"]
    assert err == "token: of the development key, for development only\n"
    status, out, err = await run(*words, "--json", **env)
    assert (status, out) == (2, "")
    assert "--email" in err
    for more in (env, {}):
        status, out, err = await run(*words, GEMGEM_ENV="production", **more)
        assert (status, out) == (2, "")
        assert "production" in err
        assert "Traceback" not in err
