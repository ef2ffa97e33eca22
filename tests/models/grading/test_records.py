"""The grading data files, and what is said about a file with a fault."""

import json
from typing import Any

import pytest

from models.catalog.library import motion_library
from models.grading.explanation import phrases
from models.grading.indicators import QUANTITIES
from models.grading.library import Models, grading_models, parse_model
from models.grading.records import GradingModel


def document(**changes: Any) -> bytes:
    model = grading_models().standard("fist").model_dump(mode="json", by_alias=True)
    return json.dumps(model | changes).encode()


def fist_with(index: int, **changes: Any) -> bytes:
    indicators = json.loads(document())["indicators"]
    indicators[index] |= changes
    return document(indicators=indicators)


def test_every_motion_has_a_standard_model_that_refers_to_it() -> None:
    for motion in motion_library().latest:
        model = grading_models().standard(motion)
        assert model.motion == motion
        assert len(model.sha256) == 64


def test_the_fist_weighs_what_the_specification_says() -> None:
    weights = {i.key: i.weight for i in grading_models().standard("fist").indicators}
    assert weights == {
        "completeness_med": 0.35,
        "completion": 0.20,
        "shape_med": 0.15,
        "sparc_med": 0.15,
        "on_time": 0.10,
        "rhythm_cv": 0.05,
    }


def test_the_hash_names_the_content_not_the_layout() -> None:
    model = grading_models().standard("fist")
    assert parse_model("spaced", json.dumps(json.loads(document()), indent=7).encode()) == model
    changed = parse_model("changed", document(min_available_weight=0.5))
    assert changed.sha256 != model.sha256


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (fist_with(0, knots=[[20, 0], [20, 50]]), "completeness_med must go strictly up or"),
        (fist_with(0, knots=[[20, 0], [60, 50], [40, 90]]), "strictly up or strictly down"),
        (fist_with(0, knots=[[20, 60], [60, 50]]), "must not fall from knot to knot"),
        (fist_with(0, knots=[[20, 0], [60, 101]]), "less than or equal to 100"),
        (fist_with(0, knots=[[20, 0]]), "at least 2 items"),
        (fist_with(0, weight=0.3), "weights must sum to 1, not 0.95"),
        (fist_with(0, weight=-0.3), "greater than 0"),
        (fist_with(0, key="charm"), "no quantity is called 'charm'; known are completeness_med"),
        (fist_with(0, key="completion"), "given twice: ['completion']"),
        (document(stars=[[1, "attempt"], [2, 80], [3, 75]]), "three stars must ask for more"),
        (document(age_bands={"0-2": {}}), "age_bands"),
        (document(schema="hand45-1"), "hand44-1"),
        (document(extra=1), "Extra inputs are not permitted"),
        (b"{", "Invalid JSON"),
    ],
)
def test_a_fault_is_told_with_its_file_and_place(text: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=r"broken\.json") as error:
        parse_model("broken.json", text)
    assert fault in str(error.value)


def test_versions_live_side_by_side() -> None:
    first = grading_models().standard("fist")
    second = parse_model("v2", document(version=2, min_available_weight=0.7))
    models = Models([second, first])
    assert models.standard("fist") is second
    assert models.get("fist-standard", 1) is first
    with pytest.raises(ValueError, match="fist-standard version 1 twice"):
        Models([first, GradingModel.model_validate(first.model_dump(by_alias=True))])
    with pytest.raises(KeyError):
        models.get("fist-standard", 3)


def test_every_quantity_has_its_sentences_in_both_languages() -> None:
    reasons = {
        "insufficient_tracking",
        "chirality_inverted",
        "no_repetition",
        "min_available_weight",
        "nothing_lost",
    }
    assert phrases().keys() == QUANTITIES.keys() | reasons
    assert all(p.ko and p.en for p in phrases().values())
