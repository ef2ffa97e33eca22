"""The simulated child: the same from the same seed, and true to its own parameters."""

import dataclasses
import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.catalog.library import motion_library, parse_motion
from sessions.frames import NO_HAND, decode
from sessions.kinematics import landmarks
from sessions.motions import signal_of
from sessions.scoring.features import features_of
from sessions.scoring.plan import Side
from sessions.synthetic import ChildParameters, play_set, sample_child, stream
from sessions.synthetic.camera import HEIGHT, WIDTH

MOTIONS = tuple(motion_library().latest)
TWO_POSTURES = ("fist", "spread", "tap", "turn", "wave", "hook", "table", "pinch")
STILL = ChildParameters(landmark_noise_mm=0.0, rep_jitter=0.0, latency_sd_s=0.0, synergy=0.0)


def fist(child: ChildParameters = STILL, **kwargs: Any) -> Any:
    options = {"seed": 7} | ({} if "seconds" in kwargs else {"reps": 5}) | kwargs
    return play_set(child, motion_library().get("fist"), **options)


def signal(played: Any) -> Any:
    true_points = landmarks(played.angles, length=played.child.hand_length_m)
    return signal_of(played.motion, features_of(true_points, side="right"))


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_seed_gives_the_same_bytes_and_another_gives_others(motion: str) -> None:
    child = ChildParameters(dropout_rate=0.5, jump_rate=0.02, tremor_deg=2.0, submovements=2)
    definition = motion_library().get(motion)
    one, again, other = (
        play_set(child, definition, reps=4, seed=seed).messages(3) for seed in (1, 1, 2)
    )
    assert one == again
    assert one != other


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(TWO_POSTURES),
    st.integers(0, 2**32),
    st.integers(0, 12),
    st.floats(0.3, 1.0),
    st.floats(0.5, 1.5),
    st.floats(0.0, 0.3),
    st.floats(0.0, 10.0),
    st.integers(1, 4),
    st.floats(0.0, 0.5),
)
def test_the_truth_is_what_the_hand_did(
    motion: str,
    seed: int,
    reps: int,
    rom: float,
    tempo: float,
    jitter: float,
    fatigue: float,
    pushes: int,
    synergy: float,
) -> None:
    child = ChildParameters(
        rom=rom, tempo=tempo, rep_jitter=jitter, fatigue=fatigue, submovements=pushes,
        synergy=synergy,
    )  # fmt: skip
    played = play_set(child, motion_library().get(motion), reps=reps, seed=seed)
    assert len(played.reps) == reps
    assert (np.diff(played.t_us) > 0).all()
    marks = [t for rep in played.reps for t in (rep.start_us, rep.peak_us, rep.end_us)]
    assert marks == sorted(marks)
    assert not marks or 0.5e6 < played.end_us - marks[-1] < 0.7e6
    anchors = played.motion.anchors.kinematic
    span = anchors.target - anchors.rest
    x = signal(played)
    # Between two frames a fast movement goes on, and tapping bends back at its very contact.
    slack = 0.05 * span + (0.02 if motion == "pinch" else 2.0)
    for rep in played.reps:
        assert 0.2 * span < rep.amplitude < 1.15 * span
        inside = x[(played.t_us >= rep.start_us) & (played.t_us <= rep.end_us)]
        assert inside.max() == pytest.approx(rep.x_peak, abs=slack)
        assert rep.x_peak > max(rep.x_start, rep.x_end)
    for before, after in itertools.pairwise(played.reps):
        valley = x[(played.t_us >= before.peak_us) & (played.t_us <= after.peak_us)]
        assert valley.min() == pytest.approx(
            min(before.x_end, after.x_start), abs=slack + 0.02 * span
        )


def test_full_is_told_from_partial_by_the_default_target() -> None:
    assert [rep.full for rep in fist().reps] == [True] * 5
    small = fist(dataclasses.replace(STILL, rom=0.6)).reps
    assert [rep.full for rep in small] == [False] * 5
    # 7 at rest and 247.5 in the kinematic hand's fist; the far end is reached at 0.6 of the way.
    assert small[0].x_peak == pytest.approx(7 + 0.6 * 240.5, abs=1.0)


