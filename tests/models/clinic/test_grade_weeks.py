"""The weekly look at grades on real stores: what is proposed, to whom, and what becomes of it."""

import asyncio
from typing import Any

import pytest

from models.attributes.records import ClinicalTrial
from models.children.records import Consent
from models.clinic.grade_records import WEEK, ProposalStatus, Untrue
from models.clinic.grade_repo import GradeRepo
from models.clinic.grade_weeks import LEASE
from models.errors import AppError, ErrorCode
from tests.models.clinic.weeks import FIRST, Clinic
from tests.models.played import look_at_all, play_week

TRIAL = ClinicalTrial(trial="t", site="cl", arm="A", subject_no="1", protocol_version="1")


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
    assert await clinic.told() == [("applied", 1, 2, None)]
    child = await clinic.child()
    assert (child.grade, child.grade_proposed) == (2, None)


async def test_a_week_that_is_looked_at_again_after_the_care_ended_changes_the_grade(
    clinic: Clinic,
) -> None:
    await clinic.add(therapist=True)
    await clinic.week(0, 1.0)
    await clinic.week(1, 1.0)
    (proposal,) = await clinic.proposals()
    await clinic.families.care.end_by_family("c_1", "ca_c_1_1", "u_1", admin=False)
    await clinic.stores.mongo.database["children"].update_one(
        {"_id": "c_1"}, {"$set": {"grade_look": {"due_at": clinic.clock.now()}}}
    )
    assert await look_at_all(clinic.rounds) == 1
    assert await clinic.told() == [("applied", 1, 2, None)]
    child = await clinic.child()
    assert (child.grade, child.grade_n, child.grade_proposed) == (2, 1, None)
    (change,) = await clinic.families.grades.list_changes("c_1", 5)
    assert (change.source, change.proposal) == ("rule", proposal.id)


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


@pytest.mark.parametrize("decided", [True, False])
async def test_a_withdrawn_consent_withdraws_what_rests_on_it(
    clinic: Clinic, decided: bool
) -> None:
    await clinic.add(therapist=True)
    await clinic.week(0, 1.0)
    await clinic.week(1, 1.0)
    (proposal,) = await clinic.proposals()
    await clinic.families.consents.withdraw("c_1", Consent.PLAY_DATA, "ko", "u_1")
    if decided:
        with pytest.raises(AppError) as refused:
            await clinic.decide(proposal, accept=True)
        assert refused.value.details == {"status": "withdrawn", "why": "consent_withdrawn"}
    else:
        await clinic.week(2, None)
    assert await clinic.told() == [("withdrawn", 1, 2, "consent_withdrawn")]
    child = await clinic.child()
    assert (child.grade, child.grade_proposed) == (1, None)


@pytest.mark.parametrize("therapist", [True, False])
@pytest.mark.parametrize("meanwhile", ["trial", "consent"])
async def test_what_comes_between_the_look_and_the_write_is_heeded(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, therapist: bool, meanwhile: str
) -> None:
    await clinic.add(therapist=therapist)
    await clinic.week(0, 1.0)
    find_open = GradeRepo.find_open

    async def after_everything_was_read(repo: GradeRepo, child_id: str) -> Any:
        found = await find_open(repo, child_id)
        if meanwhile == "trial":
            await enrol(clinic)
        else:
            await clinic.families.consents.withdraw("c_1", Consent.PLAY_DATA, "ko", "u_1")
        monkeypatch.undo()
        return found

    monkeypatch.setattr(GradeRepo, "find_open", after_everything_was_read)
    await clinic.week(1, 1.0)
    assert GradeRepo.find_open is find_open, "it was looked at"
    assert await clinic.proposals() == []
    assert (await clinic.child()).grade == 1
    clinic.clock.move(2 * LEASE.total_seconds())
    assert await look_at_all(clinic.rounds) == 1, "it is looked at again"
    assert await clinic.proposals() == []


async def test_a_trial_and_a_decision_at_once_are_one_after_the_other(clinic: Clinic) -> None:
    await clinic.add(therapist=True)
    await clinic.week(0, 1.0)
    await clinic.week(1, 1.0)
    (proposal,) = await clinic.proposals()
    decided, _ = await asyncio.gather(
        clinic.decide(proposal, accept=True), enrol(clinic), return_exceptions=True
    )
    outcome = await clinic.told()
    assert outcome in ([("accepted", 1, 2, "seen")], [("withdrawn", 1, 2, "trial")])
    assert isinstance(decided, AppError) == (outcome[0][0] == "withdrawn")


async def test_a_withdrawal_of_what_is_over_changes_nothing(clinic: Clinic) -> None:
    await clinic.add(therapist=True)
    await clinic.week(0, 1.0)
    await clinic.week(1, 1.0)
    (proposal,) = await clinic.proposals()
    await clinic.decide(proposal, accept=True)
    claimed = await clinic.rounds._repo.claim(clinic.clock.now() + WEEK, clinic.clock.now())
    assert claimed is not None
    await clinic.rounds._repo.withdraw(proposal, Untrue.TRIAL, clinic.clock.now(), claimed)
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
