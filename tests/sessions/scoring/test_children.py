"""Simulated children: what is measured is what they did."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.catalog.library import motion_library
from sessions.frames import decode
from sessions.scoring.batch import Batch
from sessions.synthetic import ChildParameters, play_set, sample_child
from tests.sessions.scoring.made import ANCHORS, plan, score


@pytest.mark.parametrize("noise", [0.5, 1.0])
def test_fists_of_many_children_are_counted_exactly_and_measured(noise: float) -> None:
    batch = Batch(4)
    hands: list[tuple[int, Any, list[Any]]] = []
    for seed in range(16):
        child = sample_child(np.random.default_rng(seed), noise_mm=noise)
        quiet = {"dropout_rate": 0.0, "jump_rate": 0.0, "mirror_error": 0.0}
        child = replace(child, rom=max(child.rom, 0.35), **quiet)
        made = play_set(child, motion_library().get("fist"), reps=6, seed=seed)
        messages = [decode(one.payload) for one in made.messages(6)]
        hands.append((batch.open(plan(side=child.side)), made, messages))
    for turn in range(max(len(messages) for *_, messages in hands)):
        batch.step([(slot, messages[turn]) for slot, _, messages in hands if turn < len(messages)])
    ratios = []
    for slot, made, _ in hands:
        result = batch.close(slot)
        metrics = result["metrics"]
        assert metrics["reps_full"] + metrics["reps_partial"] == len(made.reps) == 6
        assert metrics["rejected"] == metrics["interrupted"] == 0
        for found, real in zip(result["reps"], made.reps, strict=True):
            assert real.start_us < found["t_us"] < real.end_us
        assert result["quality"]["q"] > 0.6
        assert result["flags"] == []
        truth = float(np.median([rep.amplitude for rep in made.reps]))
        ratios.append(metrics["amplitude_med"] / truth)
        json.dumps(result, allow_nan=False)
    assert 0.96 < float(np.median(ratios)) < 1.04


@pytest.mark.parametrize("motion", sorted(ANCHORS))
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_amplitudes_lie_within_eight_percent_at_the_median(motion: str, noise: float) -> None:
    batch = Batch(8)
    hands = []
    for seed in range(8):
        rng = np.random.default_rng([seed, 7])
        quiet = {"dropout_rate": 0.0, "jump_rate": 0.0, "mirror_error": 0.0}
        child = replace(sample_child(rng, noise_mm=noise), rom=rng.uniform(0.5, 1.0), **quiet)
        made = play_set(child, motion_library().get(motion), reps=5, seed=seed)
        hands.append((batch.open(plan(motion, side=child.side)), made))
    batch.step([(slot, decode(m.payload)) for slot, made in hands for m in made.messages(32)])
    ratios = []
    for slot, made in hands:
        result = batch.close(slot)
        assert len(result["reps"]) == 5
        truth = float(np.median([rep.amplitude for rep in made.reps]))
        ratios.append(result["metrics"]["amplitude_med"] / truth)
    assert 0.92 < float(np.median(ratios)) < 1.08


@pytest.mark.parametrize("motion", sorted(ANCHORS))
def test_quiet_sets_of_every_motion_are_counted_exactly(motion: str) -> None:
    child = ChildParameters(landmark_noise_mm=0.0)
    made = play_set(child, motion_library().get(motion), reps=6, seed=11)
    result = score(plan(motion), [decode(one.payload) for one in made.messages(3)])[1]
    metrics = result["metrics"]
    assert metrics["reps_full"] + metrics["reps_partial"] == 6
    for found, real in zip(result["reps"], made.reps, strict=True):
        assert found["amplitude"] == pytest.approx(real.amplitude, rel=0.12)
        # A held top has its highest sample anywhere: the movement spans the true middle of it.
        assert found["t_on"] < real.peak_us / 1e6 < found["t_off"]
        assert found["sparc"] is None or -2.6 < found["sparc"] < -1.3
    assert metrics["peak_speed_med"] > 0.0
    assert result["span"]["p5"] < result["span"]["p95"]
    assert result["rom"]["index_mcp"] is not None
