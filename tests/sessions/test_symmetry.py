"""The affected hand beside the other."""

from typing import Any

import pytest

from sessions.symmetry import symmetry


def record(side: str, role: str | None, set_no: int = 1, **metrics: Any) -> dict[str, Any]:
    known = {"reps_full": 2, "reps_partial": 1, "amplitude_med": 100.0, "rate": 0.5}
    return {
        "motion": {"id": "fist", "version": 1},
        "space": "world",
        "side": side,
        "set_no": set_no,
        "context": {"role": role},
        "anchors": {"rest": 35.0, "target": 220.0},
        "metrics": {**known, "peak_speed_med": 300.0, **metrics},
    }


def test_the_affected_hand_is_a_share_of_the_other() -> None:
    weak = record("left", "affected", amplitude_med=60.0, peak_speed_med=None)
    (found,) = symmetry([record("right", "unaffected", 2), weak])
    assert (found["affected_set_no"], found["unaffected_set_no"]) == (1, 2)
    assert found["metrics"]["amplitude_med"]["lsi"] == pytest.approx(60.0)
    assert found["metrics"]["amplitude_med"]["symmetry_index"] == pytest.approx(50.0)
    assert found["metrics"]["rate"] == {"lsi": 100.0, "symmetry_index": 0.0}
    assert found["metrics"]["peak_speed_med"] == {"lsi": None, "symmetry_index": None}
    assert found["reason"] is None


def test_the_last_set_of_a_hand_counts_and_motions_are_kept_apart() -> None:
    tap = record("left", "affected") | {"motion": {"id": "tap", "version": 1}}
    (found,) = symmetry(
        [
            record("left", "affected", 1, amplitude_med=10.0),
            record("right", "unaffected", 2),
            record("left", "affected", 3, amplitude_med=80.0),
            tap,
        ]
    )
    assert found["affected_set_no"] == 3
    assert found["metrics"]["amplitude_med"]["lsi"] == pytest.approx(80.0)


@pytest.mark.parametrize(
    ("left", "right", "reason"),
    [
        (record("left", None), record("right", None), "no_affected_side"),
        (record("left", "affected"), record("right", "affected"), "no_affected_side"),
        (
            record("left", "affected", reps_full=1),
            record("right", "unaffected"),
            "fewer_than_3_repetitions",
        ),
    ],
)
def test_what_would_mean_nothing_is_null_with_a_reason(
    left: dict[str, Any], right: dict[str, Any], reason: str
) -> None:
    (found,) = symmetry([left, right])
    assert found["reason"] == reason
    assert {value for pair in found["metrics"].values() for value in pair.values()} == {None}


def test_nothing_is_divided_by_next_to_nothing() -> None:
    (found,) = symmetry(
        [record("left", "affected"), record("right", "unaffected", amplitude_med=9.0)]
    )
    assert found["metrics"]["amplitude_med"]["lsi"] is None
    assert found["metrics"]["rate"]["lsi"] == 100.0
    assert symmetry([record("left", "affected")]) == symmetry([]) == []
