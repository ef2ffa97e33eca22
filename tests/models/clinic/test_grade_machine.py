"""Weeks, therapists, trials, consents and decisions in any order: a grade stays what it must be."""

import asyncio
import os
from datetime import date, timedelta
from typing import ClassVar, get_args

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from models.attributes.records import ClinicalTrial
from models.children.records import Child, Consent, Grade, child_of
from models.clinic.grade_records import WEEK, Proposal, ProposalStatus, Says
from models.db import Mongo
from models.errors import AppError
from models.play.repo import PlayRepo
from tests.models.families import Stores, stores_on
from tests.models.played import at, look_at_all, play_week, rounds_of

FIRST = date(2026, 6, 1)
CHILD, GUARDIAN, THERAPIST = "c_1", "u_1", "t_1"
TRIAL = ClinicalTrial(trial="t", site="cl", arm="A", subject_no="1", protocol_version="1")


class Grading(RuleBasedStateMachine):
    """Steps of one child, its family, its therapist and the job, on the real stores."""

    urls: ClassVar[tuple[str, str]]
    """Of MongoDB and Redis."""

    def __init__(self) -> None:
        super().__init__()
        self.name = f"test_{os.urandom(8).hex()}"
        self.runner = asyncio.Runner()
        self.care: str | None = None
        self.trial: str | None = None
        self.consented = True
        self.made = self.week = 0
        self.stores = self.runner.run(self.start())
        self.families = self.stores.families
        self.play = PlayRepo(self.stores.mongo.database)

    async def start(self) -> Stores:
        """Return a database of this run's own, with a child that may play."""
        mongo_url, redis_url = self.urls
        self.redis = Redis.from_url(redis_url, protocol=2)
        stores = stores_on(Mongo(mongo_url, self.name, "pymongo"), self.redis, f"test:{self.name}")
        for repo in stores.families.indexed:
            await repo.ensure_indexes()
        stores.clock.us = round(at(FIRST, 12, "Asia/Seoul").timestamp() * 1e6)
        await stores.add(CHILD, GUARDIAN)
        for purpose in (Consent.PLAY_DATA, Consent.THERAPIST_VIEWING):
            await stores.families.consents.give(CHILD, purpose, 1, "ko", GUARDIAN)
        return stores

    async def stop(self) -> None:
        mongo = self.stores.mongo
        await mongo.database.client.drop_database(self.name)
        await self.redis.delete(f"test:{self.name}:access")
        await mongo.close()
        await self.redis.aclose()

    def teardown(self) -> None:
        self.runner.run(self.stop())
        self.runner.close()

    async def child(self) -> Child:
        return child_of(await self.stores.mongo.database["children"].find_one({"_id": CHILD}))

    async def proposals(self) -> list[Proposal]:
        return await self.families.grades.list_proposals(CHILD, 200)

    def new_id(self, kind: str) -> str:
        self.made += 1
        return f"{kind}_{self.made}"

    @initialize(grade=st.sampled_from([1, 3, 5]), cared=st.sampled_from([True, True, False]))
    def begin_somewhere(self, grade: int, cared: bool) -> None:
        self.set_by_hand(grade)
        if cared:
            self.change_care()

    @rule(
        done=st.sampled_from([1.0, 1.0, 0.7, 0.2, None]),
        weeks=st.sampled_from([1, 2, 2, 3]),
        looked=st.integers(1, 3),
    )
    def pass_weeks(self, done: float | None, weeks: int, looked: int) -> None:
        for _ in range(weeks):
            self.pass_a_week(done, looked)

    def pass_a_week(self, done: float | None, looked: int) -> None:
        async def work() -> None:
            monday = FIRST + self.week * WEEK
            if done is not None:
                await play_week(self.play, CHILD, monday, done)
            self.stores.clock.move(WEEK.total_seconds())
            mongo, clock = self.stores.mongo, self.stores.clock
            await asyncio.gather(*(look_at_all(rounds_of(mongo, clock)) for _ in range(looked)))

        before = self.runner.run(self.child())
        self.runner.run(work())
        self.week += 1
        after = self.runner.run(self.child())
        assert abs(after.grade - before.grade) <= 1
        if self.care is not None or self.trial is not None or not self.consented:
            assert after.grade == before.grade, "somebody is asked first, or nobody may"
        if self.trial is not None or not self.consented:
            assert after.grade_proposed is None, "what may not be gone by waits for nobody"

    @rule(days=st.sampled_from([1, 3]))
    def wait(self, days: int) -> None:
        """Let days pass, and come back to the same hour of the week."""
        self.stores.clock.move(timedelta(days=days).total_seconds())
        self.runner.run(look_at_all(rounds_of(self.stores.mongo, self.stores.clock)))
        self.stores.clock.move(-timedelta(days=days).total_seconds())

    @rule(grade=st.sampled_from(get_args(Grade)))
    def set_by_hand(self, grade: Grade) -> None:
        async def work() -> None:
            child = await self.child()
            await self.families.grades.set(child, grade, "admin", "by hand", "a_1")

        self.runner.run(work())

    @rule(accept=st.booleans(), newest=st.booleans())
    def decide(self, accept: bool, newest: bool) -> None:
        async def work() -> None:
            found = await self.proposals()
            if not found:
                return
            chosen, child = found[0 if newest else -1], await self.child()
            open_ = chosen.status is ProposalStatus.OPEN
            decided = ProposalStatus.ACCEPTED if accept else ProposalStatus.DECLINED
            try:
                await self.families.grades.decide(
                    child, chosen.id, accept=accept, source="therapist", reason="seen", by=THERAPIST
                )
            except AppError:
                barred = self.trial is not None or not self.consented
                assert (open_ and accept and barred) or chosen.status not in (decided, "open")
            else:
                assert open_ or chosen.status is decided
                grade = (await self.child()).grade
                assert grade == (chosen.after if open_ and accept else child.grade)

        self.runner.run(work())

    @rule()
    def change_care(self) -> None:
        async def work() -> None:
            care = self.families.care
            if self.care is not None:
                await care.end_by_family(CHILD, self.care, GUARDIAN, admin=False)
                self.care = None
                return
            self.care = self.new_id("ca")
            _, code = await care.invite(self.care, CHILD, None, 3000, GUARDIAN)
            await care.accept(code, THERAPIST)

        self.runner.run(work())

    @precondition(lambda self: self.trial is not None or self.made % 3 == 1)
    @rule()
    def change_trial(self) -> None:
        async def work() -> None:
            attributes, now = self.families.attributes, self.stores.clock.now()
            if self.trial is not None:
                await attributes.close(CHILD, self.trial, "a_1", "over")
                self.trial = None
                return
            self.trial = self.new_id("at")
            await attributes.set(self.trial, CHILD, TRIAL, now, None, "a_1", None)

        self.runner.run(work())

    @precondition(lambda self: not self.consented or self.week % 3 == 2)
    @rule()
    def change_consent(self) -> None:
        async def work() -> None:
            consents = self.families.consents
            if self.consented:
                await consents.withdraw(CHILD, Consent.PLAY_DATA, "ko", GUARDIAN)
            else:
                await consents.give(CHILD, Consent.PLAY_DATA, 1, "ko", GUARDIAN)
            self.consented = not self.consented

        self.runner.run(work())

    @invariant()
    def the_history_tells_the_grade(self) -> None:
        async def look() -> None:
            child = await self.child()
            changes = (await self.families.grades.list_changes(CHILD, 200))[::-1]
            assert [c.n for c in changes] == list(range(1, child.grade_n + 1))
            grade = 1
            for change in changes:
                assert change.before == grade != change.after
                grade = change.after
            assert child.grade == grade
            by_rule = {c.proposal for c in changes if c.source == "rule"}
            found = await self.proposals()
            assert by_rule == {p.id for p in found if p.status is ProposalStatus.APPLIED}

        self.runner.run(look())

    @invariant()
    def what_is_open_is_true(self) -> None:
        async def look() -> None:
            child, found = await self.child(), await self.proposals()
            assert len({p.weeks[-1].monday for p in found}) == len(found)
            open_ = [p for p in found if p.status is ProposalStatus.OPEN]
            assert len(open_) <= 1
            assert child.grade_proposed == (open_[0].after if open_ else None)
            for one in open_:
                assert (one.before, one.grade_n) == (child.grade, child.grade_n)
            for one in found:
                older, newer = one.weeks
                assert newer.monday - older.monday == WEEK
                assert older.says is newer.says
                up = one.after - one.before
                assert up == (1 if newer.says is Says.UP else -1)
                assert (one.settled_at is None) == (one.status is ProposalStatus.OPEN)

        self.runner.run(look())


@pytest.mark.timeout(240)
def test_a_grade_is_what_was_decided_in_any_order(mongo_url: str, redis_url: str) -> None:
    Grading.urls = (mongo_url, redis_url)
    run_state_machine_as_test(
        Grading,
        settings=hypothesis_settings(
            max_examples=10,
            stateful_step_count=24,
            deadline=None,
            database=None,
            derandomize=True,
        ),
    )
