"""Writing down a child's diagnoses."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from config.clock import Clock
from models.children.records import Child, Hands
from models.children.rules import clean_name
from models.cipher import FieldCipher
from models.clinic.record_repo import RecordRepo
from models.clinic.records import Diagnosis, diagnosis_of, note_context
from models.db import DuplicateKeyError
from models.errors import AppError, ErrorCode


@dataclass(frozen=True, slots=True)
class NewDiagnosis:
    """What a therapist says of a diagnosis."""

    system: Literal["icd10", "kcd8", "other"]
    code: str
    label: str
    affected_hand: Hands
    diagnosed_on: date
    institution: str | None
    note: str | None
    supersedes: str | None


class ClinicalRecords:
    """The diagnoses of children."""

    def __init__(self, repo: RecordRepo, cipher: FieldCipher, clock: Clock) -> None:
        self._repo = repo
        self._cipher = cipher
        self._clock = clock

    def note(self, diagnosis: Diagnosis) -> str | None:
        """Return the note of a diagnosis."""
        if diagnosis.sealed_note is None:
            return None
        return self._cipher.open(diagnosis.sealed_note, note_context(diagnosis.id))

    async def add_diagnosis(
        self, diagnosis_id: str, child: Child, said: NewDiagnosis, today: date, by: str
    ) -> Diagnosis:
        """Record a diagnosis; the same id again changes nothing.

        Args:
            today: the child's local date.

        Raises:
            AppError: `invalid`; `conflict` when the one it puts right was put right or deleted.
        """
        born = child.birth_date
        if said.diagnosed_on > today or (born is not None and said.diagnosed_on < born):
            raise AppError(
                ErrorCode.INVALID,
                "body.diagnosedOn must lie between the child's birth and today.",
            )
        note = said.note and self._cipher.seal(said.note, note_context(diagnosis_id))
        document: dict[str, Any] = {
            "_id": diagnosis_id,
            "child_id": child.id,
            "system": said.system,
            "code": said.code,
            "label": clean_name(said.label, "label"),
            "affected_hand": said.affected_hand,
            "diagnosed_on": said.diagnosed_on.isoformat(),
            "institution": said.institution and clean_name(said.institution, "institution"),
            "note": note,
            "author": by,
            "at": self._clock.now(),
            "supersedes": said.supersedes,
            "superseded_by": None,
            "deleted_at": None,
        }
        try:
            added = await self._repo.add_diagnosis(document)
        except DuplicateKeyError:
            return await self.find_diagnosis(child.id, diagnosis_id)
        if not added:
            raise AppError(
                ErrorCode.CONFLICT,
                "body.supersedes is no valid diagnosis of this child: list them again.",
            )
        return diagnosis_of(document)

    async def find_diagnosis(self, child_id: str, diagnosis_id: str) -> Diagnosis:
        """Return a diagnosis.

        Raises:
            AppError: `not_found`.
        """
        found = await self._repo.find_diagnosis(child_id, diagnosis_id)
        if found is None:
            raise AppError(ErrorCode.NOT_FOUND, "There is no such diagnosis.")
        return diagnosis_of(found)

    async def delete_diagnosis(
        self, child_id: str, diagnosis_id: str, by: str, reason: str
    ) -> Diagnosis:
        """Mark a diagnosis as deleted; doing it again changes nothing.

        Raises:
            AppError: `not_found`; `conflict` when another put it right.
        """
        now = self._clock.now()
        done = await self._repo.delete_diagnosis(child_id, diagnosis_id, by, reason, now)
        found = await self.find_diagnosis(child_id, diagnosis_id)
        if not done and found.deleted_at is None:
            raise AppError(ErrorCode.CONFLICT, "Another diagnosis put this one right: delete that.")
        return found

    async def list_diagnoses(
        self, child_id: str, limit: int, before: tuple[str, datetime, str] | None = None
    ) -> list[Diagnosis]:
        """Return the diagnoses of a child, the newest first, valid or not."""
        return [
            diagnosis_of(found)
            for found in await self._repo.list_diagnoses(child_id, limit, before)
        ]

    async def check_birth_date(self, child_id: str, birth_date: date) -> None:
        """Refuse a birth date after the child's earliest valid diagnosis.

        Raises:
            AppError: `conflict`.
        """
        earliest = await self._repo.earliest_diagnosis(child_id)
        if earliest is not None and birth_date.isoformat() > earliest:
            raise AppError(
                ErrorCode.CONFLICT, "body.birthDate lies after a diagnosis: put that right first."
            )
