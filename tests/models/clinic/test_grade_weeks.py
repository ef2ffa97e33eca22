"""The weekly look at grades on real stores: what is proposed, to whom, and never twice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from jobs.grades import GradeRounds
from models.attributes.records import ClinicalTrial
from models.children.records import Child, Consent, child_of
from models.clinic.grade_records import WEEK, Proposal, ProposalStatus, Untrue
from models.clinic.grade_rules import played_of
from models.db import Mongo
from models.errors import AppError, ErrorCode
from models.play.repo import PlayRepo
from sessions.catalogue import catalogue
from sessions.rehearsal import Rehearsal
from tests.factories import redis_of
from tests.models.families import Stores, stores_on
from tests.models.played import at, look_at_all, play_week, rounds_of

FIRST = date(2026, 6, 1)
"""A Monday."""
TRIAL = ClinicalTrial(trial="t", site="cl", arm="A", subject_no="1", protocol_version="1")


class Clinic:
    """A child, its therapist when there is one, and the job."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self.families = stores.families
        self.clock = stores.clock
        self.play = PlayRepo(stores.mongo.database)
        self.rounds = rounds_of(stores.mongo, stores.clock)

    async def add(self, child_id: str = "c_1", *, therapist: bool = False) -> None:
        """Add a child that may play."""
        await self.stores.add(child_id, "u_1")
        await self.families.consents.give(child_id, Consent.PLAY_DATA, 1, "ko", "u_1")
        if therapist:
            await self.take_into_care(child_id)

    async def take_into_care(self, child_id: str = "c_1", number: int = 1) -> None:
        """Let a therapist have the child."""
        await self.families.consents.give(child_id, Consent.THERAPIST_VIEWING, 1, "ko", "u_1")
        care = self.families.care
        _, code = await care.invite(f"ca_{child_id}_{number}", child_id, None, 180, "u_1")
        await care.accept(code, "t_1")

    async def child(self, child_id: str = "c_1") -> Child:
        """Return the child as it is."""
        found = await self.stores.mongo.database["children"].find_one({"_id": child_id})
        return child_of(found)

    def move_to(self, day: date, hour: int = 12, zone: str = "Asia/Seoul") -> None:
        """Let it be that hour."""
        self.clock.us = round(at(day, hour, zone).timestamp() * 1e6)

    async def week(self, n: int, done: float | None, child_id: str = "c_1") -> None:
        """Let a week be played and be over, and look at it; None plays nothing."""
        if done is not None:
            await play_week(self.play, child_id, FIRST + n * WEEK, done)
        self.move_to(FIRST + (n + 1) * WEEK)
        await look_at_all(self.rounds)

    async def proposals(self, child_id: str = "c_1") -> list[Proposal]:
        """Return what was proposed, the oldest first."""
        return (await self.families.grades.list_proposals(child_id, 50))[::-1]

    async def told(self) -> list[tuple[str, int, int, str | None]]:
        """Return what became of each proposal."""
        return [(p.status.value, p.before, p.after, p.reason) for p in await self.proposals()]

    async def decide(self, proposal: Proposal, *, accept: bool) -> Proposal:
        """Decide as the therapist."""
        return await self.families.grades.decide(
            await self.child(), proposal.id, accept=accept, source="therapist", reason="seen",
            by="t_1",
        )  # fmt: skip


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


async def test_two_weeks_that_agree_change_a_grade_where_nobody_is_to_be_asked(
    clinic: Clinic,
) -> None:
    await clinic.add()
    await clinic.week(0, 1.0)
    assert (await clinic.child()).grade == 1, "one week is not enough"
    await clinic.week(1, 0.9)
    assert await clinic.told() == [("applied", 1, 2, None)]
    child = await clinic.child()
    assert (child.grade, child.grade_n, child.grade_proposed) == (2, 1, None)
    (change,) = await clinic.families.grades.list_changes("c_1", 5)
    assert (change.source, change.by, change.before, change.after) == ("rule", None, 1, 2)
    assert change.proposal == "c_1:2026-06-08"
    assert "100%와 90%" in change.reason
    (proposal,) = await clinic.proposals()
    assert [(w.sets, w.days, w.completion) for w in proposal.weeks] == [(16, 4, 1.0), (16, 4, 0.9)]

    await clinic.week(2, 1.0)
    assert (await clinic.child()).grade == 2, "a week counts for one change alone"
    await clinic.week(3, 1.0)
    assert (await clinic.child()).grade == 3


