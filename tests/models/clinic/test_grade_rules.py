"""The weekly rule: what a week says, and when two of them move a grade."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.clinic.grade_records import (
    WEEK,
    Limits,
    Proposal,
    ProposalStatus,
    Says,
    Untrue,
    Week,
    proposal_document,
    proposal_id,
    proposal_of,
)
from models.clinic.grade_rules import (
    Played,
    explained,
    monday_of,
    played_of,
    proposed,
    untrue,
    week_of,
)

LIMITS = Limits(sets=4, days=2, quality=0.6, up=0.9, down=0.5)
MONDAY = date(2026, 11, 9)
SHARE = st.floats(0, 1)
SET = st.builds(
    Played,
    st.integers(-3, 9).map(lambda n: MONDAY + timedelta(days=n)),
    st.none() | SHARE,
    st.none() | SHARE,
    st.booleans(),
)
SETS = st.lists(SET, max_size=30)
GRADE: st.SearchStrategy[Any] = st.integers(1, 5)


def week(says: Says | None, monday: date = MONDAY, done: float = 0.7) -> Week:
    return Week(monday, 12, 1, 4, done, 0.9, says)


def evenly(done: float, sets: int = 4, days: int = 2) -> list[Played]:
    """Return good sets spread over days."""
    return [Played(MONDAY + timedelta(days=n % days), done, 0.9) for n in range(sets)]


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        (evenly(0.95), Says.UP),
        (evenly(0.9), Says.UP),
        (evenly(0.89), Says.STAY),
        (evenly(0.51), Says.STAY),
        (evenly(0.5), Says.DOWN),
        (evenly(0.0), Says.DOWN),
        (evenly(0.95, sets=3), None),
        (evenly(0.95, sets=9, days=1), None),
        ([], None),
    ],
)
def test_a_week_says_what_was_done_of_what_was_asked(sets: list[Played], says: Says | None) -> None:
    assert week_of(MONDAY, sets, LIMITS).says is says


@settings(deadline=None)
@given(SETS)
def test_only_finished_sets_that_were_seen_in_the_week_count(sets: list[Played]) -> None:
    found = week_of(MONDAY, sets, LIMITS)
    inside = [one for one in sets if monday_of(one.day) == MONDAY]
    good = [
        one for one in inside
        if not one.unfinished and one.completion is not None and (one.quality or 0) >= 0.6
    ]  # fmt: skip
    assert (found.sets, found.left_out) == (len(good), len(inside) - len(good))
    assert found.days == len({one.day for one in good})
    assert found == week_of(MONDAY, list(reversed(sets)), LIMITS), "their order says nothing"
    assert (found.completion is None) == (not good)
    if found.says is not None:
        assert found.sets >= LIMITS.sets
        assert found.days >= LIMITS.days


@settings(deadline=None)
@given(SETS, st.data())
def test_doing_more_of_a_set_never_speaks_for_less(sets: list[Played], data: st.DataObject) -> None:
    order = [Says.DOWN, Says.STAY, Says.UP]
    before = week_of(MONDAY, sets, LIMITS)
    better = [
        one
        if one.completion is None
        else Played(one.day, data.draw(st.floats(one.completion, 1)), one.quality, one.unfinished)
        for one in sets
    ]
    after = week_of(MONDAY, better, LIMITS)
    assert (before.says is None) == (after.says is None)
    if before.says is not None and after.says is not None:
        assert order.index(after.says) >= order.index(before.says)


SAYS = st.sampled_from([None, *Says])


@given(GRADE, SAYS, SAYS, st.none() | st.integers(-8, 8))
def test_a_grade_moves_by_one_and_only_for_two_weeks_that_agree(
    grade: Any, one: Says | None, two: Says | None, since: int | None
) -> None:
    decided = None if since is None else MONDAY + timedelta(days=since)
    after = proposed(grade, (week(one), week(two, MONDAY + WEEK)), decided)
    wanted = {Says.UP: grade + 1, Says.DOWN: grade - 1}.get(one) if one is not None else None
    fresh = decided is None or decided <= MONDAY
    assert after == (wanted if one is two and fresh and wanted in range(1, 6) else None)


@settings(deadline=None)
@given(GRADE, SETS, SETS, st.lists(SET, max_size=LIMITS.sets - 1))
def test_no_grade_moves_where_a_week_had_too_few_sets(
    grade: Any, one: list[Played], two: list[Played], few: list[Played]
) -> None:
    for first, second in ((one, few), (few, two)):
        later = [Played(p.day + WEEK, p.completion, p.quality, p.unfinished) for p in second]
        weeks = week_of(MONDAY, first, LIMITS), week_of(MONDAY + WEEK, later, LIMITS)
        assert proposed(grade, weeks, None) is None


@pytest.mark.parametrize(("since", "after"), [(-1, 3), (0, 3), (1, None), (7, None)])
def test_weeks_that_began_before_the_last_decision_say_nothing(
    since: int, after: int | None
) -> None:
    weeks = (week(Says.UP), week(Says.UP, MONDAY + WEEK))
    assert proposed(2, weeks, MONDAY + timedelta(days=since)) == after


def test_weeks_that_do_not_follow_each_other_say_nothing() -> None:
    apart = (week(Says.UP), week(Says.UP, MONDAY + 2 * WEEK))
    assert proposed(2, apart, None) is None
    assert proposed(2, (week(Says.UP), week(Says.UP, MONDAY + WEEK)), None) == 3


WEEKS = (week(Says.UP, MONDAY, 0.914), week(Says.UP, MONDAY + WEEK, 1.0))
PROPOSAL = Proposal(
    id=proposal_id("c_1", MONDAY + WEEK),
    child_id="c_1",
    before=2,
    after=3,
    grade_n=4,
    weeks=WEEKS,
    limits=LIMITS,
    status=ProposalStatus.OPEN,
    made_at=datetime(2026, 11, 23, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("grade_n", "says", "pinned", "why"),
    [
        (4, Says.UP, False, None),
        (4, None, False, None),
        (5, Says.UP, False, Untrue.GRADE_CHANGED),
        (4, Says.UP, True, Untrue.TRIAL),
        (4, Says.STAY, False, Untrue.WEEK_DISAGREES),
        (4, Says.DOWN, False, Untrue.WEEK_DISAGREES),
    ],
)
def test_a_proposal_holds_until_something_speaks_against_it(
    grade_n: int, says: Says | None, pinned: bool, why: Untrue | None
) -> None:
    newest = week(says, MONDAY + 2 * WEEK)
    assert untrue(PROPOSAL, grade_n, newest, pinned=pinned) is why


def test_a_proposal_is_read_as_it_was_written() -> None:
    row = proposal_document(PROPOSAL)
    assert (row["_id"], row["week"], row["open"]) == ("c_1:2026-11-16", "2026-11-16", True)
    assert proposal_of(row) == PROPOSAL


def test_the_reason_is_said_in_both_languages() -> None:
    said = explained(WEEKS)
    assert said["ko"] == (
        "두 주 연속(2026-11-09, 2026-11-16부터)으로 세트 12개와 12개에서 목표의 91%와 100%를 "
        "해냈습니다."
    )
    assert said["en"] == (
        "In two weeks in a row, from 2026-11-09 and 2026-11-16, 91 % and 100 % of what 12 and 12 "
        "sets asked for was done."
    )


@pytest.mark.parametrize(
    ("asked", "hold_s", "metrics", "done"),
    [
        (10, None, {"reps_full": 7, "reps_partial": 2}, 0.8),
        (2, 5.0, {"reps_full": 1, "reps_partial": 0, "hold_total": 4.0}, 0.4),
        (4, None, {"reps_full": 1, "reps_partial": 0, "sequences": 3}, 0.75),
        (None, None, {"reps_full": 9, "reps_partial": 0}, None),
    ],
)
def test_a_record_tells_how_much_was_done(
    asked: int | None, hold_s: float | None, metrics: dict[str, Any], done: float | None
) -> None:
    record = {
        "asked_reps": asked, "asked_hold_s": hold_s, "metrics": metrics, "quality": {"q": 0.8},
        "unfinished": False,
    }  # fmt: skip
    assert played_of(record, MONDAY) == Played(MONDAY, done, 0.8)
