"""Holds: stays in the target, attempts that fall short, tremor, and what is told at once."""

import json
from dataclasses import replace
from typing import Any

import pytest

from models.catalog.library import motion_library
from sessions.frames import NO_HAND, decode
from sessions.kinematics import PALM_FRACTION
from sessions.motions import motion_plan
from sessions.scoring.batch import Batch
from sessions.scoring.holds import HELD
from sessions.scoring.marks import Peak, Rep
from sessions.scoring.plan import Space
from sessions.synthetic import ChildParameters, SimulatedSet, play_set
from tests.sessions.scoring.made import HOLDS, cut, plan, score

STEADY = ChildParameters(
    rom=1.0, landmark_noise_mm=0.0, rep_jitter=0.0, latency_sd_s=0.0, synergy=0.0
)


def held(
    motion: str, child: ChildParameters = STEADY, *, reps: int = 2, hold_s: float = 3.0
) -> SimulatedSet:
    return play_set(child, motion_library().get(motion), reps=reps, hold_s=hold_s, seed=2)


def scored(
    one: SimulatedSet, space: Space = "world", **changes: Any
) -> tuple[list[Any], dict[str, Any]]:
    asked = plan(one.motion.id, side=one.side, guide_t0_us=one.guide_t0_us)
    asked = replace(asked, motion=motion_plan(one.motion.id, space=space), space=space, **changes)
    return score(asked, [decode(message.payload) for message in one.messages(2, space)])


@pytest.mark.parametrize("motion", sorted(HOLDS))
def test_a_quiet_hold_lasts_as_long_as_it_really_did(motion: str) -> None:
    one = held(motion)
    marks, result = scored(one)
    metrics = result["metrics"]
    assert (metrics["reps_full"], metrics["reps_partial"]) == (2, 0)
    assert metrics["hold_time"] == pytest.approx(one.truth.hold_time, abs=0.1)
    assert metrics["hold_total"] == pytest.approx(one.truth.hold_total, abs=0.2)
    assert 0.0 < metrics["steadiness"] < 4.0
    assert abs(metrics["drift"]) < 2.0
    assert metrics["tremor_rms"] < 0.5
    assert metrics["tremor_below_floor"] is True
    assert metrics["amplitude_med"] is None
    # Told when the target is reached, closed when it is left.
    assert [(type(mark), mark.rep_no) for mark in marks] == [
        *((Peak, 1), (Rep, 1), (Peak, 2)),
        *([(Rep, 2)] if len(marks) == 4 else []),
    ]
    for mark, true in zip((m for m in marks if isinstance(m, Peak)), one.truth.holds, strict=True):
        assert mark.t_us == pytest.approx(true.start_us, abs=120_000)
        assert mark.z >= 0.9
    for rep in result["reps"]:
        assert rep["completeness"] > 90.0
        assert rep["t_off"] - rep["t_on"] == pytest.approx(rep["duration"])
    json.dumps(result, allow_nan=False)


def test_an_attempt_that_falls_short_is_partial_and_has_no_duration() -> None:
    weak = replace(STEADY, rom=0.7)
    one = held("pinch", weak)
    assert one.truth.holds == ()
    marks, result = scored(one)
    metrics = result["metrics"]
    assert (metrics["reps_full"], metrics["reps_partial"]) == (0, 2)
    assert (metrics["hold_time"], metrics["hold_total"]) == (0.0, 0.0)
    assert {key: metrics[key] for key in HELD} == dict.fromkeys(HELD)
    assert [rep["duration"] for rep in result["reps"]] == [None, None]
    assert 10.0 < metrics["completeness_med"] < 90.0
    assert [(type(mark), mark.rep_no) for mark in marks] == [
        *((Peak, 1), (Rep, 1), (Peak, 2), (Rep, 2))
    ]


def test_a_tremor_is_found_with_its_frequency_and_size() -> None:
    for motion, hz in (("scissors", 5.0), ("pinch", 7.0)):
        one = held(motion, replace(STEADY, tremor_hz=hz, tremor_deg=2.5), hold_s=5.0)
        metrics = scored(one)[1]["metrics"]
        assert metrics["tremor_peak"] == pytest.approx(hz, abs=0.5)
        assert metrics["tremor_rms"] == pytest.approx(one.truth.tremor_rms, rel=0.3)
        assert metrics["tremor_ratio"] > 0.5


def test_image_landmarks_need_the_length_of_the_palm() -> None:
    child = replace(STEADY, tremor_hz=5.0, tremor_deg=3.0)
    one = held("pinch", child, hold_s=4.0)
    unknown = scored(one, "image")[1]
    assert unknown["metrics"]["tremor_rms"] is None
    assert unknown["metrics"]["steadiness"] is not None
    assert unknown["flags"] == []
    palm = 1000.0 * PALM_FRACTION * child.hand_length_m
    known = scored(one, "image", palm_mm=palm)[1]
    assert known["flags"] == ["tremor_estimated"]
    assert known["metrics"]["tremor_peak"] == pytest.approx(5.0, abs=0.5)
    assert known["metrics"]["tremor_rms"] == pytest.approx(one.truth.tremor_rms, rel=0.4)


def test_a_gap_ends_a_hold_as_interrupted() -> None:
    one = held("pinch", reps=1, hold_s=5.0)
    records = one.records()
    middle = (one.truth.holds[0].start_us + 2_500_000 - int(one.t_us[0])) // 33_333
    records["flags"][middle : middle + 20] = NO_HAND
    marks, result = score(plan("pinch", guide_t0_us=one.guide_t0_us), cut(records, [3] * 200))
    first, second = result["reps"]
    assert (first["class"], first["reason"]) == ("interrupted", "gap")
    assert first["duration"] == pytest.approx(2.5, abs=0.3)
    assert second["class"] == "full"
    assert result["metrics"]["hold_total"] == pytest.approx(
        first["duration"] + second["duration"], abs=1e-9
    )
    assert next(mark.rep_no for mark in marks if isinstance(mark, Rep)) == 1


def test_the_end_of_the_set_closes_a_hold_and_progress_is_seen_before() -> None:
    one = held("thumbup", reps=1)
    inside = one.t_us < one.truth.holds[0].start_us + 2_500_000
    records = one.records()[inside]
    batch = Batch(1)
    slot = batch.open(plan("thumbup"))
    progress = []
    for message in cut(records, [1] * 400):
        batch.step([(slot, message)])
        live = batch.live(slot)
        assert live is not None
        assert live.held is not None
        progress.append(live.held)
    assert progress[0] == 0.0
    assert progress[-1] == pytest.approx(2.4, abs=0.15)
    result = batch.close(slot)
    assert result["metrics"]["hold_time"] == pytest.approx(progress[-1])
    assert [rep["class"] for rep in result["reps"]] == ["full"]


def test_of_a_hold_longer_than_the_ring_the_last_is_measured() -> None:
    one = held("pinch", replace(STEADY, tremor_hz=6.0, tremor_deg=2.5), reps=1, hold_s=30.0)
    metrics = scored(one)[1]["metrics"]
    assert metrics["hold_time"] == pytest.approx(one.truth.hold_time, abs=0.1)
    assert metrics["steadiness"] is not None
    assert metrics["tremor_peak"] == pytest.approx(6.0, abs=0.5)