@pytest.mark.parametrize(
    ("weeks", "grade"),
    [
        ([1.0, 0.7, 1.0], 3),
        ([1.0, 0.2, 1.0], 3),
        ([1.0, None, 1.0], 3),
        ([0.2, 0.2], 2),
        ([0.7, 0.7, 0.7], 3),
        ([0.2, 0.2, 0.2, 0.2, 0.2, 0.2], 1),
        ([0.2] * 8, 1),
        ([1.0] * 6, 5),
    ],
)
async def test_a_grade_follows_the_weeks(
    clinic: Clinic, weeks: list[float | None], grade: int
) -> None:
    await clinic.add()
    await clinic.families.grades.set(await clinic.child(), 3, "admin", "a start", "a_1")
    for n, done in enumerate(weeks):
        await clinic.week(n, done)
    assert (await clinic.child()).grade == grade


@pytest.mark.parametrize("more", [{"days": 2}, {"quality": 0.5}])
async def test_too_few_sets_say_nothing(clinic: Clinic, more: dict[str, Any]) -> None:
    await clinic.add()
    for n in (0, 1):
        await play_week(clinic.play, "c_1", FIRST + n * WEEK, 1.0, **more)
        await clinic.week(n, None)
    assert await clinic.proposals() == []


async def test_a_therapist_is_asked_and_decides_once(clinic: Clinic) -> None:
    await clinic.add(therapist=True)
    await clinic.week(0, 1.0)
    await clinic.week(1, 1.0)
    (proposal,) = await clinic.proposals()
    assert proposal.status is ProposalStatus.OPEN
    child = await clinic.child()
    assert (child.grade, child.grade_proposed) == (1, 2)
    await clinic.week(2, 1.0)
    assert await clinic.proposals() == [proposal], "one is open at a time"

    outcomes = await asyncio.gather(
        *(clinic.decide(proposal, accept=True) for _ in range(4)),
        *(clinic.decide(proposal, accept=False) for _ in range(4)),
        return_exceptions=True,
    )
    settled = (await clinic.proposals())[0]
    for n, outcome in enumerate(outcomes):
        if (settled.status is ProposalStatus.ACCEPTED) == (n < 4):
            assert outcome == settled
        else:
            assert isinstance(outcome, AppError)
            assert outcome.code is ErrorCode.CONFLICT
    child = await clinic.child()
    accepted = settled.status is ProposalStatus.ACCEPTED
    assert (child.grade, child.grade_proposed) == (2 if accepted else 1, None)
    assert len(await clinic.families.grades.list_changes("c_1", 5)) == int(accepted)


async def test_an_accepted_proposal_stands_in_the_history(clinic: Clinic) -> None:
    await clinic.add(therapist=True)
    await clinic.week(0, 1.0)
    await clinic.week(1, 1.0)
    (proposal,) = await clinic.proposals()
    settled = await clinic.decide(proposal, accept=True)
    assert (settled.status, settled.settled_by, settled.reason) == ("accepted", "t_1", "seen")
    (change,) = await clinic.families.grades.list_changes("c_1", 5)
    assert (change.source, change.by, change.reason, change.proposal) == (
        "therapist", "t_1", "seen", proposal.id,
    )  # fmt: skip


async def test_what_was_declined_is_proposed_anew_by_two_new_weeks_alone(clinic: Clinic) -> None:
    await clinic.add(therapist=True)
    await clinic.week(0, 1.0)
    await clinic.week(1, 1.0)
    (proposal,) = await clinic.proposals()
    assert (await clinic.decide(proposal, accept=False)).status is ProposalStatus.DECLINED
    assert (await clinic.child()).grade_proposed is None
    await clinic.week(2, 1.0)
    assert len(await clinic.proposals()) == 1
    await clinic.week(3, 1.0)
    assert [p.status.value for p in await clinic.proposals()] == ["declined", "open"]


async def test_a_proposal_that_became_untrue_is_withdrawn(clinic: Clinic) -> None:
    await clinic.add(therapist=True)
    await clinic.week(0, 1.0)
    await clinic.week(1, 1.0)
    (proposal,) = await clinic.proposals()
    await clinic.families.grades.set(await clinic.child(), 4, "therapist", "seen", "t_1")
    assert await clinic.told() == [("withdrawn", 1, 2, "grade_changed")]
    assert (await clinic.child()).grade_proposed is None
    with pytest.raises(AppError) as refused:
        await clinic.decide(proposal, accept=True)
    assert refused.value.details == {"status": "withdrawn", "why": "grade_changed"}
    assert (await clinic.child()).grade == 4


