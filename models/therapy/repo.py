"""Therapy profiles and calibrations in MongoDB: the only place that queries them."""

import logging
from typing import Any

from pydantic import ValidationError

from models.db import Database
from models.therapy.records import Calibration, TherapyProfile
from models.therapy.rules import Therapy

log = logging.getLogger(__name__)


_OF_CHILD = {"birth_date": 1, "affected_hand": 1, "diagnosed_hand": 1}


def _said_of(child: dict[str, Any]) -> dict[str, Any]:
    said = {
        "birth_date": child.get("birth_date"),
        "affected_side": child.get("diagnosed_hand") or child.get("affected_hand"),
    }
    return {name: value for name, value in said.items() if value is not None}


class TherapyRepo:
    """Reads what is known of a child's hands.

    Raises:
        models.db.DatabaseError: the database did not answer as it should; see `UNREACHABLE`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def load(self, child_id: str) -> Therapy:
        """Return the child's profile and calibrations; what cannot be read counts as not there.

        What the child's family and therapists say of it wins over its therapy profile.
        """
        document = await self._db["therapy_profiles"].find_one({"_id": child_id})
        child = await self._db["children"].find_one({"_id": child_id}, _OF_CHILD)
        if child is not None:
            document = {**(document or {"_id": child_id}), **_said_of(child)}
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