def test_tiredness_and_jitter_show_in_the_amplitudes() -> None:
    tired = [r.amplitude for r in fist(dataclasses.replace(STILL, fatigue=5.0), reps=8).reps]
    slope = np.polyfit(np.arange(8), tired, 1)[0] / tired[0] * 100
    assert slope == pytest.approx(-5.0, abs=0.6)
    steady, unsteady = (
        np.std(
            [
                r.amplitude
                for r in fist(dataclasses.replace(STILL, rom=0.7, rep_jitter=j), reps=20).reps
            ]
        )
        for j in (0.0, 0.1)
    )
    assert unsteady > 3 * steady


def test_the_child_follows_the_guide_a_little_late() -> None:
    played = fist(reps=6, t0_us=5_000_000, guide_t0_us=6_000_000)
    starts = [(rep.start_us - 6_000_000) / 3_000_000 for rep in played.reps]
    assert starts == pytest.approx([k + 0.25 / 3 for k in range(6)])
    slower = fist(guide_period_us=6_000_000)
    assert slower.reps[1].start_us - slower.reps[0].start_us == 6_000_000


def test_tapping_goes_at_its_own_pace() -> None:
    child = dataclasses.replace(STILL, tempo=1.25)
    played = play_set(child, motion_library().get("tap"), reps=10, seed=1)
    gaps = np.diff([rep.peak_us for rep in played.reps]) / 1e6
    assert gaps == pytest.approx(np.full(9, 0.6 / 1.25), abs=1e-5)


def test_seconds_give_whole_repetitions_only() -> None:
    played = fist(seconds=10.0)
    assert len(played.reps) == 3
    assert played.end_us <= 10_100_000
    nothing = fist(seconds=1.0)
    assert nothing.reps == ()
    assert len(nothing.t_us) > 20
    with pytest.raises(ValueError, match="either reps or seconds"):
        fist(seconds=3.0, reps=2)


def test_noise_has_its_size_its_depth_and_its_memory() -> None:
    child = dataclasses.replace(STILL, landmark_noise_mm=1.0)
    played = fist(child, reps=30)
    noise = (played.landmarks - landmarks(played.angles, length=child.hand_length_m)) * 1000
    assert noise.std(axis=(0, 1)) == pytest.approx([1.0, 1.0, 3.0], rel=0.03)
    memory = (noise[1:] * noise[:-1]).mean() / (noise * noise).mean()
    assert memory == pytest.approx(0.6, abs=0.02)


def test_tremor_shakes_at_its_frequency() -> None:
    child = dataclasses.replace(STILL, tremor_hz=6.0, tremor_deg=4.0)
    shaken, calm = fist(child, reps=8), fist(reps=8)
    bend = shaken.angles[:, 0] - calm.angles[:, 0]
    time = (shaken.t_us - shaken.t_us[0]) / 1e6
    even = np.interp(np.arange(0, time[-1], 1 / 60), time, bend)
    spectrum = np.abs(np.fft.rfft(even * np.hanning(len(even))))
    assert np.fft.rfftfreq(len(even), 1 / 60)[spectrum.argmax()] == pytest.approx(6.0, abs=0.3)
    assert np.abs(bend).max() == pytest.approx(4.0, abs=0.2)


def test_losses_come_at_their_rates() -> None:
    child = dataclasses.replace(
        STILL, dropout_rate=0.5, dropout_s=0.3, jump_rate=0.05, mirror_error=0.1
    )
    played = fist(child, reps=60)
    assert played.absent.mean() == pytest.approx(0.14, abs=0.05)
    size = np.linalg.norm(played.landmarks[:, 9] - played.landmarks[:, 0], axis=-1)
    assert (np.abs(size / np.median(size) - 1) > 0.4).mean() == pytest.approx(0.05, abs=0.015)
    turned = np.sign(played.landmarks[:, 5, 0] - played.landmarks[:, 17, 0])
    assert (turned < 0).mean() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("side", ["left", "right"])