async def test_a_week_that_disagrees_withdraws_and_a_quiet_one_does_not(clinic: Clinic) -> None:
    await clinic.add(therapist=True)
    for n, done in enumerate((1.0, 1.0, None)):
        await clinic.week(n, done)
    assert await clinic.told() == [("open", 1, 2, None)]
    await clinic.week(3, 0.7)
    assert await clinic.told() == [("withdrawn", 1, 2, "week_disagrees")]
    assert (await clinic.child()).grade_proposed is None


async def test_when_the_care_ended_the_rule_goes_on_by_itself(clinic: Clinic) -> None:
    await clinic.add(therapist=True)
    await clinic.week(0, 1.0)
    await clinic.week(1, 1.0)
    await clinic.families.care.end_by_family("c_1", "ca_c_1_1", "u_1", admin=False)
    await clinic.week(2, None)
    assert await clinic.told() == [("open", 1, 2, None)], "a quiet week decides nothing"
    await clinic.week(3, 1.0)
    await clinic.week(4, 1.0)
    assert await clinic.told() == [
        ("withdrawn", 1, 2, "nobody_to_ask"), ("applied", 1, 2, None),
    ]  # fmt: skip
    assert (await clinic.child()).grade == 2


async def test_a_therapist_who_may_not_see_the_child_is_not_asked(clinic: Clinic) -> None:
    await clinic.add(therapist=True)
    await clinic.families.consents.withdraw("c_1", Consent.THERAPIST_VIEWING, "ko", "u_1")
    await clinic.week(0, 1.0)
    await clinic.week(1, 1.0)
    assert [p.status.value for p in await clinic.proposals()] == ["applied"]


async def enrol(clinic: Clinic, trial: ClinicalTrial = TRIAL) -> None:
    now = clinic.clock.now()
    await clinic.families.attributes.set("at_1", "c_1", trial, now, None, "a_1", None)


async def test_a_trial_that_says_how_hard_a_child_plays_leaves_no_room(clinic: Clinic) -> None:
    await clinic.add(therapist=True)
    await enrol(clinic)
    for n in range(3):
        await clinic.week(n, 1.0)
    assert await clinic.proposals() == []
    await clinic.families.attributes.close("c_1", "at_1", "a_1", "it is over")
    await clinic.week(3, 1.0)
    assert [p.status.value for p in await clinic.proposals()] == ["open"]


async def test_a_trial_that_does_not_changes_nothing(clinic: Clinic) -> None:
    await clinic.add()
    await enrol(clinic, TRIAL.model_copy(update={"pins_difficulty": False}))
    await clinic.week(0, 1.0)
    await clinic.week(1, 1.0)
    assert (await clinic.child()).grade == 2


@pytest.mark.parametrize("decided", [True, False])
async def test_a_trial_withdraws_what_waits(clinic: Clinic, decided: bool) -> None:
    await clinic.add(therapist=True)
    await clinic.week(0, 1.0)
    await clinic.week(1, 1.0)
    (proposal,) = await clinic.proposals()
    await enrol(clinic)
    if decided:
        with pytest.raises(AppError):
            await clinic.decide(proposal, accept=True)
    else:
        await clinic.week(2, 1.0)
    assert await clinic.told() == [("withdrawn", 1, 2, "trial")]
    assert (await clinic.child()).grade == 1


async def test_without_consent_nothing_that_was_played_is_read(clinic: Clinic) -> None:
    await clinic.add()
    await clinic.families.consents.withdraw("c_1", Consent.PLAY_DATA, "ko", "u_1")
    await clinic.week(0, 1.0)
    await clinic.week(1, 1.0)
    assert (await clinic.child()).grade == 1


async def test_many_workers_look_at_each_child_once(clinic: Clinic) -> None:
    ids = [f"c_{n}" for n in range(6)]
    for n, child_id in enumerate(ids):
        await clinic.add(child_id, therapist=n % 2 == 0)
        for week in (0, 1):
            await play_week(clinic.play, child_id, FIRST + week * WEEK, 1.0)
    clinic.move_to(FIRST + 2 * WEEK)
    workers = [rounds_of(clinic.stores.mongo, clinic.clock) for _ in range(5)]
    looked = await asyncio.gather(*map(look_at_all, workers))
    assert sum(looked) == len(ids)
    for n, child_id in enumerate(ids):
        (proposal,) = await clinic.proposals(child_id)
        assert proposal.status is (ProposalStatus.APPLIED if n % 2 else ProposalStatus.OPEN)
        assert (await clinic.child(child_id)).grade == (2 if n % 2 else 1)


