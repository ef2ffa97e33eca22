"""Weeks of sets as play leaves them in the database, and the job that looks at them."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from config.clock import Clock
from config.settings import load_settings
from jobs.grades import GradeRounds
from models.attributes.actions import Attributes
from models.attributes.repo import AttributeRepo
from models.clinic.grade_repo import GradeRepo
from models.db import Mongo
from models.play.records import record_item
from models.play.repo import PlayRepo
from server.parts.grades import build_grades

SETS_A_DAY = 4
DAYS = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rounds_of(mongo: Mongo, clock: Clock) -> GradeRounds:
    """Return the job on a database, at a time of the test's own."""
    attributes = Attributes(AttributeRepo(mongo), clock)
    repo, play = GradeRepo(mongo), PlayRepo(mongo.database)
    return build_grades(load_settings(), repo, play, attributes, clock)


async def look_at_all(rounds: GradeRounds) -> int:
    """Look at every child that is due; return how many that were."""
    looked = 0
    while await rounds.look():
        looked += 1
    return looked


def at(day: date, hour: int, zone: str) -> datetime:
    """Return the instant of a full hour in a zone."""
    return datetime.combine(day, time(hour), ZoneInfo(zone))


async def play_week(
    repo: PlayRepo,
    child_id: str,
    monday: date,
    done: float,
    zone: str = "Asia/Seoul",
    *,
    days: int = DAYS,
    quality: float = 0.9,
) -> None:
    """Store a week of sets of ten repetitions, of which a share was done."""
    for day in range(days):
        for n in range(SETS_A_DAY):
            began = at(monday + timedelta(days=day), 9 + n, zone)
            item = record_item(f"s_{child_id}_{began:%Y%m%d%H}", 9, record(child_id, began, done))
            item.document["quality"]["q"] = quality
            assert await repo.store([item]) == []


def record(child_id: str, began: datetime, done: float) -> dict[str, Any]:
    """Return the parts of a PlayRecord that are looked at."""
    return {
        "child_id": child_id,
        "set_no": 1,
        "started_us": (began - _EPOCH) // timedelta(microseconds=1),
        "asked_reps": 10,
        "asked_hold_s": None,
        "metrics": {"reps_full": round(10 * done), "reps_partial": 0},
        "quality": {"q": 0.9},
        "unfinished": False,
    }
