"""A withdrawal that is cut off at each of its steps, and comes to the same end all the same."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pymongo
import pytest
import redis as redis_sync
from pymongo.errors import AutoReconnect

from config.settings import Settings
from models.withdrawal.records import Step
from server.lifespan import PARTS
from tests.flows.api import CHILD
from tests.flows.client import START, connected
from tests.flows.people import GOOD, Person, Town, town
from tests.flows.test_withdrawal import consented, everything, receipt_of

Admin = pymongo.MongoClient[dict[str, object]]
NEVER = {"undo_hours": 0, "look_seconds": 3600}
END = {"tombstones": 2, "withdrawals": 1}
"""How many documents there are of each collection that is not empty, at the end."""


class Cut:
    """Cuts the work off around the moment a step is written down."""

    def __init__(self, step: Step, how: str, record: Callable[..., Awaitable[None]]) -> None:
        self.step = step
        self.how = how
        self.record = record
        self.cuts = 0

    async def __call__(self, withdrawal_id: str, step: Step, *more: Any) -> None:
        """Take the place of `WithdrawalRepo.record`."""
        cut = step is self.step and not self.cuts
        self.cuts += cut
        if cut and self.how == "killed after":
            await self.record(withdrawal_id, step, *more)
        if cut and self.how.startswith("killed"):
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        if cut:
            raise AutoReconnect("the test takes the database away")
        await self.record(withdrawal_id, step, *more)


async def forgotten(*_: Any) -> None:
    """Take the place of `WithdrawalRepo.release` for a worker that is killed."""


@pytest.mark.parametrize("how", ["killed before", "killed after", "store away"])
@pytest.mark.parametrize("step", [step for step in Step if step is not Step.SIGN_OUT])
async def test_a_withdrawal_that_is_cut_off_comes_to_the_same_end(
    settings: Settings, tmp_path: Path, mongo_admin: Admin, mongo_database: str, redis_url: str,
    redis_prefix: str, step: Step, how: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    async with town(settings, tmp_path, withdrawal=NEVER) as here:
        parts = here.served.app[PARTS].background
        await parts.indexes.made.wait()
        asked, gone = await somebody_leaves(here)
        leaving = parts.leaving.job
        repo = leaving._repo
        cut = Cut(step, how, repo.record)
        rows = mongo_admin[mongo_database]["withdrawals"]
        with monkeypatch.context() as patched:
            patched.setattr(repo, "record", cut)
            patched.setattr(repo, "release", forgotten)
            for _ in range(100):
                turn = asyncio.create_task(leaving.look())
                (ended,) = (await asyncio.wait([turn], timeout=20))[0]
                if cut.cuts:
                    assert ended.cancelled() == how.startswith("killed")
                    assert ended.cancelled() or isinstance(ended.exception(), AutoReconnect)
                    break
                ended.result()
                rows.update_one({}, {"$unset": {"lease": ""}})
                await asyncio.sleep(0.1)
            assert cut.cuts, "it came to the step"
            assert not await leaving.look(), "the dead worker's lease holds"
        rows.update_one({}, {"$unset": {"lease": ""}})
        async with asyncio.timeout(15):
            while (receipt := await receipt_of(here, asked))["state"] != "withdrawn":
                await leaving.look()
                await asyncio.sleep(0.05)
        assert [one["step"] for one in receipt["steps"]] == [*Step]
        assert all(one["done"] for one in receipt["steps"])
        assert here.vouchers.unlinked == ["4711004711"]

        posted = mongo_admin[mongo_database]["outbox"]
        async with asyncio.timeout(15):
            while posted.count_documents({"payload": {"$exists": True}}):
                await asyncio.sleep(0.05)
        told = [message["Subject"] for _, message in here.mail.taken]
        assert told.count("Your account is erased") == 1, "however often its step was done"
        left = everything(mongo_admin, mongo_database)
        assert not {"payload", "about"} & {key for row in left.pop("outbox") for key in row}
        assert {name: len(found) for name, found in left.items() if found} == END
        for one in gone:
            assert one not in str(left)
        with redis_sync.Redis.from_url(redis_url) as redis:
            names = b" ".join(redis.scan_iter(match=f"{redis_prefix}*")).decode()
            lists = [redis.zrange(f"{redis_prefix}:{one}", 0, -1) for one in ("revoked", "access")]
            marks = [
                redis.hgetall(key) for key in redis.scan_iter(match=f"{redis_prefix}*:session:*")
            ]
        # What stays of a session for a day is a mark that nobody can append behind.
        assert all(mark.keys() == {b"token", b"last", b"stored", b"state"} for mark in marks)
        for one in gone[:2]:
            assert one not in f"{names} {lists}"


async def somebody_leaves(here: Town) -> tuple[Any, list[str]]:
    """Let a guardian with a playing child withdraw; return the answer, and what must go."""
    async with somebody_plays(here) as (person, gone):
        asked = await person.call("POST", "/v1/me/withdrawal")
    assert asked.status == 202, asked.body
    return asked, gone


@asynccontextmanager
async def somebody_plays(here: Town) -> AsyncIterator[tuple[Person, list[str]]]:
    """Let the child of a guardian play until somebody ends it."""
    person = here.person()
    claims = {"email": "jiu@example.com", "email_verified": True, "nickname": "박지우"}
    token = here.vouchers.token("kakao", "4711004711", **claims)
    signed = await person.social("kakao", idToken=token)
    person.keep(signed)
    answer = await person.call("POST", "/v1/me/password", {"password": GOOD})
    assert answer.status == 200, answer.body
    child_id = (await person.call("POST", "/v1/children", CHILD))["id"]
    await consented(person, child_id, "play_data")
    async with connected(here.served.url, "/game", person.access) as game:
        session_id = (await game.open(child_id))["session_id"]
        await game.ok("set:start", 0, {**START, "set_no": 1})
        yield person, [signed["userId"], child_id, session_id, "jiu@example.com", "4711004711"]