@pytest.mark.parametrize("therapist", [True, False])
async def test_a_worker_that_stops_half_way_leaves_the_week_to_the_next(
    clinic: Clinic, therapist: bool
) -> None:
    await clinic.add(therapist=therapist)
    for week in (0, 1):
        await play_week(clinic.play, "c_1", FIRST + week * WEEK, 1.0)
    clinic.move_to(FIRST + 2 * WEEK)
    weeks = clinic.rounds._weeks
    stopped = await weeks.claim()
    assert stopped is not None
    assert await look_at_all(clinic.rounds) == 0, "it is held"
    clinic.clock.move(61)
    assert await look_at_all(clinic.rounds) == 1
    (proposal,) = await clinic.proposals()
    if therapist:
        await clinic.decide(proposal, accept=True)
    await weeks.look(stopped)  # it was only slow, and goes on with what it knew
    child = await clinic.child()
    assert (child.grade, child.grade_proposed) == (2, None)
    assert len(await clinic.proposals()) == 1
    assert len(await clinic.families.grades.list_changes("c_1", 5)) == 1


@pytest.mark.parametrize("therapist", [True, False])
async def test_a_week_whose_outcome_stands_is_not_told_again(
    clinic: Clinic, therapist: bool
) -> None:
    await clinic.add(therapist=therapist)
    await clinic.week(0, 1.0)
    await clinic.week(1, 1.0)
    before = await clinic.told()
    children = clinic.stores.mongo.database["children"]
    # As if what was looked at and what was decided had been forgotten.
    forgotten = {"$set": {"grade_look": {}, "grade_since": None, "grade": 1}}
    await children.update_one({"_id": "c_1"}, forgotten)
    await clinic.stores.mongo.database["grade_proposals"].update_many({}, {"$unset": {"open": ""}})
    assert await look_at_all(clinic.rounds) == 1
    assert await clinic.told() == before


@pytest.mark.parametrize("therapist", [True, False])
async def test_of_a_decision_and_the_rule_at_once_one_is_in_time(
    clinic: Clinic, therapist: bool
) -> None:
    await clinic.add(therapist=therapist)
    await play_week(clinic.play, "c_1", FIRST, 1.0)
    await play_week(clinic.play, "c_1", FIRST + WEEK, 1.0)
    clinic.move_to(FIRST + 2 * WEEK)
    claimed = await clinic.rounds._weeks.claim()
    assert claimed is not None
    await clinic.families.grades.set(await clinic.child(), 5, "admin", "at once", "a_1")
    await clinic.rounds._weeks.look(claimed)
    assert (await clinic.child()).grade == 5
    assert await clinic.proposals() == []
    clinic.clock.move(61)
    assert await look_at_all(clinic.rounds) == 1, "it is looked at again, as it is now"
    assert (await clinic.child()).grade == 5


async def test_a_therapist_who_comes_at_the_last_moment_is_asked(clinic: Clinic) -> None:
    await clinic.add()
    await play_week(clinic.play, "c_1", FIRST, 1.0)
    await play_week(clinic.play, "c_1", FIRST + WEEK, 1.0)
    clinic.move_to(FIRST + 2 * WEEK)
    claimed = await clinic.rounds._weeks.claim()
    assert claimed is not None
    await clinic.take_into_care()
    await clinic.rounds._weeks.look(claimed)
    assert (await clinic.child()).grade == 1
    clinic.clock.move(61)
    await look_at_all(clinic.rounds)
    assert await clinic.told() == [("open", 1, 2, None)]


async def test_weeks_in_which_nothing_ran_are_not_made_up_for(clinic: Clinic) -> None:
    await clinic.add()
    for n in range(5):
        await play_week(clinic.play, "c_1", FIRST + n * WEEK, 1.0)
    clinic.move_to(FIRST + 5 * WEEK)
    assert await look_at_all(clinic.rounds) == 1
    assert (await clinic.child()).grade == 2
    assert await look_at_all(clinic.rounds) == 0


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Asia/Seoul", "Pacific/Pago_Pago"])
async def test_a_week_ends_where_the_family_lives(clinic: Clinic, zone: str) -> None:
    clinic.move_to(FIRST, 12, zone)
    await clinic.add()
    children = clinic.stores.mongo.database["children"]
    span = {"zone": zone, "since": clinic.clock.now(), "floor": FIRST.isoformat()}
    await children.update_one({"_id": "c_1"}, {"$set": {"zones": [span]}})
    await look_at_all(clinic.rounds)
    for n in (0, 1):
        await play_week(clinic.play, "c_1", FIRST + n * WEEK, 1.0, zone)
    for n in (1, 2):
        clinic.move_to(FIRST + n * WEEK, 5, zone)
        assert await look_at_all(clinic.rounds) == 0, "six hours are waited for"
        clinic.move_to(FIRST + n * WEEK, 6, zone)
        assert await look_at_all(clinic.rounds) == 1
        assert (await clinic.child()).grade == n


