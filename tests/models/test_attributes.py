"""Attributes of accounts and children: one mechanism, one open of each type."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from config.clock import Clock
from models.attributes.actions import Attributes
from models.attributes.records import (
    VALUES,
    AttributeType,
    ChildrenLimit,
    ClinicalTrial,
    Value,
    type_of,
)
from models.attributes.repo import STAYING, AttributeRepo
from models.db import Mongo
from models.errors import AppError, ErrorCode
from tests.factories import ManualClock

TRIAL = ClinicalTrial(trial="t", site="cl", arm="A", subject_no="1", protocol_version="1")
HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def mongo(mongo_url: str, mongo_database: str) -> AsyncIterator[Mongo]:
    """Return a database with two of each, all of whom stay."""
    mongo = Mongo(mongo_url, mongo_database)
    for n in "12":
        await mongo.database["users"].insert_one({"_id": f"u_{n}", "status": "active"})
        await mongo.database["children"].insert_one({"_id": f"c_{n}", "removed_at": None})
    yield mongo
    await mongo.close()


@pytest.fixture
async def attributes(mongo: Mongo, clock: Clock) -> Attributes:
    repo = AttributeRepo(mongo)
    await repo.ensure_indexes()
    return Attributes(repo, clock)


async def test_the_same_id_again_changes_nothing(
    attributes: Attributes, clock: ManualClock
) -> None:
    now = clock.now()
    first = await attributes.set("at_1", "u_1", ChildrenLimit(most=3), now, None, "a_1", "why")
    again = await attributes.set("at_1", "u_1", ChildrenLimit(most=9), now, None, "a_2", "other")
    assert again == first
    assert await attributes.children_most("u_1", 20) == 3
    assert await attributes.children_most("u_2", 20) == 20


async def test_each_type_is_open_once_for_each_subject(
    mongo: Mongo, attributes: Attributes, clock: ManualClock
) -> None:
    now = clock.now()
    await mongo.database["users"].insert_one({"_id": "c_1", "status": "active"})
    await attributes.set("at_1", "c_1", ChildrenLimit(most=3), now, None, "a_1", None)
    await attributes.set("at_2", "c_1", TRIAL, now, None, "a_1", None)
    await attributes.set("at_3", "c_2", TRIAL, now, None, "a_1", None)
    with pytest.raises(AppError, match="CHILDREN_LIMIT is open") as refused:
        await attributes.set("at_4", "c_1", ChildrenLimit(most=4), now, None, "a_1", None)
    assert refused.value.code is ErrorCode.CONFLICT
    with pytest.raises(AppError) as refused:
        await attributes.close("c_2", "at_1", "a_1", "another's")
    assert refused.value.code is ErrorCode.NOT_FOUND
    assert {one.id for one in await attributes.list_of("c_1", 9)} == {"at_1", "at_2"}


async def test_an_attribute_holds_from_its_beginning_until_its_end(
    attributes: Attributes, clock: ManualClock
) -> None:
    now = clock.now()
    await attributes.set("at_1", "c_1", TRIAL, now + HOUR, now + 2 * HOUR, "a_1", None)
    held = []
    for _ in range(4):
        held.append(await attributes.pins_difficulty("c_1"))
        clock.move(HOUR.total_seconds())
    assert held == [False, True, False, False]
    free = TRIAL.model_copy(update={"pins_difficulty": False})
    await attributes.set("at_2", "c_1", free, clock.now(), None, "a_1", None)
    assert not await attributes.pins_difficulty("c_1")
    closed = {one.id: one.close_reason for one in await attributes.list_of("c_1", 9)}
    assert closed == {"at_1": "its time was over", "at_2": None}
    with pytest.raises(AppError) as refused:
        await attributes.set("at_3", "c_2", TRIAL, now, now, "a_1", None)
    assert refused.value.code is ErrorCode.INVALID


@pytest.mark.parametrize("hours", [None, 1, 3])
async def test_closing_never_lets_an_attribute_hold_longer(
    attributes: Attributes, clock: ManualClock, hours: int | None
) -> None:
    now = clock.now()
    ends = None if hours is None else now + hours * HOUR
    await attributes.set("at_1", "c_1", TRIAL, now, ends, "a_1", None)
    clock.move(2 * HOUR.total_seconds())
    closed = await attributes.close("c_1", "at_1", "$set_by", "$reason")
    assert closed.valid_to == (ends if hours == 1 else clock.now())
    assert closed.closed_at == clock.now()
    assert (closed.closed_by, closed.close_reason) == ("$set_by", "$reason")
    clock.move(HOUR.total_seconds())
    assert await attributes.close("c_1", "at_1", "a_2", "again") == closed


@pytest.mark.parametrize(
    ("collection", "subject", "value", "leaving"),
    [
        ("users", "u_1", ChildrenLimit(most=3), {"status": "erasing"}),
        ("children", "c_1", TRIAL, {"removed_at": ManualClock().now()}),
    ],
)
async def test_nothing_is_said_of_somebody_whose_erasure_began(
    mongo: Mongo,
    attributes: Attributes,
    clock: ManualClock,
    collection: str,
    subject: str,
    value: Value,
    leaving: dict[str, Any],
) -> None:
    rows, now = mongo.database["user_attributes"], clock.now()

    async def leave() -> None:
        await mongo.database[collection].update_one({"_id": subject}, {"$set": leaving})
        await rows.delete_many({"subject": subject})

    # At once: whichever is first, nothing outlives the erasure.
    await asyncio.gather(
        leave(),
        *(attributes.set(f"at_{n}", subject, value, now, None, "a_1", "why") for n in range(5)),
        return_exceptions=True,
    )
    with pytest.raises(AppError) as refused:
        await attributes.set("at_late", subject, value, now, None, "a_1", "why")
    assert refused.value.code is ErrorCode.CONFLICT
    assert await rows.count_documents({"subject": subject}) == 0


def test_every_type_is_of_somebody() -> None:
    assert STAYING.keys() == set(AttributeType)


def test_every_type_has_a_value_of_its_own() -> None:
    assert VALUES.keys() == set(AttributeType)
    assert type_of(TRIAL) is AttributeType.CLINICAL_TRIAL
    assert type_of(ChildrenLimit(most=1)) is AttributeType.CHILDREN_LIMIT
