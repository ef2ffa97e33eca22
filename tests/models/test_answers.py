"""First answers: done once, given again, sealed, and tried again after a crash."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from models.answers import KEPT, LEASE, Answers, Asked, Kept, Turn
from models.db import Database, Mongo
from models.errors import AppError, ErrorCode
from tests.factories import ManualClock

ASKED = Asked("u1", "POST /v1/notes", "key-0123456789abcdef", "digest-1")
ANSWER = Kept(201, b'{"name": "Haneul"}')


@pytest.fixture
async def database(mongo_url: str, mongo_database: str) -> AsyncIterator[Database]:
    mongo = Mongo(mongo_url, mongo_database)
    yield mongo.database
    await mongo.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def answers(database: Database, clock: ManualClock) -> Answers:
    return Answers(database, clock)


async def turn_of(answers: Answers, asked: Asked = ASKED) -> Turn:
    turn = await answers.begin(asked)
    assert isinstance(turn, Turn)
    return turn


async def code_of(answers: Answers, asked: Asked) -> ErrorCode:
    with pytest.raises(AppError) as refused:
        await answers.begin(asked)
    return refused.value.code


async def test_the_first_answer_is_given_again(answers: Answers) -> None:
    await answers.keep(ASKED, await turn_of(answers), ANSWER)
    assert await answers.begin(ASKED) == ANSWER
    assert await answers.begin(ASKED) == ANSWER


@pytest.mark.parametrize(
    "other",
    [
        Asked("u2", ASKED.route, ASKED.key, ASKED.digest),
        Asked(ASKED.principal, "POST /v1/others", ASKED.key, ASKED.digest),
        Asked(ASKED.principal, ASKED.route, "another-key-012345", ASKED.digest),
        Asked("u1POST", " /v1/notes", ASKED.key, ASKED.digest),
    ],
)
async def test_another_caller_route_or_key_is_another_request(
    answers: Answers, other: Asked
) -> None:
    await answers.keep(ASKED, await turn_of(answers), ANSWER)
    await turn_of(answers, other)


async def test_a_key_is_for_one_request(answers: Answers) -> None:
    other = Asked(ASKED.principal, ASKED.route, ASKED.key, "digest-2")
    turn = await turn_of(answers)
    assert await code_of(answers, other) is ErrorCode.IDEMPOTENCY_KEY_REUSED
    await answers.keep(ASKED, turn, ANSWER)
    assert await code_of(answers, other) is ErrorCode.IDEMPOTENCY_KEY_REUSED


async def test_of_many_at_once_one_gets_the_turn(answers: Answers) -> None:
    found = await asyncio.gather(*(answers.begin(ASKED) for _ in range(30)), return_exceptions=True)
    turns = [one for one in found if isinstance(one, Turn)]
    codes = {one.code for one in found if isinstance(one, AppError)}
    assert len(turns) == 1
    assert codes == {ErrorCode.REQUEST_IN_PROGRESS}


async def test_a_request_that_was_cut_off_is_done_again_by_one(
    answers: Answers, clock: ManualClock
) -> None:
    first = await turn_of(answers)
    assert await code_of(answers, ASKED) is ErrorCode.REQUEST_IN_PROGRESS
    clock.move(LEASE.total_seconds())
    found = await asyncio.gather(*(answers.begin(ASKED) for _ in range(9)), return_exceptions=True)
    (second,) = [one for one in found if isinstance(one, Turn)]
    await answers.keep(ASKED, first, Kept(201, b"late"))
    assert await code_of(answers, ASKED) is ErrorCode.REQUEST_IN_PROGRESS, "the late one lost it"
    await answers.keep(ASKED, second, ANSWER)
    assert await answers.begin(ASKED) == ANSWER


async def test_a_refusal_frees_the_key_for_anything(answers: Answers) -> None:
    await answers.forget(await turn_of(answers))
    await turn_of(answers, Asked(ASKED.principal, ASKED.route, ASKED.key, "digest-2"))


async def test_a_failure_frees_the_key_for_the_same_request_alone(answers: Answers) -> None:
    await answers.free(await turn_of(answers))
    other = Asked(ASKED.principal, ASKED.route, ASKED.key, "digest-2")
    assert await code_of(answers, other) is ErrorCode.IDEMPOTENCY_KEY_REUSED
    await turn_of(answers)


async def test_after_a_day_the_key_is_new(
    answers: Answers, clock: ManualClock, database: Database
) -> None:
    await answers.keep(ASKED, await turn_of(answers), ANSWER)
    clock.move(KEPT.total_seconds())
    assert await code_of(answers, ASKED) is ErrorCode.REQUEST_IN_PROGRESS
    await turn_of(answers)
    await answers.ensure_indexes()
    indexes = await database["answers"].index_information()
    assert indexes["expires_at_1"]["expireAfterSeconds"] == 0


async def test_the_database_can_read_neither_key_nor_answer(
    answers: Answers, database: Database
) -> None:
    await answers.keep(ASKED, await turn_of(answers), ANSWER)
    row = await database["answers"].find_one({})
    assert "Haneul" not in str(row)
    assert ASKED.key not in str(row)
    assert ASKED.seal_key.hex() not in str(row)


async def test_an_answer_altered_in_the_database_is_not_given(
    answers: Answers, database: Database
) -> None:
    await answers.keep(ASKED, await turn_of(answers), ANSWER)
    row = await database["answers"].find_one({})
    altered = bytes([row["answer"][0] ^ 1]) + row["answer"][1:]
    await database["answers"].update_one({"_id": row["_id"]}, {"$set": {"answer": altered}})
    with pytest.raises(ValueError, match="altered"):
        await answers.begin(ASKED)
