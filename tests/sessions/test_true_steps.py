"""The truth of sequences and holds: what the hand reached, in which order, for how long."""

import dataclasses

import numpy as np
import pytest

from models.catalog.library import motion_library
from sessions.kinematics import landmarks
from sessions.motions import signal_of
from sessions.scoring.features import features_of
from sessions.synthetic import ChildParameters, SimulatedSet, play_set

STILL = ChildParameters(
    rom=1.0, landmark_noise_mm=0.0, rep_jitter=0.0, latency_sd_s=0.0, synergy=0.0
)


def played(motion: str, child: ChildParameters = STILL, **options: float) -> SimulatedSet:
    return play_set(child, motion_library().get(motion), reps=3, seed=5, **options)  # type: ignore[arg-type]  # tests pass seconds only


@pytest.mark.parametrize(("motion", "order"), [("oppose", (0, 1, 2, 3)), ("count", (1, 2, 3, 4))])
def test_a_careful_child_goes_through_every_step_in_order(
    motion: str, order: tuple[int, ...]
) -> None:
    truth = played(motion).truth
    assert [step.step for step in truth.steps] == list(order) * 3
    assert (truth.sequences, truth.sequence_errors) == (3, 0)
    assert [rep.full for rep in truth.reps] == [True] * 3
    times = [step.t_us for step in truth.steps]
    assert times == sorted(times)
    for k, rep in enumerate(truth.reps):
        assert rep.start_us < times[4 * k] < rep.peak_us == times[4 * k + 3] < rep.end_us


def test_a_confused_child_makes_errors_and_completes_nothing() -> None:
    for motion in ("oppose", "count"):
        truth = played(motion, dataclasses.replace(STILL, order_error=1.0)).truth
        assert truth.sequences == 0
        assert truth.sequence_errors >= 3


def test_a_child_that_cannot_reach_makes_no_step() -> None:
    for motion in ("oppose", "count"):
        truth = played(motion, dataclasses.replace(STILL, rom=0.5)).truth
        assert truth.steps == ()
        assert len(truth.reps) == 3
        assert not any(rep.full for rep in truth.reps)


def test_the_hand_is_where_the_steps_say() -> None:
    one = played("oppose")
    true_points = landmarks(one.angles, length=one.child.hand_length_m)
    distance = features_of(true_points, side="right")[:, 31:35]
    for step in one.truth.steps:
        near = distance[np.abs(one.t_us - step.t_us).argmin()]
        assert near.argmin() == step.step
        assert near.min() < 0.2


@pytest.mark.parametrize("motion", ["pinch", "thumbup", "scissors"])
def test_holds_last_as_long_as_the_signal_stays_in_the_target(motion: str) -> None:
    one = played(motion, hold_s=2.5)
    truth = one.truth
    assert len(truth.holds) == 3
    assert truth.tremor_hz is truth.tremor_rms is None
    features = features_of(landmarks(one.angles, length=one.child.hand_length_m), side="right")
    anchors = one.motion.anchors.world
    z = (signal_of(one.motion, features) - anchors.rest) / (anchors.target - anchors.rest)
    for hold in truth.holds:
        assert 2.4 < hold.seconds < 3.6
        inside = (one.t_us >= hold.start_us) & (one.t_us < hold.end_us)
        assert (z[inside] >= 0.8 - 1e-9).all()
    assert truth.hold_time == max(hold.seconds for hold in truth.holds)
    assert truth.hold_total == pytest.approx(sum(hold.seconds for hold in truth.holds))


def test_tremor_grows_with_its_angle_and_the_hand() -> None:
    weak, strong = (
        played("scissors", dataclasses.replace(STILL, tremor_deg=deg, tremor_hz=5.0)).truth
        for deg in (1.0, 2.0)
    )
    assert weak.tremor_hz == 5.0
    assert weak.tremor_rms is not None
    assert strong.tremor_rms == pytest.approx(2 * weak.tremor_rms, rel=0.02)
    small = dataclasses.replace(STILL, tremor_deg=1.0, tremor_hz=5.0, age=4.0)
    assert played("scissors", small).truth.tremor_rms == pytest.approx(
        weak.tremor_rms * small.hand_length_m / STILL.hand_length_m, rel=0.02
    )


def test_a_set_of_seconds_ends_with_a_whole_sequence() -> None:
    child, motion = dataclasses.replace(STILL, rep_jitter=0.1), motion_library().get("count")
    one = play_set(child, motion, seconds=20.0, seed=1)
    assert 1 <= len(one.reps) <= 4
    assert one.t_us[-1] - one.t_us[0] <= 20_000_000
    nothing = play_set(child, motion, seconds=1.0, seed=1)
    assert nothing.truth.steps == nothing.reps == ()
    assert len(nothing.t_us) > 0
