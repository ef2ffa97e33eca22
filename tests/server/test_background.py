"""`serve` and `worker`: what goes on in both, and what belongs to connections alone."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from config.clock import SystemClock
from config.settings import Settings
from models.accounts.tokens import create_dev_key
from models.attributes.actions import Attributes
from models.attributes.repo import AttributeRepo
from models.clinic.grade_repo import GradeRepo
from server.lifespan import PARTS
from server.worker import RUNNER, build_worker
from tests.serving import serving, settings_of

OF_CONNECTIONS = {
    "bus listening", "engine", "appender", "stored marks", "snapshots", "janitor", "relay",
    "child places", "directory", "connections", "connection places", "revocations", "access",
    "game expiry", "game rooms", "watch expiry", "live lists", "watch pulse",
}  # fmt: skip
"""Jobs of whoever holds connections and sessions; the janitor seals by the engine it has."""


@pytest.fixture
def settings(
    mongo_url: str, redis_url: str, mongo_database: str, redis_prefix: str, tmp_path: Path
) -> Settings:
    """Return settings of this test's own."""
    key = tmp_path / "dev-key.pem"
    create_dev_key(key)
    return settings_of(mongo_url, redis_url, mongo_database, redis_prefix, key)


async def test_a_worker_runs_whatever_a_server_runs_without_connections(
    settings: Settings,
) -> None:
    async with serving(settings) as served:
        serves = set(served.app[PARTS].runner.names)
    runner = web.AppRunner(build_worker(settings, SystemClock()))
    await runner.setup()
    works = runner.app[RUNNER].names
    await runner.cleanup()
    assert len(works) == len(set(works))
    assert set(works) == serves - OF_CONNECTIONS
    assert serves > OF_CONNECTIONS, "a job is named that is there no more"
    assert {"flush", "outbox", "withdrawals", "news"} <= set(works)


async def test_a_process_has_each_part_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[type] = []
    parts: tuple[type, ...] = (AttributeRepo, Attributes, GradeRepo)
    for part in parts:
        monkeypatch.setattr(part, "__init__", counted(part, made))
    runner = web.AppRunner(build_worker(settings, SystemClock()))
    await runner.setup()
    await runner.cleanup()
    assert Counter(made) == Counter(parts)


def counted(part: Any, made: list[type]) -> Any:
    """Return how a part is made, written down."""
    make = part.__init__

    def written(self: Any, *args: Any) -> None:
        made.append(part)
        make(self, *args)

    return written


async def test_a_server_that_leaves_the_flush_to_workers_runs_the_rest(settings: Settings) -> None:
    store = settings.store.model_copy(update={"flush": False})
    async with serving(settings.model_copy(update={"store": store})) as served:
        assert "flush" not in served.app[PARTS].runner.names
        assert "outbox" in served.app[PARTS].runner.names
