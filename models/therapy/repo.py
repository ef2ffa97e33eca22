"""Therapy profiles and calibrations in MongoDB: the only place that queries them."""

import logging

from pydantic import ValidationError

from models.db import Database
from models.therapy.records import Calibration, TherapyProfile
from models.therapy.rules import Therapy

log = logging.getLogger(__name__)


class TherapyRepo:
    """Reads what is known of a child's hands.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def load(self, child_id: str) -> Therapy:
        """Return the child's profile and calibrations; what cannot be read counts as not there."""
        document = await self._db["therapy_profiles"].find_one({"_id": child_id})
        profile = None
        if document is not None:
            try:
                profile = TherapyProfile.model_validate(document)
            except ValidationError:
                log.exception("the therapy profile of a child cannot be read")
        calibrations = []
        async for found in self._db["calibrations"].find({"child_id": child_id}):
            try:
                calibrations.append(Calibration.model_validate(found))
            except ValidationError:
                log.exception("a calibration cannot be read")
        return Therapy(profile, calibrations)
