"""Simulated children against the scoring: what they did is what is counted."""

import dataclasses
import json
from statistics import median

import numpy as np
import pytest

from models.catalog.library import motion_library
from models.catalog.records import MotionDefinition
from models.grading.library import grading_models
from sessions.record import canonical, graded
from sessions.synthetic import ChildParameters, SimulatedSet, play_set, sample_child
from tests.sessions import accuracy
from tests.sessions.played import measured, record_of

CLEAN = ChildParameters(landmark_noise_mm=0.3)


def group(motion: str, n: int, *, rom: float, noise_mm: float, seed: int) -> list[SimulatedSet]:
    rng = np.random.default_rng(seed)
    children = [
        dataclasses.replace(sample_child(rng, noise_mm=noise_mm), rom=float(rng.uniform(rom, 1.0)))
        for _ in range(n)
    ]
    definition = motion_library().get(motion)
    return [play_set(c, definition, reps=8, seed=k) for k, c in enumerate(children)]


@pytest.mark.parametrize(
    ("motion", "n", "rom", "noise_mm"),
    [
        ("fist", 16, 0.35, 0.5),
        ("fist", 16, 0.35, 1.0),
        ("spread", 10, 0.5, 1.0),
        ("tap", 10, 0.5, 1.0),
        ("turn", 10, 0.5, 1.0),
        ("wave", 10, 0.5, 1.0),
        ("hook", 10, 0.5, 1.0),
        ("table", 10, 0.5, 1.0),
    ],
)
def test_every_true_repetition_is_counted_once(
    motion: str, n: int, rom: float, noise_mm: float
) -> None:
    played = group(motion, n, rom=rom, noise_mm=noise_mm, seed=31)
    ratios, same_class, reps = [], 0, 0
    for one, result in zip(played, measured(played), strict=True):
        assert [r["rep_no"] for r in result["reps"]] == list(range(1, 9)), one.child
        assert {r["class"] for r in result["reps"]} <= {"full", "partial"}, one.child
        for true, found in zip(one.reps, result["reps"], strict=True):
            assert true.start_us < found["t_us"] < true.end_us + 150_000
            same_class += true.full == (found["class"] == "full")
            reps += 1
        ratios.append(result["metrics"]["amplitude_med"] / median(r.amplitude for r in one.reps))
    assert same_class >= 0.88 * reps
    assert 0.95 < median(ratios) < (1.1 if motion == "fist" else 1.15)


def test_the_accuracy_that_is_told_can_be_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["accuracy", "tap", "--seeds", "4", "--json"])
    accuracy.main()
    row = json.loads(capsys.readouterr().out)["tap"]
    assert row["exact"] == row["exact_1mm"] == row["fatigue_sign"] == 1.0
    assert 0 < row["amplitude_off"] < 0.08
    assert 0 < row["amplitude_off_1mm"] < 0.08


def test_at_two_millimetres_few_repetitions_are_miscounted() -> None:
    played = group("fist", 16, rom=0.5, noise_mm=2.0, seed=31)
    off = [abs(len(r["reps"]) - 8) for r in measured(played)]
    assert sum(off) <= 0.1 * 16 * 8


def test_image_landmarks_of_a_fist_are_counted_as_well() -> None:
    played = group("fist", 8, rom=0.5, noise_mm=0.5, seed=5)
    for result in measured(played, space="image"):
        metrics = result["metrics"]
        assert metrics["reps_full"] + metrics["reps_partial"] == 8


def test_a_record_is_the_same_however_the_frames_are_cut_into_messages() -> None:
    child = dataclasses.replace(CLEAN, dropout_rate=0.2, landmark_noise_mm=1.0)
    library = motion_library()
    played = [
        play_set(child, library.get(name), reps=reps, seed=2)
        for name, reps in (("fist", 3), ("turn", 3), ("tap", 8))
    ]
    cut = [
        [canonical(record_of(p, m)) for p, m in zip(played, results, strict=True)]
        for results in (measured(played, frames_per_message=size) for size in (1, 2, 17))
    ]
    assert cut[0] == cut[1] == cut[2]


def hold_s(motion: MotionDefinition) -> float | None:
    return 4.0 if motion.kind == "hold" else None


