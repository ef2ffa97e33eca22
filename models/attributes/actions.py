"""Saying what holds of an account or a child for a time, and asking for it."""

from datetime import datetime

from config.clock import Clock
from models.attributes.records import (
    Attribute,
    AttributeType,
    ChildrenLimit,
    ClinicalTrial,
    Value,
    attribute_of,
    type_of,
)
from models.attributes.repo import Added, AttributeRepo
from models.db import Session
from models.errors import AppError, ErrorCode


class Attributes:
    """The attributes of accounts and children: one of each type at a time."""

    def __init__(self, repo: AttributeRepo, clock: Clock) -> None:
        self._repo = repo
        self._clock = clock

    async def set(
        self,
        attribute_id: str,
        subject: str,
        value: Value,
        valid_from: datetime,
        valid_to: datetime | None,
        by: str,
        reason: str | None,
    ) -> Attribute:
        """Let something hold of somebody; the same id again changes nothing.

        Args:
            subject: id of the child or account.

        Raises:
            AppError: `invalid`; `conflict` where one of this type is open, or the subject
                is gone or being erased.
        """
        if valid_to is not None and valid_to <= valid_from:
            raise AppError(ErrorCode.INVALID, "body.validTo must be after body.validFrom.")
        kind = type_of(value)
        document = {
            "_id": attribute_id,
            "subject": subject,
            "type": kind.value,
            "value": value.model_dump(),
            "valid_from": valid_from,
            "valid_to": valid_to,
            "set_by": by,
            "reason": reason,
        }
        added = await self._repo.add(document, self._clock.now())
        if added is Added.GONE:
            raise AppError(
                ErrorCode.CONFLICT, "Nothing can be said of somebody who is gone or being erased."
            )
        if added is Added.OPEN:
            found = await self._repo.find(subject, attribute_id)
            if found is None:
                raise AppError(
                    ErrorCode.CONFLICT, f"An attribute {kind.value} is open: close that first."
                )
            document = found
        return attribute_of(document)

    async def close(self, subject: str, attribute_id: str, by: str, reason: str) -> Attribute:
        """Let an attribute end now; doing it again changes nothing.

        Raises:
            AppError: `not_found`.
        """
        await self._repo.close(subject, attribute_id, by, reason, self._clock.now())
        found = await self._repo.find(subject, attribute_id)
        if found is None:
            raise AppError(ErrorCode.NOT_FOUND, "There is no such attribute.")
        return attribute_of(found)

    async def list_of(self, subject: str, limit: int) -> list[Attribute]:
        """Return the attributes of somebody, the newest first."""
        return [attribute_of(found) for found in await self._repo.list_of(subject, limit)]

    # -- what they add to the rules

    async def pins_difficulty(self, child_id: str, session: Session | None = None) -> bool:
        """Tell whether a trial's protocol says now how hard a child plays.

        Args:
            session: a transaction that writes the child: a trial that comes meanwhile is in its
                way, and it is done again.
        """
        trial = await self._holding(child_id, AttributeType.CLINICAL_TRIAL, session)
        return isinstance(trial, ClinicalTrial) and trial.pins_difficulty

    async def children_most(self, user_id: str, usual: int) -> int:
        """Return how many children an account may have now: the usual number unless said."""
        limit = await self._holding(user_id, AttributeType.CHILDREN_LIMIT)
        return limit.most if isinstance(limit, ChildrenLimit) else usual

    async def _holding(
        self, subject: str, kind: AttributeType, session: Session | None = None
    ) -> Value | None:
        found = await self._repo.find_open(subject, kind, session)
        if found is None:
            return None
        attribute = attribute_of(found)
        return attribute.value if attribute.holds(self._clock.now()) else None
