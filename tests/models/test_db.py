"""Transactions on a real MongoDB, through both drivers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest

from models.db import DatabaseError, Driver, DuplicateKeyError, Mongo, Session, aggregate


@pytest.fixture(params=get_args(Driver))
async def mongo(
    request: pytest.FixtureRequest, mongo_url: str, mongo_database: str
) -> AsyncIterator[Mongo]:
    mongo = Mongo(mongo_url, mongo_database, request.param)
    await mongo.database["sums"].insert_one({"_id": "a", "n": 0})
    yield mongo
    await mongo.close()


async def total(mongo: Mongo) -> int:
    found = await mongo.database["sums"].find_one({"_id": "a"})
    return int(found["n"])


async def test_transactions_in_each_others_way_all_go_through(mongo: Mongo) -> None:
    async def add(session: Session) -> int:
        found = await mongo.database["sums"].find_one({"_id": "a"}, session=session)
        now = int(found["n"]) + 1
        await mongo.database["sums"].update_one({"_id": "a"}, {"$set": {"n": now}}, session=session)
        await mongo.database["rows"].insert_one({"_id": now}, session=session)
        return now

    done = await asyncio.gather(*(mongo.transact(add) for _ in range(12)))
    assert sorted(done) == list(range(1, 13))
    assert await total(mongo) == 12
    assert len(await aggregate(mongo.database["rows"], [{"$match": {}}])) == 12


@pytest.mark.parametrize("how", ["raises", "aborts", "conflicts"])
async def test_nothing_is_written_of_one_that_does_not_go_through(mongo: Mongo, how: str) -> None:
    await mongo.database["rows"].insert_one({"_id": 1})

    async def work(session: Session) -> str:
        await mongo.database["sums"].update_one({"_id": "a"}, {"$inc": {"n": 1}}, session=session)
        if how == "raises":
            raise RuntimeError("no more")
        if how == "conflicts":
            await mongo.database["rows"].insert_one({"_id": 1}, session=session)
        await session.abort_transaction()
        return "aborted"

    if how == "aborts":
        assert await mongo.transact(work) == "aborted"
    else:
        with pytest.raises((RuntimeError, DuplicateKeyError)):
            await mongo.transact(work)
    assert await total(mongo) == 0


class Line:
    """A session whose commits fail as they are told to, before or after they took effect."""

    def __init__(self, session: Any, faults: list[tuple[str, bool]]) -> None:
        self._session = session
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def commit_transaction(self) -> None:
        if not self._faults:
            await self._session.commit_transaction()
            return
        label, took_effect = self._faults.pop(0)
        if took_effect:
            await self._session.commit_transaction()
        elif label == "TransientTransactionError":
            await self._session.abort_transaction()
        raise DatabaseError("the line broke", error_labels=[label])


@pytest.mark.parametrize(
    "faults",
    [
        [("UnknownTransactionCommitResult", True)] * 2,
        [("UnknownTransactionCommitResult", False)],
        [("TransientTransactionError", False)] * 2,
    ],
)
async def test_a_commit_that_fails_is_made_again_and_counts_once(
    mongo: Mongo, faults: list[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = list(faults)
    attempt = mongo._try

    async def broken(session: Session, work: Any) -> Any:
        return await attempt(Line(session, left), lambda _: work(session))

    monkeypatch.setattr(mongo, "_try", broken)

    async def work(session: Session) -> None:
        await mongo.database["sums"].update_one({"_id": "a"}, {"$inc": {"n": 1}}, session=session)

    await mongo.transact(work)
    assert left == []
    assert await total(mongo) == 1


async def test_one_that_never_goes_through_is_given_up(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.db.TRANSACTION_SECONDS", 0.2)

    async def work(_: Session) -> None:
        raise DatabaseError("in the way", error_labels=["TransientTransactionError"])

    with pytest.raises(TimeoutError):
        await mongo.transact(work)


@pytest.mark.parametrize("driver", get_args(Driver))
async def test_the_url_may_say_how_long_to_wait(driver: Driver) -> None:
    mongo = Mongo("mongodb://127.0.0.1:9/?serverselectiontimeoutms=50", "x", driver)
    options = mongo.database.client.options
    assert options.server_selection_timeout == 0.05
    assert options.pool_options.connect_timeout == 3.0
    assert options.pool_options.socket_timeout == 10.0
    await mongo.close()