def test_a_good_child_is_graded_well_and_a_weak_one_less() -> None:
    good = dataclasses.replace(CLEAN, rom=1.0, latency_s=0.1, rep_jitter=0.04)
    weak = dataclasses.replace(CLEAN, rom=0.5, latency_s=0.6, rep_jitter=0.2, submovements=3)
    motions = list(motion_library().latest.values())
    played = [
        play_set(child, m, reps=8 if m.kind in ("reps", "tap") else 2, hold_s=hold_s(m), seed=4)
        for m in motions
        for child in (good, weak)
    ]
    records = [record_of(p, m) for p, m in zip(played, measured(played), strict=True)]
    for best, less in zip(records[::2], records[1::2], strict=True):
        assert best["grade"] >= 75, best["indicators"]
        assert best["stars"] == 3
        assert less["grade"] < best["grade"] - 10, less["indicators"]
        model = grading_models().standard(best["motion"]["id"])
        assert canonical(best) == canonical(best | graded(best, model))


def test_a_mirrored_picture_is_noticed_and_not_graded() -> None:
    played = play_set(
        dataclasses.replace(CLEAN, mirror_error=1.0), motion_library().get("fist"), reps=5, seed=1
    )
    record = record_of(played, measured([played])[0])
    assert record["flags"] == ["chirality_inverted"]
    assert (record["grade"], record["grade_reason"]) == (None, "chirality_inverted")


def test_a_hand_hardly_seen_is_not_graded() -> None:
    child = dataclasses.replace(CLEAN, dropout_rate=1.0, dropout_s=1.5)
    played = play_set(child, motion_library().get("fist"), reps=8, seed=1)
    result = measured([played])[0]
    record = record_of(played, result)
    assert result["verdicts"]["absent"] == played.absent.sum()
    assert (record["grade"], record["grade_reason"]) == (None, "insufficient_tracking")


def test_a_set_without_a_repetition_is_graded_nothing_done() -> None:
    played = play_set(CLEAN, motion_library().get("fist"), reps=0, seed=1)
    record = record_of(played, measured([played])[0]) | {"asked_reps": 5}
    again = graded(record, grading_models().standard("fist"))
    assert (again["grade"], again["grade_reason"], again["stars"]) == (0.0, "no_repetition", 0)


@pytest.mark.parametrize("motion", ["oppose", "count"])
def test_every_step_and_error_of_a_sequence_is_found(motion: str) -> None:
    rng = np.random.default_rng(6)
    children = [
        dataclasses.replace(
            sample_child(rng, noise_mm=1.0), rom=1.0, rep_jitter=0.03, order_error=0.3
        )
        for _ in range(8)
    ]
    definition = motion_library().get(motion)
    played = [play_set(c, definition, reps=3, seed=k) for k, c in enumerate(children)]
    for one, result in zip(played, measured(played), strict=True):
        metrics, truth = result["metrics"], one.truth
        assert metrics["steps"] == len(truth.steps), one.child
        assert metrics["sequences"] == metrics["reps_full"] == truth.sequences
        assert metrics["sequence_errors"] == truth.sequence_errors
        assert metrics["order_correct"] == pytest.approx(
            1 - truth.sequence_errors / len(truth.steps)
        )


@pytest.mark.parametrize("motion", ["pinch", "thumbup", "scissors"])
def test_holds_are_timed_and_a_tremor_is_heard_at_its_frequency(motion: str) -> None:
    rng = np.random.default_rng(6)
    strong = 20.0 if motion == "thumbup" else 8.0
    children = [
        dataclasses.replace(sample_child(rng, noise_mm=0.15), rom=1.0, tremor_deg=strong * (k % 2))
        for k in range(8)
    ]
    definition = motion_library().get(motion)
    played = [play_set(c, definition, reps=1, hold_s=5.0, seed=k) for k, c in enumerate(children)]
    for one, result in zip(played, measured(played), strict=True):
        metrics, truth = result["metrics"], one.truth
        if not one.child.tremor_deg:
            assert metrics["hold_time"] == pytest.approx(truth.hold_time, abs=0.15)
            assert metrics["hold_total"] == pytest.approx(truth.hold_total, abs=0.2)
        elif metrics["tremor_rms"] is not None:
            assert metrics["tremor_peak"] == pytest.approx(one.child.tremor_hz, abs=0.5)
            assert truth.tremor_rms is not None
            assert metrics["tremor_rms"] == pytest.approx(truth.tremor_rms, rel=0.3)
