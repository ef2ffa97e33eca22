"""The part of the composition that looks at the weeks children played."""

from config.clock import Clock
from config.settings import Settings
from jobs.grades import GradeRounds
from models.attributes.actions import Attributes
from models.attributes.repo import AttributeRepo
from models.clinic.grade_repo import GradeRepo
from models.clinic.grade_weeks import GradeWeeks
from models.db import Mongo
from models.play.repo import PlayRepo


def build_grades(settings: Settings, mongo: Mongo, clock: Clock) -> GradeRounds:
    """Return the job; nothing is connected by it."""
    repo = GradeRepo(mongo)
    weeks = GradeWeeks(
        repo,
        PlayRepo(mongo.database),
        Attributes(AttributeRepo(mongo.database), clock),
        clock,
        settings.grade,
        settings.care.day_start_hour,
    )
    return GradeRounds(weeks, repo, settings.grade.look_seconds)