def test_messages_carry_the_frames(side: Side) -> None:
    played = fist(ChildParameters(side=side, dropout_rate=0.3), reps=3, t0_us=10**12)
    messages = played.messages(4, seq0=100)
    decoded = [decode(message.payload, "world") for message in messages]
    assert [len(m.records) for m in decoded[:-1]] == [4] * (len(decoded) - 1)
    t_us = np.concatenate([m.t_us() for m in decoded])
    np.testing.assert_array_equal(t_us, played.t_us)
    np.testing.assert_array_equal(
        np.concatenate([m.counters() for m in decoded]), 100 + np.arange(len(t_us))
    )
    assert [message.t_us for message in messages] == [int(m.t_us()[-1]) for m in decoded]
    records = np.concatenate([m.records for m in decoded])
    assert set(records["side"]) == {0 if side == "left" else 1}
    np.testing.assert_array_equal(records["flags"] == NO_HAND, played.absent)
    seen = ~played.absent
    np.testing.assert_allclose(records["lm"][seen] * 1e-5, played.landmarks[seen], atol=6e-6)
    assert (records["score"][seen] >= 225).all()


def test_a_set_made_beforehand_can_be_played_later() -> None:
    played = fist()
    later = [decode(m.payload) for m in played.messages(2, shift_us=77_000_000)]
    np.testing.assert_array_equal(
        np.concatenate([m.t_us() for m in later]), played.t_us + 77_000_000
    )


def test_the_hand_stays_in_the_picture_and_keeps_its_shape() -> None:
    child = dataclasses.replace(STILL, age=13.5)
    for motion in MOTIONS:
        played = play_set(child, motion_library().get(motion), reps=5, seed=3)
        image = played.image_landmarks()
        assert image[..., :2].min() > 0.02
        assert image[..., :2].max() < 0.98
        assert np.ptp(image[:, 0, :2], axis=0).max() > 0.005  # alive, not nailed to its place
        square = image * [WIDTH / HEIGHT, 1.0, WIDTH / HEIGHT]
        np.testing.assert_allclose(
            features_of(square, side="right"),
            features_of(played.landmarks, side="right"),
            atol=1e-6,
        )
        assert decode(played.messages(2, "image")[0].payload, "image").space == "image"


def test_a_stream_goes_on_without_overlap_or_repetition() -> None:
    sets = list(itertools.islice(stream(STILL, motion_library().get("wave"), reps=3, seed=5), 4))
    for before, after in itertools.pairwise(sets):
        assert after.t_us[0] - before.end_us == 2_000_000
        assert not np.array_equal(before.landmarks[:50], after.landmarks[:50])
    assert {len(played.reps) for played in sets} == {3}


def test_sampled_children_are_plausible_and_different() -> None:
    rng = np.random.default_rng(3)
    children = [sample_child(rng) for _ in range(200)]
    assert len(set(children)) == 200
    assert {child.side for child in children} == {"left", "right"}
    assert all(c.dropout_rate == c.jump_rate == c.mirror_error == 0 for c in children)
    assert sample_child(np.random.default_rng(3)) == children[0]
    assert sample_child(rng, noise_mm=1.0, fps=15.0).landmark_noise_mm == 1.0


@pytest.mark.parametrize(
    ("name", "value"),
    [("rom", 0.2), ("tempo", 2.0), ("submovements", 2.5), ("fps", float("nan")), ("age", 1.0)],
)
def test_a_parameter_outside_its_range_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(STILL, **{name: value})


def test_a_motion_of_more_postures_is_refused_by_name() -> None:
    definition = motion_library().get("fist").model_dump(mode="json")
    definition["guide"]["legs"] = definition["guide"]["legs"][::2]
    two_legs = parse_motion("two", json.dumps(definition).encode())
    with pytest.raises(ValueError, match="fist: only a motion between two postures"):
        play_set(STILL, two_legs, reps=1, seed=1)
