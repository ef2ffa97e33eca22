"""What tests of grades begin with."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from models.db import Mongo
from tests.factories import redis_of
from tests.models.clinic.weeks import FIRST, Clinic
from tests.models.families import stores_on


@pytest.fixture
def mongo_database(
    indexed_database: Callable[[str], AbstractContextManager[str]],
) -> Iterator[str]:
    """Return the name of an empty database, in which tests before have made the indexes."""
    with indexed_database("clinic") as name:
        yield name


@pytest.fixture
async def clinic(
    mongo_url: str, redis_url: str, mongo_database: str, redis_prefix: str
) -> AsyncIterator[Clinic]:
    """Return families on real stores, on the first day of the first week."""
    mongo = Mongo(mongo_url, mongo_database)
    async with redis_of(redis_url) as redis:
        clinic = Clinic(stores_on(mongo, redis, redis_prefix))
        for repo in clinic.families.indexed:
            await repo.ensure_indexes()
        clinic.move_to(FIRST, 8)
        yield clinic
    await mongo.close()
