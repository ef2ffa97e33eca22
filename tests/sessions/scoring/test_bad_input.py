"""Bad input: every stream has a verdict for each record, a finite result, and nothing invented."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sessions.frames import NO_HAND
from sessions.scoring.batch import Batch
from tests.sessions.scoring.made import (
    ANCHORS,
    MOTIONS,
    columns,
    cut,
    plan,
    played,
    score,
    spoilt,
    still,
)

Records = NDArray[np.void]
COUNTED = ("reps_full", "reps_partial", "rejected", "interrupted")


def absent(made: Records) -> Records:
    made["flags"] |= NO_HAND
    return made


def empty(made: Records) -> Records:
    made["lm"] = 0
    return made


def flat(made: Records) -> Records:
    made["lm"][:, :, ::2] = 0
    return made


def frozen(made: Records) -> Records:
    made["lm"] = made["lm"][0]
    return made


def unsure(made: Records) -> Records:
    made["score"] = 100
    return made


def extreme(made: Records) -> Records:
    made["lm"][::2], made["lm"][1::2] = 32767, -32768
    return made


def strangers(made: Records) -> Records:
    made["side"] = 0
    return made


def backwards(made: Records) -> Records:
    made["dt"] = made["dt"][::-1]
    return made


def at_once(made: Records) -> Records:
    made["dt"] = 5
    return made


def one_counter(made: Records) -> Records:
    made["dseq"] = 7
    return made


def slow(made: Records) -> Records:
    made["dt"] *= 40
    return made


def nothing(made: Records) -> Records:
    return made[:0]


NOTHING: dict[Callable[[Records], Records], str] = {
    absent: "absent",
    empty: "palm_size",
    flat: "palm_degenerate",
    unsure: "low_confidence",
    extreme: "palm_size",
    strangers: "other_hand",
}
LITTLE = (frozen, backwards, at_once, one_counter, slow, nothing)


def whole(result: dict[str, Any], records: int) -> dict[str, Any]:
    """The metrics of a result that JSON takes and whose verdicts are those of all records."""
    json.dumps(result, allow_nan=False)
    verdicts = dict(result["verdicts"])
    verdicts.pop("frozen")
    assert sum(verdicts.values()) == records
    assert 0.0 <= result["quality"]["q"] <= 1.0
    metrics: dict[str, Any] = result["metrics"]
    return metrics


@pytest.mark.parametrize("spoil", list(NOTHING), ids=lambda spoil: spoil.__name__)
def test_a_hand_that_is_not_there_measures_nothing(spoil: Callable[[Records], Records]) -> None:
    for motion in MOTIONS:
        made = spoil(spoilt(motion).copy())
        _, result = score(plan(motion), cut(made, [32] * 60))
        metrics = whole(result, len(made))
        assert result["verdicts"][NOTHING[spoil]] > 0
        assert result["verdicts"]["accepted"] == 0
        assert result["quality"]["q"] == 0.0
        assert result["reps"] == []
        zero = {*COUNTED, "hold_time", "hold_total", "sequences", "sequence_errors", "steps"}
        assert {value for key, value in metrics.items() if key not in zero} == {None}
        assert {value for key, value in metrics.items() if key in zero} == {0}


@pytest.mark.parametrize("spoil", LITTLE, ids=lambda spoil: spoil.__name__)
def test_a_broken_stream_counts_nothing_as_done(spoil: Callable[[Records], Records]) -> None:
    for motion in MOTIONS:
        made = spoil(spoilt(motion).copy())
        _, result = score(plan(motion), cut(made, [32] * 60))
        metrics = whole(result, len(made))
        assert metrics["reps_full"] == 0
        assert result["quality"]["q"] < 0.6


def test_a_set_without_a_record_is_whole() -> None:
    for motion in MOTIONS:
        batch = Batch(1)
        result = batch.close(batch.open(plan(motion)))
        whole(result, 0)
        assert result["duration"] == 0.0


def test_a_still_hand_has_no_repetition() -> None:
    for motion in ANCHORS:
        _, result = score(plan(motion), cut(still(300), [10] * 30))
        metrics = whole(result, 300)
        assert sum(metrics[name] for name in COUNTED) == 0
        assert metrics["amplitude_med"] is metrics["sparc_med"] is metrics["fatigue"] is None
        assert metrics["x_min"] <= metrics["x_mean"] <= metrics["x_max"]
        assert result["quality"]["q"] > 0.9


@pytest.mark.parametrize("fps", [15.0, 24.0, 45.0, 60.0])
def test_every_camera_rate_counts_alike(fps: float) -> None:
    for motion in ("fist", "turn", "wave"):
        made = played(motion, reps=3, fps=fps)
        metrics = whole(score(plan(motion, fps=fps), cut(made, []))[1], len(made))
        assert metrics["reps_full"] + metrics["reps_partial"] == 3


def test_a_clock_that_jumps_back_drops_the_rest_and_one_that_jumps_ahead_is_a_gap() -> None:
    made = played(reps=4)
    half = len(made) // 2
    back, ahead = made.copy(), made.copy()
    back["dt"][half:] -= back["dt"][half] - 1000
    ahead["dt"][half:] += 3_600_000_000 % 2**31
    result = score(plan(), cut(back, [6] * 200))[1]
    whole(result, len(made))
    late = result["verdicts"]["out_of_order"]
    assert late >= half - 1
    assert result["metrics"]["reps_full"] + result["metrics"]["reps_partial"] <= 3
    assert result["quality"]["q"] < 0.6
    result = score(plan(), cut(ahead, [6] * 200))[1]
    metrics = whole(result, len(made))
    assert result["verdicts"]["accepted_gap"] == 1
    assert metrics["interrupted"] <= 1
    assert result["quality"]["q"] < 0.1


def test_hands_that_change_their_labels_in_the_middle_are_half_seen() -> None:
    made = played(reps=4)
    half = len(made) // 2
    made["side"][half:] = 0
    result = score(plan(), cut(made, [3] * 400))[1]
    whole(result, len(made))
    assert result["verdicts"]["other_hand"] == len(made) - half
    assert result["quality"]["q"] == pytest.approx(0.5, abs=0.05)


def test_landmarks_that_are_no_numbers_are_dropped_and_leak_nowhere() -> None:
    made = played(reps=2)
    points = made["lm"].astype(np.float32) * np.float32(1e-5)
    clean = Batch(1)
    slot = clean.open(plan())
    bad = np.zeros(len(points), bool)
    bad[5::9] = True
    given = columns(points)
    clean.feed(given.take(np.flatnonzero(~bad)))
    wanted = clean.close(slot)
    points[bad, 3, 1] = np.nan
    points[bad, 7] = np.inf
    dirty = Batch(1)
    slot = dirty.open(plan())
    dirty.feed(columns(points))
    found = dirty.close(slot)
    metrics = whole(found, len(points))
    assert found["verdicts"]["nonfinite"] == bad.sum()
    assert metrics == wanted["metrics"]
    assert found["reps"] == wanted["reps"]
