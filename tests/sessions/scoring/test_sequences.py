"""Sequences: each step once, in order or not, told at once."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.catalog.library import motion_library
from sessions.frames import NO_HAND, decode
from sessions.motions import motion_plan
from sessions.scoring.features import OPP, TAM
from sessions.scoring.marks import Peak, Rep
from sessions.scoring.plan import FEATURES
from sessions.scoring.sequences import watch
from sessions.scoring.signals import FORMS
from sessions.scoring.state import State
from sessions.synthetic import ChildParameters, SimulatedSet, play_set
from tests.sessions.scoring.made import STEPS, cut, plan, score

CAREFUL = ChildParameters(
    rom=1.0, landmark_noise_mm=0.0, rep_jitter=0.0, latency_sd_s=0.0, synergy=0.0
)


def gone(motion: str, child: ChildParameters = CAREFUL, *, reps: int = 3) -> SimulatedSet:
    return play_set(child, motion_library().get(motion), reps=reps, seed=5)


def scored(one: SimulatedSet) -> tuple[list[Any], dict[str, Any]]:
    return score(
        plan(one.motion.id, side=one.side, guide_t0_us=one.guide_t0_us),
        [decode(message.payload) for message in one.messages(2)],
    )


@pytest.mark.parametrize("motion", sorted(STEPS))
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_every_step_of_a_careful_child_is_counted_once(motion: str, noise: float) -> None:
    one = gone(motion, replace(CAREFUL, landmark_noise_mm=noise))
    marks, result = scored(one)
    metrics, order = result["metrics"], motion_plan(motion).order
    assert (metrics["steps"], metrics["sequences"], metrics["sequence_errors"]) == (12, 3, 0)
    assert metrics["order_correct"] == 1.0
    assert (metrics["reps_full"], metrics["reps_partial"]) == (3, 0)
    assert 20.0 < metrics["contact_depth"] <= 100.0
    assert 0.5 < metrics["rate"] < 1.2
    told = [mark for mark in marks if isinstance(mark, Peak)]
    assert [mark.step for mark in told] == list(order) * 3
    assert all(mark.in_order for mark in told)
    assert [mark.rep_no for mark in told] == [1] * 4 + [2] * 4 + [3] * 4
    for mark, true in zip(told, one.truth.steps, strict=True):
        # The truth names the middle of the stay, the mark its beginning.
        assert -700_000 < mark.t_us - true.t_us < 100_000
    assert [mark.cls for mark in marks if isinstance(mark, Rep)] == ["full"] * 3
    for rep in result["reps"]:
        assert (rep["steps"], rep["completeness"]) == (4, 100.0)
        assert rep["duration"] == pytest.approx(rep["t_off"] - rep["t_on"])


@pytest.mark.parametrize("motion", sorted(STEPS))
def test_errors_are_those_the_child_made(motion: str) -> None:
    one = gone(motion, replace(CAREFUL, order_error=0.6), reps=6)
    metrics = scored(one)[1]["metrics"]
    truth = one.truth
    assert truth.sequence_errors > 0
    assert metrics["steps"] == len(truth.steps)
    assert metrics["sequences"] == truth.sequences
    assert metrics["sequence_errors"] == truth.sequence_errors
    assert metrics["order_correct"] == pytest.approx(1.0 - truth.sequence_errors / len(truth.steps))


@pytest.mark.parametrize("motion", sorted(STEPS))
def test_a_hand_that_reaches_nothing_has_no_step_and_no_depth(motion: str) -> None:
    metrics = scored(gone(motion, replace(CAREFUL, rom=0.4)))[1]["metrics"]
    assert (metrics["steps"], metrics["sequences"], metrics["sequence_errors"]) == (0, 0, 0)
    for key in ("order_correct", "contact_depth", "rate", "completeness_med"):
        assert metrics[key] is None


def test_a_gap_breaks_a_sequence_off_and_the_end_leaves_it_partial() -> None:
    one = gone("oppose", reps=2)
    second = one.truth.steps[1].t_us - int(one.t_us[0])
    records = one.records()
    hidden = (records["dt"] > second + 300_000) & (records["dt"] < second + 1_000_000)
    records["flags"][hidden] = NO_HAND
    last = records["dt"] < one.truth.steps[5].t_us - int(one.t_us[0]) + 200_000
    result = score(plan("oppose", guide_t0_us=one.guide_t0_us), cut(records[last], [4] * 300))[1]
    first, end = result["reps"][0], result["reps"][-1]
    assert (first["class"], first["reason"], first["completeness"]) == ("interrupted", "gap", 50.0)
    assert (end["class"], end["steps"]) == ("partial", 2)


class Hand:
    """One slot of a state, fed with made-up features."""

    def __init__(self, motion: str) -> None:
        self.state = State(1)
        self.state.assign(0, plan(motion), 0)
        self.t_us = 0

    def see(self, values: NDArray[np.float32] | list[float], frames: int = 1) -> list[int]:
        """Steps made while four distances, or four bends, are shown."""
        features = np.zeros((FEATURES, 1), np.float32)
        rows = OPP if self.state.form[0] == FORMS.index("opposition") else TAM
        features[rows, 0] = values
        made = []
        for _ in range(frames):
            self.t_us += 33_333
            found, _ = watch(self.state, np.array([0]), features, np.array([self.t_us]))
            made += [int(self.state.touch[0]) for _ in found.made]
        return made


def test_a_touch_ends_at_the_release_or_at_a_finger_that_is_clearly_nearer() -> None:
    hand = Hand("oppose")
    contact, release = motion_plan("oppose").contact, motion_plan("oppose").release
    assert hand.see([1.0, 1.1, 1.2, 1.3]) == []
    assert hand.see([contact - 0.01, 0.5, 0.8, 1.0]) == [0]
    # Neither beyond the contact nor beside a tip that is hardly nearer does it end.
    assert hand.see([release - 0.01, 0.5, 0.8, 1.0]) == []
    assert hand.see([0.15, 0.14, 0.8, 1.0]) == []
    assert hand.see([contact - 0.01, 0.5, 0.8, 1.0]) == []
    assert hand.see([0.25, 0.1, 0.8, 1.0]) == [1]
    assert hand.see([0.8, release + 0.01, 0.8, 1.0]) == []
    assert int(hand.state.touch[0]) == -1
    assert hand.see([0.8, contact - 0.01, 0.8, 1.0]) == [1]


def test_fingers_that_are_passed_on_the_way_are_not_counted() -> None:
    hand = Hand("count")
    shut, out = 200.0, 10.0
    assert hand.see([shut] * 4, 6) == [0]
    assert hand.see([out, shut, shut, shut], 3) == []
    assert hand.see([out, out, shut, shut], 3) == []
    assert hand.see([out, out, out, shut], 6) == [3]
    assert hand.see([out, out, out, shut], 6) == []
