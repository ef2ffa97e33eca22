"""Flows run against the whole server, on real stores, over real sockets."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.settings import Settings
from models.db import Mongo
from models.play.repo import PlayRepo
from tests.serving import Served, serving, settings_of


@pytest.fixture
def settings(
    mongo_url: str, redis_url: str, mongo_database: str, redis_prefix: str, tmp_path: Path
) -> Settings:
    """Return settings with a database and a key prefix of this test's own."""
    return settings_of(mongo_url, redis_url, mongo_database, redis_prefix, tmp_path / "dev-key.pem")


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Run the server."""
    async with serving(settings) as server:
        yield server


@pytest.fixture
async def repo(settings: Settings) -> AsyncIterator[PlayRepo]:
    """Read what the server has stored."""
    assert settings.mongo_url is not None
    mongo = Mongo(settings.mongo_url.get_secret_value(), settings.store.mongo_database)
    yield PlayRepo(mongo.database)
    await mongo.close()
