"""The weekly look at grades on real stores: by many workers, in every zone, after any stop."""

import asyncio
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from jobs.grades import GradeRounds
from models.clinic.grade_records import WEEK, ProposalStatus
from models.clinic.grade_rules import played_of
from sessions.catalogue import catalogue
from sessions.rehearsal import Rehearsal
from tests.models.clinic.weeks import FIRST, Clinic
from tests.models.played import look_at_all, play_week, rounds_of


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


async def test_a_worker_that_is_late_withdraws_nothing(clinic: Clinic) -> None:
    await clinic.add()
    for week in (0, 1):
        await play_week(clinic.play, "c_1", FIRST + week * WEEK, 1.0)
    clinic.move_to(FIRST + 2 * WEEK)
    late = await clinic.rounds._weeks.claim()
    assert late is not None
    await clinic.take_into_care()
    clinic.clock.move(61)
    assert await look_at_all(clinic.rounds) == 1
    await clinic.rounds._weeks.look(late)  # of the therapist it does not know
    assert await clinic.told() == [("open", 1, 2, None)]
    assert (await clinic.child()).grade_proposed == 2


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
    await asyncio.wait({task})
    assert task.cancelled(), "it had ended by itself"


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
