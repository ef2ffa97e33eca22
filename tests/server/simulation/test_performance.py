"""Sets made beforehand: the same for the same seed, cut to the time that is left, ready to send."""

import itertools

import pytest

from server.simulation.latency import Latencies
from server.simulation.performance import LEAST_REPS, REPS_A_SET, Manner, cast, playable, rehearse
from server.simulation.reptimes import Take, rep_latencies
from server.simulation.watcher import pictures
from sessions.catalogue import catalogue

TAP = Manner(motions=("tap",), noise_mm=0.5)
T0_US = 5_000_000_000


def test_the_same_seed_plays_the_same_and_another_does_not() -> None:
    def first(seed: int) -> list[bytes]:
        made = rehearse(cast(TAP, seed), TAP, seed, 0, None)
        assert made is not None
        return [shot.payload for shot in made.shots(T0_US, 0)]

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_the_first_five_motions_can_be_played() -> None:
    assert {"fist", "spread", "tap", "turn", "wave"} <= set(playable())


def test_motions_take_turns() -> None:
    manner = Manner(motions=("tap", "fist", "wave"))
    made = [rehearse(cast(manner, 1), manner, 1, n, None) for n in range(4)]
    assert [one.motion for one in made if one is not None] == ["fist", "wave", "tap", "fist"]


def test_what_the_run_fixes_is_fixed() -> None:
    manner = Manner(rom=0.5, noise_mm=2.0, tremor_deg=4.0, dropout=1.5, fps=24)
    child = cast(manner, 3)
    assert (child.rom, child.landmark_noise_mm, child.tremor_deg) == (0.5, 2.0, 4.0)
    assert (child.dropout_rate, child.fps) == (1.5, 24)


def test_messages_count_pictures_and_rise_in_time() -> None:
    made = rehearse(cast(TAP, 1), TAP, 1, 0, None)
    assert made is not None
    shots = list(made.shots(T0_US, seq0=70))
    names = [name for shot in shots for name, _ in pictures(shot.payload)]
    assert [counter for _, counter, _ in names] == list(range(70, 70 + len(names)))
    assert names[0][0] == T0_US
    assert all(a[0] < b[0] for a, b in itertools.pairwise(names))
    assert shots[-1].s == pytest.approx((names[-1][0] - T0_US) / 1e6)
    assert {shot.frames for shot in shots[:-1]} == {2}
    assert len(made.rep_ends_s) == made.asked_reps == REPS_A_SET
    assert made.rep_ends_s[-1] < shots[-1].s


def test_a_set_fits_into_the_time_left() -> None:
    child = cast(TAP, 1)
    whole = rehearse(child, TAP, 1, 1, None)
    assert whole is not None
    part = rehearse(child, TAP, 1, 1, whole.rep_ends_s[4] + 0.01)
    assert part is not None
    assert part.asked_reps == 5
    assert rehearse(child, TAP, 1, 1, 0.2) is None
    first = rehearse(child, TAP, 1, 0, 0.2)
    assert first is not None
    assert first.asked_reps == LEAST_REPS


def test_a_set_is_cut_between_repetitions() -> None:
    made = rehearse(cast(TAP, 1), TAP, 1, 0, None)
    assert made is not None
    rep = made.simulated.reps[2]
    inside = (rep.start_us + rep.end_us) / 2e6
    assert made.cut_after(inside) > rep.end_us / 1e6
    assert made.cut_after(0.0) == 0.0


def test_the_completing_message_of_each_repetition_is_found() -> None:
    made = rehearse(cast(TAP, 1), TAP, 1, 0, None)
    entry = catalogue().motion("tap")
    assert made is not None
    assert entry is not None
    anchors = entry.definition.default_anchors("world")
    started = {
        "guide_period_us": entry.compiled.period_us,
        "anchors": {"rest": anchors.rest, "target": anchors.target},
    }
    take = Take(made.plan(T0_US, started))
    for shot in made.shots(T0_US, 0):
        take.note(shot.payload, shot.s)
    # Told two seconds after each repetition really ended; it completes when the next one rises.
    take.told_at = {n: end + 2.0 for n, end in enumerate(made.rep_ends_s, start=1)}
    found = rep_latencies([take])
    assert found.count >= REPS_A_SET - 1
    assert 1.0 < found.largest_s < 2.2
    assert rep_latencies([]).count == Latencies().count == 0
