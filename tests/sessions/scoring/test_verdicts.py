"""Every verdict by example, all of them counted, none of them disturbing what comes after."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sessions.frames import MIRRORED, NO_HAND
from sessions.scoring.batch import Batch
from sessions.scoring.verdicts import (
    ABSENT,
    ACCEPTED,
    LOW_CONFIDENCE,
    VERDICTS,
    judge_after,
    unremarkable,
)
from tests.sessions.scoring.made import FRAME_US, columns, cut, message, plan, score, still

Change = Callable[[NDArray[np.void]], None]
AT = 5


def counts(records: NDArray[np.void], **head: Any) -> dict[str, int]:
    verdicts: dict[str, int] = score(plan(), cut(records, [3, 1, 4], **head))[1]["verdicts"]
    return {name: count for name, count in verdicts.items() if count}


def put(field: str, value: Any) -> Change:
    def change(records: NDArray[np.void]) -> None:
        records[field][AT] = value

    return change


def scaled(factor: float) -> Change:
    def change(records: NDArray[np.void]) -> None:
        records["lm"][AT] = records["lm"][AT] * factor

    return change


def as_line(records: NDArray[np.void]) -> None:
    records["lm"][AT][:, 0] = 0
    records["lm"][AT][:, 2] = 0


def too_soon(records: NDArray[np.void]) -> None:
    records["dt"][AT] = records["dt"][AT - 1] + 999


def late(records: NDArray[np.void]) -> None:
    records["dt"][AT] = records["dt"][AT - 1] - 1


def after_a_pause(records: NDArray[np.void]) -> None:
    records["dt"][AT:] += 500_001 - FRAME_US


def just_no_pause(records: NDArray[np.void]) -> None:
    records["dt"][AT:] += 500_000 - FRAME_US


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (put("side", 0), "other_hand"),
        (put("side", 9), "other_hand"),
        (put("flags", NO_HAND), "absent"),
        (scaled(0.1), "palm_size"),
        (scaled(4.5), "palm_size"),
        (as_line, "palm_degenerate"),
        (put("score", 127), "low_confidence"),
        (late, "out_of_order"),
        (too_soon, "duplicate"),
        (put("dseq", AT - 1), "duplicate"),
        (scaled(1.45), "jump"),
        (scaled(0.55), "jump"),
        (after_a_pause, "accepted_gap"),
        (just_no_pause, "accepted"),
        (put("score", 128), "accepted"),
        (scaled(1.3), "accepted"),
    ],
)
def test_a_record_gets_its_verdict(change: Change, verdict: str) -> None:
    records = still(12)
    assert counts(records) == {"accepted": 12}
    if verdict == "palm_size":
        # A leap in size is looked at only after the size itself.
        assert VERDICTS.index("palm_size") < VERDICTS.index("jump")
    change(records)
    wanted = {"accepted": 11, verdict: 1} if verdict != "accepted" else {"accepted": 12}
    assert counts(records) == wanted


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_dropped(value: float) -> None:
    lm = still(12)["lm"].astype(np.float32) * np.float32(1e-5)
    lm[AT, 20, 2] = value
    assert fed(lm) == {"accepted": 11, "nonfinite": 1}


@pytest.mark.parametrize("value", [0.51, -0.51, 1e38, -3e38])
def test_coordinates_out_of_reach_are_dropped(value: float) -> None:
    lm = still(12)["lm"].astype(np.float32) * np.float32(1e-5)
    lm[AT, 4, 1] = value
    assert fed(lm) == {"accepted": 11, "range": 1}


def test_image_coordinates_reach_further() -> None:
    lm = still(12)["lm"].astype(np.float32) * np.float32(1e-5) * 5.0
    lm[AT, 4, 1], lm[AT + 1, 4, 1] = 3.9, 4.1
    assert fed(lm, space="image") == {"accepted": 11, "range": 1}


def fed(lm: NDArray[np.float32], **changes: Any) -> dict[str, int]:
    batch = Batch(1)
    slot = batch.open(plan(**changes))
    batch.feed(columns(lm))
    verdicts = batch.close(slot)["verdicts"]
    return {name: count for name, count in verdicts.items() if count}


def test_the_first_rule_that_matches_names_the_record() -> None:
    records = still(3)
    records["flags"][1] = NO_HAND
    records["score"][1] = 0
    records["lm"][1] = 0
    records["dseq"][1] = 0
    assert counts(records) == {"accepted": 2, "absent": 1}
    records["side"][1] = 0
    assert counts(records) == {"accepted": 2, "other_hand": 1}


def test_a_third_leap_in_a_row_is_believed() -> None:
    records = still(12)
    records["lm"][AT:] = records["lm"][AT:] * 1.5
    assert counts(records) == {"accepted": 10, "jump": 2}


def test_dropped_records_leave_no_trace_but_their_count() -> None:
    clean = still(40)
    dirty = np.repeat(clean, 3)
    dirty["dseq"][1::3] += 1000
    dirty["flags"][1::3] = NO_HAND
    dirty["lm"][1::3] = 30_000
    dirty["dt"][2::3] -= np.minimum(dirty["dt"][2::3], 20_000)
    wanted, got = score(plan(), cut(clean, []))[1], score(plan(), cut(dirty, [7, 1, 30]))[1]
    assert got["verdicts"]["accepted"] == 40
    assert sum(count for name, count in got["verdicts"].items() if name != "frozen") == 120
    assert got.pop("verdicts") != wanted.pop("verdicts")
    assert got == wanted


def test_a_left_or_mirrored_hand_is_scored_as_the_right_one() -> None:
    records = still(40)
    wanted = score(plan(), cut(records, []))[1]
    flipped = records.copy()
    flipped["lm"][:, :, 0] *= -1
    left = flipped.copy()
    left["side"] = 0
    assert score(plan(side="left"), cut(left, []))[1] == wanted
    flipped["flags"] = MIRRORED
    assert score(plan(), cut(flipped, []))[1] == wanted


def test_a_picture_of_any_form_shows_the_same_hand() -> None:
    square = still(30)
    square["lm"] = square["lm"] * 10
    wide = square.copy()
    wide["lm"][:, :, [0, 2]] //= 2
    head = {"space": "image", "height": 500}
    one = score(plan(space="image"), [message(square, width=500, **head)])[1]
    two = score(plan(space="image"), [message(wide, width=1000, **head)])[1]
    none = score(plan(space="image"), [message(square, width=0, **head)])[1]
    assert none == one
    assert two["metrics"]["x_mean"] == pytest.approx(one["metrics"]["x_mean"], abs=0.1)


def test_a_frozen_picture_is_counted_from_its_first_frame() -> None:
    records = still(60)
    records["lm"][10:24] = records["lm"][10]
    assert counts(records) == {"accepted": 60}
    records["lm"][10:25] = records["lm"][10]
    assert counts(records) == {"accepted": 60, "frozen": 15}
    records["lm"][10:31] = records["lm"][10]
    result = score(plan(), cut(records, [2, 30]))[1]
    assert result["verdicts"]["frozen"] == 21
    assert result["quality"]["q_valid"] == pytest.approx(39 / 59, rel=1e-3)


def test_absurd_clocks_are_judged_and_nothing_overflows() -> None:
    records = still(6)
    marks, result = score(
        plan(guide_t0_us=2**63), [message(records, t0=2**64 - 1), message(records, t0=0)]
    )
    assert marks == []
    assert result["verdicts"]["out_of_order"] == 6
    assert sum(result["verdicts"].values()) == 12


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([ACCEPTED, LOW_CONFIDENCE, ABSENT]),
            st.sampled_from([-1, 0, 999, 1_000, 33_333, 99_999, 500_000, 500_001]),
            st.booleans(),
            st.sampled_from([-0.5, -0.4, 0.0, 0.3, 0.4, 0.5]),
            st.integers(0, 2),
            st.booleans(),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_what_is_unremarkable_is_accepted(
    told: list[tuple[int, int, bool, float, int, bool]],
) -> None:
    alone, since, same, growth, jumps, begun = zip(*told, strict=True)
    records = (
        np.array(alone, np.int8),
        np.array(since, np.int64),
        np.array(same),
        np.array(growth, np.float32),
    )
    code = judge_after(*records, np.array(jumps, np.int8), np.array(begun))
    if unremarkable(*records, np.array(begun)):
        assert (code == ACCEPTED).all()
    else:
        odd = (code != ACCEPTED) | (np.abs(records[3]) > 0.4) | ~np.array(begun)
        assert odd.any()
