"""Simulated children: what is measured is what they did."""

import json

import numpy as np
import pytest

from models.catalog.library import motion_library
from sessions.frames import decode
from sessions.synthetic import ChildParameters, play_set
from tests.sessions.scoring.made import ANCHORS, plan, score


@pytest.mark.parametrize("rom", [0.35, 0.6, 1.0])
@pytest.mark.parametrize("noise", [0.5, 1.0])
@pytest.mark.parametrize("seed", range(2))
def test_fists_are_counted_exactly_and_measured(seed: int, noise: float, rom: float) -> None:
    child = ChildParameters(rom=rom, landmark_noise_mm=noise, side=("left", "right")[seed % 2])
    made = play_set(child, motion_library().get("fist"), reps=8, seed=seed)
    messages = [decode(one.payload) for one in made.messages(2)]
    result = score(plan(side=child.side, guide_t0_us=0), messages)[1]
    metrics = result["metrics"]
    assert metrics["reps_full"] + metrics["reps_partial"] == len(made.reps) == 8
    assert metrics["rejected"] == metrics["interrupted"] == 0
    # Peaks and valleys are extremes of a noisy signal: both push the amplitude up, by the same
    # degrees for a small movement as for a large one.
    truth = float(np.median([rep.amplitude for rep in made.reps]))
    assert -0.02 * truth < metrics["amplitude_med"] - truth < 25.0 * noise
    for found, real in zip(result["reps"], made.reps, strict=True):
        assert real.start_us < found["t_us"] < real.end_us
        assert 0.5 < found["finger_rom"]["ring"] / found["amplitude"] < 1.5
    assert result["quality"]["q"] > 0.6
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize("motion", sorted(ANCHORS))
def test_quiet_sets_of_every_motion_are_counted_exactly(motion: str) -> None:
    child = ChildParameters(landmark_noise_mm=0.0)
    made = play_set(child, motion_library().get(motion), reps=6, seed=11)
    result = score(plan(motion), [decode(one.payload) for one in made.messages(3)])[1]
    metrics = result["metrics"]
    assert metrics["reps_full"] + metrics["reps_partial"] == 6
    for found, real in zip(result["reps"], made.reps, strict=True):
        assert found["amplitude"] == pytest.approx(real.amplitude, rel=0.12)
        # A held top has its highest sample anywhere: the repetition's middle must lie in the hold.
        assert found["t_on"] < real.peak_us / 1e6 < found["t_off"]
        assert found["sparc"] is None or -2.6 < found["sparc"] < -1.3
    assert metrics["peak_speed_med"] > 0.0
    assert result["span"]["p5"] < result["span"]["p95"]
    assert result["rom"]["index_mcp"] is not None
