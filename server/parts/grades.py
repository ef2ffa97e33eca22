"""The part of the composition that looks at the weeks children played."""

from datetime import timedelta

from config.clock import Clock
from config.settings import Settings
from jobs.grades import GradeRounds
from models.attributes.actions import Attributes
from models.clinic.grade_records import Limits
from models.clinic.grade_repo import GradeRepo
from models.clinic.grade_weeks import GradeWeeks
from models.play.repo import PlayRepo


def build_grades(
    settings: Settings, repo: GradeRepo, play: PlayRepo, attributes: Attributes, clock: Clock
) -> GradeRounds:
    """Return the job; nothing is connected by it."""
    grade = settings.grade
    weeks = GradeWeeks(
        repo,
        play,
        attributes,
        clock,
        Limits(
            sets=grade.sets, days=grade.days, quality=grade.quality, up=grade.up, down=grade.down
        ),
        wait=timedelta(hours=grade.wait_hours),
        day_start_hour=settings.care.day_start_hour,
    )
    return GradeRounds(weeks, repo, grade.look_seconds)
