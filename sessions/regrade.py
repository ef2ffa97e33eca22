"""Re-scoring stored sessions under other grading models, side by side with what was stored."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from models.canonical import canonical_json
from models.errors import AppError, ErrorCode
from models.grading.library import Models
from models.grading.records import GradingModel
from models.play.repo import PlayRepo
from sessions.catalogue import Catalogue
from sessions.record import code_version, graded
from sessions.rescore import ENVELOPE, compare, rescore, stored_messages

STANDARD = "standard"
"""Names the newest standard model of each motion."""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model grades a motion: one by id and version, or every motion's standard."""

    models: Models
    name: str
    """`standard`, `ID` (its newest version) or `ID@VERSION`."""

    def __post_init__(self) -> None:
        """Raises AppError `not_found` for a model that the library does not hold."""
        if self.name != STANDARD:
            self._named()

    def for_motion(self, motion_id: str) -> GradingModel | None:
        """Return the model for a motion; None when the one named is for another motion."""
        try:
            model = self.models.standard(motion_id) if self.name == STANDARD else self._named()
        except KeyError:
            return None
        return model if model.motion == motion_id else None

    def _named(self) -> GradingModel:
        model_id, _, version = self.name.partition("@")
        try:
            return self.models.get(model_id, int(version) if version else None)
        except (KeyError, ValueError):
            raise AppError(ErrorCode.NOT_FOUND, f"There is no grading model {self.name}.") from None


@dataclass(frozen=True, slots=True)
class Flip:
    """A repetition that is classed otherwise when the stored frames are measured now."""

    rep_no: int
    stored: str | None
    """Class in the stored record; None when the repetition was not there."""
    again: str | None


@dataclass(frozen=True, slots=True)
class Regraded:
    """One set, measured again from its frames and graded by one or two models."""

    session_id: str
    set_no: int
    motion: str
    side: str
    stored: Mapping[str, Any] | None
    """The record as it was stored."""
    again: Mapping[str, Any]
    """The record under the model asked for."""
    other: Mapping[str, Any] | None
    """The record under the model compared with, if one was named and fits."""
    flips: tuple[Flip, ...]

    @property
    def before(self) -> float | None:
        """The grade on the left of the comparison: of the other model, else the stored one."""
        left = self.other if self.other is not None else self.stored
        return left["grade"] if left is not None else None

    @property
    def after(self) -> float | None:
        """The grade of the model asked for."""
        grade: float | None = self.again["grade"]
        return grade

    @property
    def change(self) -> float | None:
        """How much the grade changes; None unless both are there."""
        if self.before is None or self.after is None:
            return None
        return round(self.after - self.before, 1)

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison in plain JSON types."""
        left = self.other if self.other is not None else self.stored
        return {
            "session_id": self.session_id,
            "set_no": self.set_no,
            "motion": self.motion,
            "side": self.side,
            "model": name_of(self.again),
            "against": name_of(left) if left is not None else None,
            "before": self.before,
            "after": self.after,
            "change": self.change,
            "reason": self.again["grade_reason"],
            "stars": [left["stars"] if left is not None else None, self.again["stars"]],
            "flips": [
                {"rep_no": f.rep_no, "stored": f.stored, "again": f.again} for f in self.flips
            ],
        }


def name_of(record: Mapping[str, Any]) -> str:
    """Return the model of a record as `ID@VERSION`."""
    return f"{record['model']['id']}@{record['model']['version']}"


async def regrade_session(
    repo: PlayRepo,
    catalogue: Catalogue,
    session_id: str,
    model: ModelChoice,
    other: ModelChoice | None = None,
) -> list[Regraded]:
    """Measure a stored session again and grade it by `model`, and by `other` for comparison.

    Sets of a motion that `model` is not for are left out.

    Raises:
        AppError: `not_found`: there is no such stored session, or the catalogue no longer holds
            what it was played with.
    """
    opened = await repo.find_session(session_id)
    if opened is None:
        raise AppError(ErrorCode.NOT_FOUND, f"No session {session_id} is stored.")
    again = rescore(catalogue, opened, await stored_messages(repo, session_id))
    pairs = compare(await repo.list_records(session_id), again)
    out = []
    for pair in pairs:
        if pair.again is None:
            continue
        motion = pair.again["motion"]["id"]
        chosen = model.for_motion(motion)
        if chosen is None:
            continue
        beside = other.for_motion(motion) if other is not None else None
        out.append(
            Regraded(
                session_id=session_id,
                set_no=pair.set_no,
                motion=motion,
                side=pair.again["side"],
                stored=pair.stored,
                again={**pair.again, **graded(pair.again, chosen)},
                other={**pair.again, **graded(pair.again, beside)} if beside is not None else None,
                flips=_flips(pair.stored, pair.again),
            )
        )
    return out


def rescored_document(again: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of `rescored_records`: the record, named by its model and its code.

    The same code and model give the same document again, so that adding it twice adds it once.
    """
    code = hashlib.sha256(canonical_json(dict(code_version()))).hexdigest()[:12]
    key = f"{again['session_id']}:{again['set_no']}:{name_of(again)}:{code}"
    return {"_id": key, **{k: v for k, v in again.items() if k not in ENVELOPE}}


def _flips(stored: Mapping[str, Any] | None, again: Mapping[str, Any]) -> tuple[Flip, ...]:
    left = _classes(stored["reps"] if stored is not None else ())
    right = _classes(again["reps"])
    return tuple(
        Flip(n, left.get(n), right.get(n))
        for n in sorted(left.keys() | right.keys())
        if left.get(n) != right.get(n)
    )


def _classes(reps: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    return {rep["rep_no"]: rep["class"] for rep in reps}
