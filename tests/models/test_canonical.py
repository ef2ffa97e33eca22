"""Canonical JSON: equal values, equal bytes."""

import math

import pytest

from models.canonical import canonical_json, sha256


def test_order_and_spaces_do_not_matter_but_types_do() -> None:
    assert canonical_json({"b": 1, "a": [1.0, "손", None, True]}) == (
        '{"a":[1.0,"손",null,true],"b":1}'.encode()
    )
    assert sha256({"a": 1, "b": 2}) == sha256({"b": 2, "a": 1})
    assert sha256({"a": 1}) != sha256({"a": 1.0})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_say_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json([value])
