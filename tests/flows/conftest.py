"""Flows run against the whole server, on real stores, over real sockets."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from config.settings import Settings
from models.db import Mongo
from models.play.repo import PlayRepo
from tests.serving import Served, serving, settings_of

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def mongo_database(
    indexed_database: Callable[[str], AbstractContextManager[str]],
) -> Iterator[str]:
    """Return the name of an empty database, in which servers before have made the indexes."""
    with indexed_database("flows") as name:
        yield name


@pytest.fixture
def transport() -> str:
    """Return the transport of the server; a module may ask for each in turn."""
    return "lean"


@pytest.fixture
def settings(
    mongo_url: str,
    redis_url: str,
    mongo_database: str,
    redis_prefix: str,
    tmp_path: Path,
    transport: str,
) -> Settings:
    """Return settings with a database and a key prefix of this test's own."""
    return settings_of(
        mongo_url,
        redis_url,
        mongo_database,
        redis_prefix,
        tmp_path / "dev-key.pem",
        socket={"transport": transport},
    )


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Run the server."""
    async with serving(settings) as server:
        yield server


@pytest.fixture
async def repo_of() -> AsyncIterator[Callable[[Settings], PlayRepo]]:
    """Return a function that reads what the server of some settings has stored."""
    opened: list[Mongo] = []

    def connect(settings: Settings) -> PlayRepo:
        assert settings.mongo_url is not None
        opened.append(Mongo(settings.mongo_url.get_secret_value(), settings.store.mongo_database))
        return PlayRepo(opened[-1].database)

    yield connect
    for mongo in opened:
        await mongo.close()


@pytest.fixture
def repo(settings: Settings, repo_of: Callable[[Settings], PlayRepo]) -> PlayRepo:
    """Read what the test's server has stored."""
    return repo_of(settings)


def alone(part: BaseModel) -> BaseModel:
    """Return settings that name no address outside: what they named is away."""
    update: dict[str, Any] = {}
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, BaseModel):
            update[name] = alone(value)
        elif isinstance(value, str) and value.startswith("https://"):
            update[name] = NOWHERE
    return part.model_copy(update=update)


@pytest.fixture
def unlimited(settings: Settings) -> Settings:
    """Return settings whose rates nobody reaches, for a server that reaches nobody outside."""
    rate = dict.fromkeys(type(settings.rate).model_fields, 1_000_000)
    own = alone(settings)
    assert isinstance(own, Settings)
    return own.model_copy(update={"rate": settings.rate.model_copy(update=rate)})
