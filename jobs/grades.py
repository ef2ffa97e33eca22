"""Looks at the weeks children played: one worker a child at a time, from wherever it was left."""

import asyncio
import logging

from models.clinic.grade_repo import GradeRepo
from models.clinic.grade_weeks import GradeWeeks
from models.db import DatabaseError

log = logging.getLogger(__name__)


class GradeRounds:
    """Looks for children whose week is over.

    What is due stands with each child, so a worker that stops leaves the others for the next one,
    and weeks in which nothing ran are not made up for.
    """

    def __init__(self, weeks: GradeWeeks, repo: GradeRepo, look_seconds: float) -> None:
        self._weeks = weeks
        self._repo = repo
        self._look = look_seconds

    async def run(self) -> None:
        """Look for ever; raises when a store is away, and is started again."""
        await self._repo.ensure_indexes()  # that each is proposed once rests on them
        while True:
            while await self.look():
                pass
            await asyncio.sleep(self._look)

    async def look(self) -> bool:
        """Look at one child that is due; False if there is none."""
        claimed = await self._weeks.claim()
        if claimed is None:
            return False
        try:
            await self._weeks.look(claimed)
        except (DatabaseError, OSError, TimeoutError):
            raise  # a store is away: the runner waits for it
        except Exception:
            log.exception("child %s: its week could not be looked at", claimed["_id"])
            await self._weeks.put_off(claimed)
        return True
