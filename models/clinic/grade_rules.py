"""What the rule makes of the weeks of a child: pure decisions, no I/O.

A week says up, down or stay by the share done of what was asked, a measurement and no grading
model's reading of one: sets graded by different models may stand beside each other. Only two weeks
in a row that say the same move a grade, by one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import fmean
from typing import Any, Final, cast

from models.children.records import Grade
from models.clinic.grade_records import WEEK, Limits, Proposal, Says, Untrue, Week
from models.grading.rules import Asked, completion

LOWEST: Final = 1
HIGHEST: Final = 5


@dataclass(frozen=True, slots=True)
class Played:
    """One set as the rule sees it."""

    day: date
    """The local date of its start."""
    completion: float | None
    """Share done of what was asked, 0 to 1."""
    quality: float | None
    """Share of the frames that were good, 0 to 1."""
    unfinished: bool = False

    def counts(self, limits: Limits) -> bool:
        """Tell whether it says anything of the child, and not of the camera."""
        seen = self.quality is not None and self.quality >= limits.quality
        return seen and not self.unfinished and self.completion is not None


def played_of(record: Mapping[str, Any], day: date) -> Played:
    """Return what the rule sees of a PlayRecord whose set began on a local date."""
    asked = Asked(record["asked_reps"] or 0, record["asked_hold_s"])
    done = completion(record["metrics"], asked)
    return Played(day, done, record["quality"]["q"], record["unfinished"])


def monday_of(day: date) -> date:
    """Return the Monday of a date's week."""
    return day - timedelta(days=day.weekday())


def week_of(monday: date, played: Iterable[Played], limits: Limits) -> Week:
    """Return what was played in the week of a Monday; sets of other weeks are passed over."""
    of_week = [one for one in played if monday <= one.day < monday + WEEK]
    counted = [one for one in of_week if one.counts(limits)]
    days = len({one.day for one in counted})
    done = fmean(one.completion or 0.0 for one in counted) if counted else None
    quality = fmean(one.quality or 0.0 for one in counted) if counted else None
    enough = len(counted) >= limits.sets and days >= limits.days
    return Week(
        monday=monday,
        sets=len(counted),
        left_out=len(of_week) - len(counted),
        days=days,
        completion=done,
        quality=quality,
        says=_says(done, limits) if done is not None and enough else None,
    )


def _says(done: float, limits: Limits) -> Says:
    if done >= limits.up:
        return Says.UP
    return Says.DOWN if done <= limits.down else Says.STAY


def proposed(grade: Grade, weeks: tuple[Week, Week], since: date | None) -> Grade | None:
    """Return the grade that two weeks in a row speak for; None for no other one.

    Args:
        weeks: the older one first.
        since: local date of the last decision on the grade; weeks that began before say nothing
            of what was decided.
    """
    older, newer = weeks
    if newer.monday - older.monday != WEEK or older.says is not newer.says:
        return None
    if since is not None and older.monday < since:
        return None
    step = {Says.UP: 1, Says.DOWN: -1}.get(newer.says, 0) if newer.says is not None else 0
    after = grade + step
    return cast("Grade", after) if step and LOWEST <= after <= HIGHEST else None


def untrue(proposal: Proposal, grade_n: int, newest: Week, *, pinned: bool) -> Untrue | None:
    """Return why an open proposal holds no longer; None while it does.

    Args:
        grade_n: how often the grade was changed by now.
        newest: the week that ended last; one with too few sets says nothing against it.
        pinned: whether a trial says how hard the child plays.
    """
    if proposal.grade_n != grade_n:
        return Untrue.GRADE_CHANGED
    if pinned:
        return Untrue.TRIAL
    direction = Says.UP if proposal.after > proposal.before else Says.DOWN
    return None if newest.says in (None, direction) else Untrue.WEEK_DISAGREES


def explained(weeks: tuple[Week, Week]) -> dict[str, str]:
    """Return by language what the rule says in favour of its proposal."""
    older, newer = weeks
    first, last = (round(100 * (week.completion or 0.0)) for week in weeks)
    return {
        "ko": f"두 주 연속({older.monday}, {newer.monday}부터)으로 세트 {older.sets}개와 "
        f"{newer.sets}개에서 목표의 {first}%와 {last}%를 해냈습니다.",
        "en": f"In two weeks in a row, from {older.monday} and {newer.monday}, {first} % and "
        f"{last} % of what {older.sets} and {newer.sets} sets asked for was done.",
    }
