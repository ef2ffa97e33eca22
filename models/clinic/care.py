"""Taking a child into care: a guardian invites, a therapist accepts, either ends it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Literal

from config.clock import Clock
from models.children.changes import AccessChanges
from models.children.rules import clean_name, code_of, plain_code
from models.cipher import FieldCipher
from models.clinic.records import (
    CARE_MAX,
    Assignment,
    CareStatus,
    Clinic,
    EndReason,
    assignment_of,
    clinic_of,
)
from models.clinic.repo import CareRepo, Document
from models.db import DuplicateKeyError
from models.errors import AppError, ErrorCode


class Care:
    """Clinics and the care they give.

    Args:
        random: returns so many random bytes.
        invite_hours: how long an invitation can be taken.
    """

    def __init__(
        self,
        repo: CareRepo,
        cipher: FieldCipher,
        changes: AccessChanges,
        clock: Clock,
        *,
        random: Callable[[int], bytes],
        invite_hours: int,
    ) -> None:
        self._repo = repo
        self._cipher = cipher
        self._changes = changes
        self._clock = clock
        self._random = random
        self._invite = timedelta(hours=invite_hours)

    # -- clinics

    async def add_clinic(
        self, clinic_id: str, name: str, kind: Literal["clinic", "trial_site"], by: str
    ) -> Clinic:
        """Add a clinic; the same id again changes nothing."""
        document = {
            "_id": clinic_id,
            "name": clean_name(name, "name"),
            "kind": kind,
            "therapists": [],
            "created_by": by,
            "created_at": self._clock.now(),
        }
        if not await self._repo.insert_clinic(document):
            return await self.find_clinic(clinic_id)
        return clinic_of(document)

    async def find_clinic(self, clinic_id: str) -> Clinic:
        """Return a clinic.

        Raises:
            AppError: `not_found`.
        """
        return _clinic(await self._repo.find_clinic(clinic_id))

    async def list_clinics(self, after: str, limit: int) -> list[Clinic]:
        """Return clinics by id, from `after` on."""
        return [clinic_of(found) for found in await self._repo.list_clinics(after, limit)]

    async def add_therapist(self, clinic_id: str, user_id: str) -> Clinic:
        """Let a therapist work at a clinic; the children in its care are theirs to see too.

        Raises:
            AppError: `not_found`, `conflict` (the clinic has no room).
        """
        found = await self._repo.add_therapist(clinic_id, user_id)
        if found is None:
            await self.find_clinic(clinic_id)
            raise AppError(ErrorCode.CONFLICT, "This clinic has no room for a therapist.")
        return clinic_of(found)

    async def remove_therapist(self, clinic_id: str, user_id: str) -> Clinic:
        """Let a therapist leave a clinic; what they watch through it ends within 2 s.

        Raises:
            AppError: `not_found`.
        """
        clinic = _clinic(await self._repo.remove_therapist(clinic_id, user_id))
        for child_id in await self._repo.list_children_of_clinic(clinic_id):
            await self._changes.tell(child_id)
        return clinic

    # -- assignments

    async def invite(
        self, assignment_id: str, child_id: str, clinic_id: str | None, days: int, by: str
    ) -> tuple[Assignment, str]:
        """Invite a therapist, or a clinic with all its therapists; return the code as well.

        The code is not kept: it is told here, once.

        Raises:
            AppError: `not_found` (clinic), `conflict`.
        """
        now = self._clock.now()
        if clinic_id is not None:
            await self.find_clinic(clinic_id)
        # Against a runaway client; an accepted one is counted again, exactly.
        if await self._repo.count_open(child_id, now) >= CARE_MAX:
            raise AppError(
                ErrorCode.CONFLICT,
                f"A child has at most {CARE_MAX} assignments: end one.",
            )
        code = code_of(self._random(8))
        document: Document = {
            "_id": assignment_id,
            "child_id": child_id,
            "code_index": self._index(code),
            "status": CareStatus.INVITED,
            "clinic_id": clinic_id,
            "invited_by": by,
            "invited_at": now,
            "invite_until": now + self._invite,
            "care_days": days,
        }
        if not await self._repo.insert(document):
            raise AppError(ErrorCode.CONFLICT, "This invitation is there already; make another.")
        return assignment_of(document, now), code

    async def accept(self, code: str, therapist_id: str) -> Assignment:
        """Take a child into care by the code of its guardian; the same again changes nothing.

        Raises:
            AppError: `not_found`, alike for a code that never was, is used, withdrawn or over, or
                is for another clinic; `conflict` for a child that is in this care already.
        """
        now = self._clock.now()
        index = self._index(code)
        try:
            found = await self._repo.accept(
                index, therapist_id, lambda row: now + timedelta(days=row["care_days"]), now
            )
        except DuplicateKeyError as error:
            raise AppError(ErrorCode.CONFLICT, "This child is in your care already.") from error
        if found is None:
            known = await self._repo.find({"code_index": index})
            if known is None or known.get("accepted_by") != therapist_id:
                raise AppError(ErrorCode.NOT_FOUND, "This code opens nothing: ask for a new one.")
            found = known
        return assignment_of(found, now)

    def _index(self, code: str) -> str:
        return self._cipher.index(plain_code(code), "care")

    async def list_of_child(self, child_id: str, limit: int) -> list[Assignment]:
        """Return who has, had or may take the child into care, the newest first."""
        now = self._clock.now()
        return [assignment_of(d, now) for d in await self._repo.list_of_child(child_id, limit)]

    async def end_by_family(self, child_id: str, assignment_id: str, by: str, admin: bool) -> None:
        """End an assignment or withdraw its invitation; doing it again changes nothing.

        What the therapist sees or watches of the child ends within 2 s.

        Raises:
            AppError: `not_found`.
        """
        reason = EndReason.WITHDRAWN_BY_ADMIN if admin else EndReason.WITHDRAWN_BY_GUARDIAN
        await self._end({"_id": assignment_id, "child_id": child_id}, by, reason)

    async def end_by_therapist(self, assignment_id: str, therapist_id: str) -> None:
        """Give a child out of one's own care; doing it again changes nothing.

        Only who accepted an assignment can end it for a whole clinic.

        Raises:
            AppError: `not_found`.
        """
        key = {"_id": assignment_id, "accepted_by": therapist_id}
        await self._end(key, therapist_id, EndReason.WITHDRAWN_BY_THERAPIST)

    async def _end(self, key: dict[str, str], by: str, reason: EndReason) -> None:
        found = await self._repo.end(key, by, reason, self._clock.now())
        found = found or await self._repo.find(key)
        if found is None:
            raise AppError(ErrorCode.NOT_FOUND, "There is no such assignment.")
        await self._changes.tell(found["child_id"])


def _clinic(found: Document | None) -> Clinic:
    if found is None:
        raise AppError(ErrorCode.NOT_FOUND, "There is no such clinic.")
    return clinic_of(found)
