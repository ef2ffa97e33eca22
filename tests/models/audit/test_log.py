"""The access log on a real MongoDB: many writers, and everything somebody could do to it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.audit.log import AuditLog
from models.audit.records import CHAINS, GENESIS, Head, Look, chain_of, digest, entry_of
from models.audit.repo import AuditRepo
from models.audit.verify import verify
from models.cipher import FieldCipher, KeyRing
from models.db import Mongo
from models.errors import AppError, ErrorCode

CIPHER = FieldCipher(KeyRing({"k": bytes(32)}, "k", bytes(32)))


def signed(text: str) -> str:
    return CIPHER.index(text, "access log head")


def look(child_id: str = "c_1", n: int = 0, **more: Any) -> Look:
    said: dict[str, Any] = {
        "user_id": "u_1", "acting_for": None, "sign_in": "s_1", "role": "therapist",
        "action": "results", "via": "rest",
        "address": "192.0.2.1", "trace_id": "t", "reason": None, "at_us": 1_780_000_000_000_000 + n,
    }  # fmt: skip
    return Look(child_id=child_id, **{**said, **more})


@pytest.fixture
async def repos(mongo_url: str, mongo_database: str) -> AsyncIterator[list[AuditRepo]]:
    """Return the repositories of three workers."""
    mongos = [Mongo(mongo_url, mongo_database) for _ in range(3)]
    repos = [AuditRepo(mongo, signed) for mongo in mongos]
    await repos[0].ensure_indexes()
    yield repos
    for mongo in mongos:
        await mongo.close()


@pytest.fixture
def repo(repos: list[AuditRepo]) -> AuditRepo:
    return repos[0]


async def faults(repo: AuditRepo, anchors: Any = None) -> list[tuple[int | None, str]]:
    return [(fault.seq, fault.what) for fault in (await verify(repo, anchors)).faults]


async def written(repo: AuditRepo, count: int) -> int:
    """Append entries on one child, and return their chain."""
    await AuditLog(repo).record([look(n=n) for n in range(count)])
    return chain_of("c_1")


async def test_many_workers_append_without_loss_or_fork(repos: list[AuditRepo]) -> None:
    logs = [AuditLog(repo) for repo in repos]
    async with asyncio.TaskGroup() as group:
        for n in range(90):
            group.create_task(logs[n % 3].record([look(f"c_{n % 5}", n), look("c_1", n)]))
    verdict = await verify(repos[0])
    assert verdict.faults == []
    assert verdict.entries == 180
    assert sum(head.seq + 1 for head in verdict.heads.values()) == 180
    mine = await repos[1].list_looks("c_1", 200)
    assert len(mine) == 90 + 18
    assert len({entry["chain"] for entry in mine}) == 1


async def test_looks_come_newest_first_in_pages(repo: AuditRepo) -> None:
    await written(repo, 7)
    await AuditLog(repo).record([look("c_2")])
    first = await repo.list_looks("c_1", 4)
    rest = await repo.list_looks("c_1", 4, (first[-1]["at_us"], first[-1]["seq"]))
    assert [entry["seq"] for entry in (*first, *rest)] == [6, 5, 4, 3, 2, 1, 0]


FIELDS = "child_id user_id acting_for sign_in role action address reason at_us hash previous"


@pytest.mark.parametrize("field", FIELDS.split())
async def test_one_altered_value_is_found(repo: AuditRepo, field: str) -> None:
    chain = await written(repo, 5)
    entry = await repo._db["access_log"].find_one({"_id": f"{chain}:2"})
    value = entry[field]
    if isinstance(value, str) and len(value) == 64:
        changed: Any = f"{int(value[0], 16) ^ 1:x}{value[1:]}"
    else:
        changed = value + 1 if isinstance(value, int) else f"{value or ''}x"
    await repo._db["access_log"].update_one({"_id": entry["_id"]}, {"$set": {field: changed}})
    assert 2 in {seq for seq, _ in await faults(repo)}


async def test_an_added_field_is_found(repo: AuditRepo) -> None:
    chain = await written(repo, 3)
    await repo._db["access_log"].update_one({"_id": f"{chain}:1"}, {"$set": {"more": 1}})
    assert await faults(repo) == [(1, "altered")]


async def test_a_chain_made_anew_from_an_altered_entry_on_is_found(repo: AuditRepo) -> None:
    """Whoever can write to the database can hash, but not sign."""
    chain = await written(repo, 4)
    previous = (await repo._db["access_log"].find_one({"_id": f"{chain}:0"}))["hash"]
    for seq in (1, 2, 3):
        forged = entry_of(look(n=seq, user_id="somebody else"), chain, seq, previous)
        await repo._db["access_log"].replace_one({"_id": forged["_id"]}, forged)
        previous = forged["hash"]
    assert await faults(repo) == [(3, "the signed head, but the last entry is 3")]
    await repo._db["access_log_heads"].update_one({"_id": chain}, {"$set": {"hash": previous}})
    assert await faults(repo) == [(3, "the signature of the head is not ours")]


async def test_a_missing_entry_is_found(repo: AuditRepo) -> None:
    chain = await written(repo, 5)
    await repo._db["access_log"].delete_one({"_id": f"{chain}:2"})
    assert await faults(repo) == [(2, "missing, up to 3")]


async def test_two_entries_that_changed_places_are_found(repo: AuditRepo) -> None:
    chain = await written(repo, 4)
    one = await repo._db["access_log"].find_one({"_id": f"{chain}:1"})
    two = await repo._db["access_log"].find_one({"_id": f"{chain}:2"})
    await repo._db["access_log"].delete_many({"_id": {"$in": [one["_id"], two["_id"]]}})
    swapped = [{**one, "_id": two["_id"], "seq": 2}, {**two, "_id": one["_id"], "seq": 1}]
    await repo._db["access_log"].insert_many(swapped)
    assert {seq for seq, _ in await faults(repo)} == {1, 2, 3}


async def test_a_cut_end_is_found(repo: AuditRepo) -> None:
    chain = await written(repo, 5)
    await repo._db["access_log"].delete_many({"chain": chain, "seq": {"$gte": 3}})
    assert await faults(repo) == [(4, "the signed head, but the last entry is 2")]


async def test_an_end_cut_together_with_its_head_is_found_by_an_anchor(repo: AuditRepo) -> None:
    chain = await written(repo, 3)
    old = await repo._db["access_log_heads"].find_one({"_id": chain})
    await AuditLog(repo).record([look(n=3)])
    anchors = (await verify(repo)).heads
    assert await faults(repo, anchors) == []
    await repo._db["access_log"].delete_one({"_id": f"{chain}:3"})
    await repo._db["access_log_heads"].replace_one({"_id": chain}, old)
    assert await faults(repo) == []
    assert await faults(repo, anchors) == [(3, "the entry of the anchor is not there")]


async def test_a_head_taken_away_stops_the_log_and_is_found(repo: AuditRepo) -> None:
    chain = await written(repo, 2)
    await repo._db["access_log_heads"].delete_one({"_id": chain})
    assert await faults(repo) == [(None, "the head is missing")]
    with pytest.raises(AppError) as refused:
        await AuditLog(repo).record([look()])
    assert refused.value.code is ErrorCode.BUSY
    await repo.ensure_indexes()  # as a restart does
    with pytest.raises(AppError):
        await AuditLog(repo).record([look()])
    assert await faults(repo) == [(-1, "the signed head, but the last entry is 1")]


async def test_a_chain_of_somebody_elses_is_found(repo: AuditRepo) -> None:
    await repo._db["access_log"].insert_one(entry_of(look(), CHAINS, 0, GENESIS))
    assert await faults(repo) == [(None, "there is no such chain"), (None, "the head is missing")]


async def test_nothing_is_written_of_a_look_that_fails_half_way(repo: AuditRepo) -> None:
    chain = await written(repo, 1)
    await repo._db["access_log"].insert_one({"_id": "x", "chain": chain, "seq": 2})
    with pytest.raises(AppError):  # the second number is taken
        await AuditLog(repo).record([look(n=1), look(n=2)])
    await repo._db["access_log"].delete_one({"_id": "x"})
    assert await faults(repo) == []
    assert (await verify(repo)).entries == 1


async def test_a_log_that_does_not_answer_refuses_in_time(
    mongo_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.audit.log.WAIT_SECONDS", 0.1)
    away = Mongo("mongodb://127.0.0.1:9/?connectTimeoutMS=50", mongo_database)
    with pytest.raises(AppError) as refused:
        await AuditLog(AuditRepo(away, signed)).record([look()])
    assert (refused.value.code, refused.value.retry_ms) == (ErrorCode.BUSY, 2000)
    await away.close()


@given(st.text(min_size=1), st.text(min_size=1), st.integers(0, 2**53))
def test_a_hash_is_of_everything_said(child_id: str, reason: str, at_us: int) -> None:
    one = entry_of(look(child_id, reason=reason, at_us=at_us), 0, 7, GENESIS)
    assert digest(GENESIS, one) == one["hash"]
    assert digest(GENESIS, {**one, "seq": 8}) != one["hash"]
    assert digest("1" * 64, one) != one["hash"]
    assert 0 <= chain_of(child_id) < CHAINS


def test_heads_of_two_chains_are_signed_apart() -> None:
    assert Head(1, 1, "a").text != Head(1, 11, "a").text != Head(11, 1, "a").text