async def test_a_family_that_moves_has_no_week_twice(clinic: Clinic) -> None:
    await clinic.add()
    await clinic.week(0, 1.0)
    clinic.move_to(FIRST + WEEK + timedelta(days=3))
    await clinic.families.children.change("c_1", {"zone": "America/New_York"})
    await play_week(clinic.play, "c_1", FIRST + WEEK, 1.0)
    clinic.move_to(FIRST + 2 * WEEK, 6)
    assert await look_at_all(clinic.rounds) == 1
    assert await clinic.proposals() == [], "it is Sunday yet in New York"
    clinic.move_to(FIRST + 2 * WEEK, 5, "America/New_York")
    assert await look_at_all(clinic.rounds) == 0
    clinic.move_to(FIRST + 2 * WEEK, 6, "America/New_York")
    assert await look_at_all(clinic.rounds) == 1
    assert (await clinic.child()).grade == 2


async def test_a_child_that_cannot_be_looked_at_holds_up_nobody(
    clinic: Clinic, caplog: pytest.LogCaptureFixture
) -> None:
    for child_id in ("c_1", "c_2"):
        await clinic.add(child_id)
        for n in (0, 1):
            await play_week(clinic.play, child_id, FIRST + n * WEEK, 1.0)
    records = clinic.stores.mongo.database["play_records"]
    await records.update_many({"child_id": "c_1"}, {"$set": {"metrics": {"reps_full": "many"}}})
    clinic.move_to(FIRST + 2 * WEEK)
    assert await look_at_all(clinic.rounds) == 2
    assert "child c_1: its week could not be looked at" in caplog.text
    assert (await clinic.child("c_2")).grade == 2
    await records.update_many({"child_id": "c_1"}, {"$set": {"metrics": {"reps_full": 10}}})
    clinic.clock.move(3601)
    assert await look_at_all(clinic.rounds) == 1
    assert (await clinic.child("c_1")).grade == 2


async def test_a_removed_child_is_left_alone(clinic: Clinic) -> None:
    await clinic.add()
    await clinic.families.children.remove("c_1", "u_1")
    assert await look_at_all(clinic.rounds) == 0


async def test_the_job_runs_until_it_is_stopped(clinic: Clinic) -> None:
    await clinic.add()
    rounds = GradeRounds(clinic.rounds._weeks, clinic.rounds._repo, 0.01)
    task = asyncio.create_task(rounds.run())
    children = clinic.stores.mongo.database["children"]
    async with asyncio.timeout(10):
        while not (await children.find_one({"_id": "c_1"})).get("grade_look", {}).get("due_at"):
            await asyncio.sleep(0.01)
    task.cancel()
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], BaseException)


async def test_what_is_really_played_is_read(clinic: Clinic) -> None:
    await clinic.add()
    began = datetime(2026, 6, 2, 3, tzinfo=UTC)
    await Rehearsal(clinic.play, catalogue()).store(["c_1"], began)
    us = round(began.timestamp() * 1e6)
    (found,) = await clinic.play.list_sets("c_1", us, us + 1)
    assert await clinic.play.list_sets("c_1", us + 1, us + 2) == []
    one = played_of(found, FIRST)
    assert one.completion == pytest.approx(1.0, abs=0.21)
    assert np.isfinite(one.quality)
    assert not one.unfinished


async def test_a_withdrawal_of_what_is_over_changes_nothing(clinic: Clinic) -> None:
    await clinic.add(therapist=True)
    await clinic.week(0, 1.0)
    await clinic.week(1, 1.0)
    (proposal,) = await clinic.proposals()
    await clinic.decide(proposal, accept=True)
    await clinic.rounds._repo.withdraw(proposal, Untrue.TRIAL, clinic.clock.now())
    assert await clinic.told() == [("accepted", 1, 2, "seen")]


async def test_a_proposal_on_a_child_that_left_is_not_accepted(clinic: Clinic) -> None:
    await clinic.add(therapist=True)
    await clinic.week(0, 1.0)
    await clinic.week(1, 1.0)
    (proposal,) = await clinic.proposals()
    child = await clinic.child()
    await clinic.families.children.remove("c_1", "u_1")
    with pytest.raises(AppError):
        await clinic.families.grades.decide(
            child, proposal.id, accept=True, source="therapist", reason="late", by="t_1"
        )
    assert await clinic.told() == [("open", 1, 2, None)]
    assert await clinic.families.grades.list_changes("c_1", 5) == []
