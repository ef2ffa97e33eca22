"""Dead letters are listed with their reason, and stored once they can be."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from models.db import Mongo
from models.play.dead import DeadLetters
from models.play.records import Item, Kind
from models.play.repo import PlayRepo
from server.__main__ import main

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
async def mongo(
    mongo_url: str, mongo_database: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Mongo]:
    monkeypatch.setenv("GEMGEM_MONGO_URL", mongo_url)
    monkeypatch.setenv("GEMGEM_STORE__MONGO_DATABASE", mongo_database)
    mongo = Mongo(mongo_url, mongo_database)
    yield mongo
    await mongo.close()


async def _bury(mongo: Mongo, *items: Item) -> None:
    repo = PlayRepo(mongo.database)
    for item in items:
        await repo.bury(item.field().encode(), item.blob(), "it was full", AT)


def _event(session_id: str, seq: int, **more: object) -> Item:
    return Item(
        Kind.EVENT,
        session_id,
        seq,
        {"_id": f"{session_id}:{seq}", "session_id": session_id, "seq": seq, **more},
    )


async def test_a_letter_is_stored_once_and_leaves_the_list(
    mongo: Mongo, capfd: pytest.CaptureFixture[str]
) -> None:
    # What no BSON can hold stays, and does not keep the others from being stored.
    await _bury(mongo, _event("a", 0), _event("a", 1, big=2**64 - 1), _event("b", 0))
    assert await asyncio.to_thread(main, ["dead-letters", "list", "--json"]) == 0
    said = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(one["session_id"], one["reason"]) for one in said] == [
        ("a", "it was full"),
        ("a", "it was full"),
        ("b", "it was full"),
    ]
    assert said[0]["at"] == "2026-01-02T03:04:05+00:00"

    assert await asyncio.to_thread(main, ["dead-letters", "retry", "--session", "a"]) == 1
    told = capfd.readouterr()
    assert "1 of 2 stored" in told.err
    assert "OverflowError" in told.out
    repo = PlayRepo(mongo.database)
    assert [event["seq"] async for event in repo.iter_events("a")] == [0]
    assert [event async for event in repo.iter_events("b")] == []
    assert await repo.count_dead("a") == 1

    assert await asyncio.to_thread(main, ["dead-letters", "retry", "--session", "b"]) == 0
    assert [event["seq"] async for event in repo.iter_events("b")] == [0]
    assert [letter.name async for letter in DeadLetters(mongo.database).iter()] == ["1|e|a|1"]


async def test_retrying_what_is_stored_already_changes_nothing(mongo: Mongo) -> None:
    await _bury(mongo, _event("a", 0, payload={"first": True}))
    letters = DeadLetters(mongo.database)
    [letter] = [letter async for letter in letters.iter()]
    assert await letters.retry(letter) is None
    assert await letters.retry(letter) is None
    [event] = [event async for event in PlayRepo(mongo.database).iter_events("a")]
    assert event["payload"] == {"first": True}


async def test_a_damaged_letter_says_so_and_stays(mongo: Mongo) -> None:
    repo = PlayRepo(mongo.database)
    await repo.bury(b"1|e|a|0", b"\xc1", "not msgpack", AT)
    await repo.bury(b"99|e|a|1", b"", "newer", AT)
    letters = DeadLetters(mongo.database)
    reasons = [await letters.retry(letter) async for letter in letters.iter()]
    assert all(reasons)
    assert len([letter async for letter in letters.iter("a")]) == 2


def test_without_a_database_it_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GEMGEM_MONGO_URL", raising=False)
    assert main(["dead-letters", "list"]) == 2
    assert "GEMGEM_MONGO_URL" in capfd.readouterr().err
