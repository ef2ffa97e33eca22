"""Naming models, telling flips, and the names under which re-scored records are kept."""

from typing import Any

import pytest

from models.errors import AppError
from models.grading.library import grading_models
from sessions.regrade import ModelChoice, Regraded, _flips, rescored_document


def choice(name: str) -> ModelChoice:
    return ModelChoice(grading_models(), name)


def test_a_model_is_chosen_by_id_by_version_or_for_every_motion() -> None:
    standard = choice("standard")
    for motion in ("fist", "oppose"):
        model = standard.for_motion(motion)
        assert model is not None
        assert model.id == f"{motion}-standard"
    one = choice("fist-standard@1").for_motion("fist")
    assert one is not None
    assert (one.id, one.version) == ("fist-standard", 1)
    assert choice("fist-standard").for_motion("tap") is None
    assert standard.for_motion("juggle") is None


@pytest.mark.parametrize("name", ["fist-best", "fist-standard@9", "fist-standard@x", ""])
def test_a_model_that_is_not_there_is_refused_by_name(name: str) -> None:
    with pytest.raises(AppError, match="no grading model"):
        choice(name)


def reps(**classes: str) -> dict[str, Any]:
    return {"reps": [{"rep_no": int(n[1:]), "class": c} for n, c in classes.items()]}


def test_repetitions_flip_appear_and_vanish() -> None:
    stored, again = (
        reps(r1="full", r2="full", r3="partial"),
        reps(r1="full", r2="partial", r4="full"),
    )
    assert [(f.rep_no, f.stored, f.again) for f in _flips(stored, again)] == [
        (2, "full", "partial"),
        (3, "partial", None),
        (4, None, "full"),
    ]
    assert _flips(again, again) == ()
    assert [f.stored for f in _flips(None, again)] == [None] * 3


def graded(grade: float | None, model: str = "a") -> dict[str, Any]:
    return {
        "session_id": "s", "set_no": 1, "model": {"id": model, "version": 2}, "grade": grade,
        "grade_reason": None, "stars": 2, "_id": "s:1", "at": "then",
    }  # fmt: skip


def test_a_change_needs_two_grades() -> None:
    for before, after, change in ((50.0, 61.3, 11.3), (None, 61.3, None), (50.0, None, None)):
        one = Regraded("s", 1, "fist", "left", graded(before, "b"), graded(after), None, ())
        assert (one.before, one.after, one.change) == (before, after, change)
        assert (one.as_dict()["model"], one.as_dict()["against"]) == ("a@2", "b@2")
    alone = Regraded("s", 1, "fist", "left", None, graded(5.0), None, ())
    assert (alone.before, alone.as_dict()["against"]) == (None, None)


def test_a_document_is_named_by_session_set_model_and_code() -> None:
    document = rescored_document(graded(5.0))
    assert document["_id"].startswith("s:1:a@2:")
    assert document["_id"] == rescored_document(graded(6.0))["_id"]
    assert "at" not in document
