"""The audit finds what is wrong in a real MongoDB, each thing under its own name."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from config.clock import SystemClock
from models.db import Mongo
from models.play.chunks import chunk_item
from models.play.records import event_item, record_item, result_item
from models.play.repo import PlayRepo
from server.simulation.audit import Finding, audit
from server.simulation.ledger import FileLedger, Played
from server.simulation.verify import Verifier

FRAMES = {seq: bytes([seq]) * 30 for seq in (1, 2, 3, 4)}
EVENTS: dict[int, tuple[str, dict[str, Any]]] = {
    0: ("set:start", {"set_no": 1, "motion": "fist"}),
    5: ("set:end", {"set_no": 1}),
    6: ("session:close", {"reason": "finished"}),
}
RECORD = {"set_no": 1, "grade": 80.0, "session_id": "s"}
RESULT = {"session_id": "s", "grade": 80.0}


@pytest.fixture
async def mongo(mongo_url: str, mongo_database: str) -> AsyncIterator[Mongo]:
    mongo = Mongo(mongo_url, mongo_database)
    await PlayRepo(mongo.database).store(
        [
            event_item("s", 0, *EVENTS[0], time_us=1),
            chunk_item("s", 1, [FRAMES[1], FRAMES[2]], 2),
            chunk_item("s", 3, [FRAMES[3], FRAMES[4]], 3),
            event_item("s", 5, *EVENTS[5], time_us=4),
            record_item("s", 5, RECORD),
            event_item("s", 6, *EVENTS[6], time_us=5),
            result_item("s", 6, RESULT),
        ]
    )
    yield mongo
    await mongo.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.jsonl"
    with FileLedger(path, SystemClock()) as ledger:
        ledger.opened("s", "c")
        for seq in range(7):
            event, body = EVENTS[seq] if seq in EVENTS else ("frames", FRAMES[seq])
            ledger.message("s", seq, event, body)
        ledger.acknowledged("s", 6, 6)
        ledger.played("s", Played(1, "fist", "left", 2, {"full": 2}, RECORD))
        ledger.sealed("s", 6, RESULT)
    return path


async def _found(mongo: Mongo, ledger: Path) -> Finding:
    report = await audit(ledger, PlayRepo(mongo.database))
    assert list(report.sessions) == ["s"]
    return report.total


def _wrong(finding: Finding) -> tuple[int, int, int, int]:
    return finding.lost, finding.duplicated, finding.altered, finding.out_of_order


async def test_what_is_whole_is_clean(mongo: Mongo, ledger: Path) -> None:
    finding = await _found(mongo, ledger)
    assert finding.clean
    assert (finding.sent, finding.buffered, finding.stored, finding.found) == (7, 7, 7, 7)


async def test_a_missing_chunk_is_lost(mongo: Mongo, ledger: Path) -> None:
    await mongo.database.frame_chunks.delete_one({"seq0": 3})
    assert _wrong(await _found(mongo, ledger)) == (2, 0, 0, 0)


async def test_a_missing_event_is_lost(mongo: Mongo, ledger: Path) -> None:
    await mongo.database.play_events.delete_one({"seq": 5})
    assert _wrong(await _found(mongo, ledger)) == (1, 0, 0, 0)


@pytest.mark.parametrize("collection", ["play_records", "therapy_results"])
async def test_a_missing_record_or_result_is_lost(
    mongo: Mongo, ledger: Path, collection: str
) -> None:
    await mongo.database[collection].delete_many({})
    assert _wrong(await _found(mongo, ledger)) == (1, 0, 0, 0)


async def test_overlapping_chunks_are_duplicates(mongo: Mongo, ledger: Path) -> None:
    item = chunk_item("s", 2, [FRAMES[2], FRAMES[3]], 9)
    await mongo.database.frame_chunks.insert_one(item.document)
    assert _wrong(await _found(mongo, ledger)) == (0, 2, 0, 0)


async def test_a_second_copy_of_an_event_or_record_is_a_duplicate(
    mongo: Mongo, ledger: Path
) -> None:
    for collection in ("play_events", "play_records"):
        copy = await mongo.database[collection].find_one({"set_no": 1}) or (
            await mongo.database[collection].find_one({"seq": 5})
        )
        await mongo.database[collection].insert_one({**copy, "_id": "copy"})
    assert _wrong(await _found(mongo, ledger)) == (0, 2, 0, 0)


async def test_one_changed_byte_is_altered(mongo: Mongo, ledger: Path) -> None:
    changed = bytes([FRAMES[4][0] ^ 1]) + FRAMES[4][1:]
    await mongo.database.frame_chunks.update_one({"seq0": 3}, {"$set": {"messages.1": changed}})
    assert _wrong(await _found(mongo, ledger)) == (0, 0, 1, 0)


@pytest.mark.parametrize(
    ("collection", "change"),
    [
        ("play_events", {"payload.motion": "spread"}),
        ("play_records", {"grade": 80.1}),
        ("therapy_results", {"grade": None}),
    ],
)
async def test_a_changed_field_is_altered(
    mongo: Mongo, ledger: Path, collection: str, change: dict[str, Any]
) -> None:
    await mongo.database[collection].update_one({}, {"$set": change})
    assert _wrong(await _found(mongo, ledger)) == (0, 0, 1, 0)


async def test_a_message_never_sent_is_altered(mongo: Mongo, ledger: Path) -> None:
    item = chunk_item("s", 7, [b"nobody sent this"], 9)
    await mongo.database.frame_chunks.insert_one(item.document)
    assert _wrong(await _found(mongo, ledger)) == (0, 0, 1, 0)


async def test_messages_that_changed_places_are_out_of_order(mongo: Mongo, ledger: Path) -> None:
    swapped = {"messages.0": FRAMES[2], "messages.1": FRAMES[1]}
    await mongo.database.frame_chunks.update_one({"seq0": 1}, {"$set": swapped})
    assert _wrong(await _found(mongo, ledger)) == (0, 0, 0, 2)


async def test_unacknowledged_messages_may_be_absent(
    mongo: Mongo, ledger: Path, tmp_path: Path
) -> None:
    path = tmp_path / "open.jsonl"
    with FileLedger(path, SystemClock()) as open_ledger:
        for seq in (0, 1, 2, 3):
            event, body = EVENTS[seq] if seq in EVENTS else ("frames", FRAMES[seq])
            open_ledger.message("s", seq, event, body)
        open_ledger.acknowledged("s", 3, 1)
    await mongo.database.frame_chunks.delete_one({"seq0": 3})
    await mongo.database.play_events.delete_many({"seq": {"$gt": 0}})
    finding = await _found(mongo, path)
    assert finding.clean
    assert (finding.sent, finding.buffered, finding.stored, finding.found) == (4, 4, 2, 3)


async def test_a_refused_message_holds_its_place_without_content(
    mongo: Mongo, tmp_path: Path
) -> None:
    path = tmp_path / "refused.jsonl"
    with FileLedger(path, SystemClock()) as ledger:
        ledger.message("t", 0, "frames", b"malformed")
        ledger.refused("t", 0, "invalid")
        ledger.acknowledged("t", 0, 0)
    void = event_item("t", 0, "void", None, time_us=1, code="invalid")
    await mongo.database.play_events.insert_one(void.document)
    report = await audit(path, PlayRepo(mongo.database))
    assert report.total.clean
    assert report.total.found == 1


async def test_the_verifier_judges_what_it_was_told(
    mongo: Mongo, mongo_url: str, mongo_database: str
) -> None:
    await mongo.database.frame_chunks.delete_one({"seq0": 3})
    with Verifier(lambda: Mongo(mongo_url, mongo_database)) as verifier:
        verifier.opened("s", "c")
        for seq in range(7):
            event, body = EVENTS[seq] if seq in EVENTS else ("frames", FRAMES[seq])
            verifier.message("s", seq, event, body)
        verifier.acknowledged("s", 6, 6)
        verifier.played("s", Played(1, "fist", "left", 2, {"full": 2}, {**RECORD, "grade": 1}))
        verifier.sealed("s", 6, RESULT)
        verifier.acknowledged("s", 6, 6)
        verifier.opened("never sealed", "c")
        verifier.message("never sealed", 0, *EVENTS[0])
        verdict = await verifier.finish()
    assert verdict.sessions == 2
    assert (verdict.finding.sent, verdict.finding.found) == (8, 5)
    assert _wrong(verdict.finding) == (2, 0, 1, 0)
    # Neither has a session document, so neither can be scored again.
    assert sorted(verdict.different) == ["never sealed", "s"]
    assert not verdict.rescored_equal


async def test_a_verifier_told_nothing_proves_nothing(mongo_url: str, mongo_database: str) -> None:
    with Verifier(lambda: Mongo(mongo_url, mongo_database)) as verifier:
        verdict = await verifier.finish()
    assert verdict.finding.clean
    assert not verdict.rescored_equal
