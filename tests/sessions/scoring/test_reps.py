"""Repetition stage on movements whose measures can be worked out by hand."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sessions.kinematics import minimum_jerk
from sessions.scoring.detector import Cycle, Reversal
from sessions.scoring.measure import Closed, Past, levels, measure
from sessions.scoring.reps import judged
from sessions.scoring.shape import Trace, pattern, resampled
from sessions.scoring.smoothness import RATE
from tests.sessions.scoring.made import plan

STARRED = ("peak_speed", "mean_speed", "sparc", "ldlj")


def moved(x: NDArray[np.float64], t: NDArray[np.float64] | None = None) -> tuple[Past, Cycle]:
    """A signal whose first and last quarter second are margin, as the frames of a repetition."""
    t = np.arange(len(x)) / RATE if t is None else t
    us = np.rint(t * 1e6).astype(np.int64)
    inner = np.flatnonzero((t >= 0.25) & (t <= t[-1] - 0.25))
    first, last = int(inner[0]), int(inner[-1])
    peak = first + int(x[first : last + 1].argmax())
    rows = [Reversal(int(us[i]), float(x[i]), float(x[i]) / 100.0, i) for i in (first, peak, last)]
    fingers = np.stack([x, 2.0 * x, 0.0 * x, x - 5.0, x], axis=1)
    return Past(0, us, x, fingers), Cycle(0, *rows)


def trapeze() -> NDArray[np.float64]:
    """Rest 1 s, up in 1 s, stay 1 s, down in 2 s, rest 1 s, from 0 to 100."""
    t = np.arange(int(6 * RATE) + 1) / RATE
    return np.interp(t, [0.0, 1.0, 2.0, 3.0, 5.0, 6.0], [0.0, 0.0, 100.0, 100.0, 0.0, 0.0])


def whole(past: Past, cycle: Cycle, sign: float) -> dict[str, Any]:
    """Everything that is measured of a repetition without a guide."""
    (out,) = measure([Closed(past, cycle, sign, None, np.ones(1))])
    return out.values


def measured(x: NDArray[np.float64], **changes: Any) -> dict[str, Any]:
    past, cycle = moved(x, **changes)
    return whole(past, cycle, 1.0)


def test_times_of_a_trapeze() -> None:
    past, cycle = moved(trapeze())
    out = whole(past, cycle, 1.0)
    start = cycle.start.us / 1e6
    assert out["t_on"] + start == pytest.approx(1.1, abs=1e-5)
    assert out["t_off"] + start == pytest.approx(4.8, abs=1e-5)
    assert out["duration"] == pytest.approx(3.7, abs=1e-5)
    assert out["dwell"] == pytest.approx(0.1 + 1.0 + 0.2, abs=1e-5)
    assert out["peak_speed"] == pytest.approx(100.0, abs=1e-2)
    assert out["finger_rom"] == {"index": 100.0, "middle": 200.0, "ring": 0.0, "little": 100.0}


def test_a_movement_downwards_is_measured_alike() -> None:
    past, cycle = moved(trapeze())
    up = whole(past, cycle, 1.0)
    turned = [replace_x(one) for one in cycle[1:]]
    down = whole(past._replace(x=-past.x), Cycle(0, *turned), -1.0)
    assert down == up


def replace_x(one: Reversal) -> Reversal:
    return one._replace(x=-one.x)


def test_one_smooth_repetition() -> None:
    half = 90.0 * np.asarray(minimum_jerk(np.linspace(0.0, 1.0, 46)))
    rest = np.zeros(20)
    out = measured(np.concatenate((rest, half, half[::-1][1:], rest)))
    assert out["peak_speed"] == pytest.approx(1.875 * 90.0 / 1.5, rel=0.03)
    assert -1.7 < out["sparc"] < -1.4
    assert -6.5 < out["ldlj"] < -3.0
    assert 0.0 < out["mean_speed"] < out["peak_speed"]


def test_a_hole_in_the_frames_makes_speeds_unknown() -> None:
    x = trapeze()
    t = np.arange(len(x)) / RATE
    near = np.abs(t - 2.5) > 0.09
    assert measured(x[near], t=t[near])["sparc"] is not None
    far = np.abs(t - 2.5) > 0.12
    out = measured(x[far], t=t[far])
    assert [out[name] for name in STARRED] == [None] * 4
    assert out["duration"] == pytest.approx(3.7, abs=1e-5)


def test_a_start_no_longer_held_gives_no_times() -> None:
    past, cycle = moved(trapeze())
    late = Past(50, past.us[50:], past.x[50:], past.channels[50:])
    out = whole(late, cycle, 1.0)
    assert out["t_on"] is None
    assert out["duration"] is None
    assert out["finger_rom"] is not None
    gone = Past(120, past.us[120:], past.x[120:], past.channels[120:])
    out = whole(gone, cycle, 1.0)
    assert set(out.values()) == {None}


def test_the_shape_compares_the_movement_alone() -> None:
    past, cycle = moved(trapeze())
    trace = Trace(past.us / 1e6, past.x[:, None], 1.1, 4.8)
    guide = pattern(resampled([trace]).T)
    (out,) = measure([Closed(past, cycle, 1.0, guide, np.ones(1))])
    assert out.values["shape"] == pytest.approx(100.0, abs=1e-3)


def test_a_level_is_the_mean_about_an_extreme() -> None:
    us, x = [n * 50_000 for n in range(7)], [0.0, 1.0, 5.0, 3.0, 1.0, 0.0, 0.0]
    top = Reversal(100_000, 5.0, 1.0, 2)
    before, after = Reversal(-300_000, 4.5, 1.0, 0), Reversal(3_000_000, 2.5, 0.0, 90)
    # A tenth of a second either way; of what is not held the extreme itself.
    assert levels(us, x, Cycle(0, before, top, after)) == (4.5, 2.0, 2.5)
    quick = after._replace(us=before.us + 1_999_980)
    assert levels(us, x, Cycle(0, before, top, quick))[1] == 3.0
    # A twentieth of a quick repetition.
    assert levels(us, x, Cycle(0, before, top, after._replace(us=600_000)))[1] == 5.0


@pytest.mark.parametrize("together", [1, 2, 7])
def test_repetitions_measured_together_are_measured_as_each_alone(together: int) -> None:
    half = 90.0 * np.asarray(minimum_jerk(np.linspace(0.0, 1.0, 46)))
    rest = np.zeros(20)
    one = np.concatenate((rest, half, half[::-1][1:], rest))
    ways = [trapeze(), one, 0.5 * one[::2], np.repeat(one, 3)]
    closed = []
    for x in ways * together:
        past, cycle = moved(x)
        trace = Trace(past.us / 1e6, past.x[:, None], 1.1, 1.5)
        closed.append(Closed(past, cycle, 1.0, pattern(resampled([trace]).T), np.ones(1)))
    late = closed[0].past
    late = Past(50, late.us[50:], late.x[50:], late.channels[50:])
    closed.insert(1, closed[0]._replace(past=late))
    found = measure(closed)
    assert found == [measure([each])[0] for each in closed]
    assert found[1].values["t_on"] is None


@pytest.mark.parametrize(
    ("seconds", "frames", "z", "verdict"),
    [
        (2.0, 60, 0.9, ("full", None)),
        (2.0, 60, 0.8999, ("partial", None)),
        (2.0, 48, 0.95, ("full", None)),
        (2.0, 47, 0.95, ("rejected", "missing_frames")),
        (0.19, 6, 0.95, ("rejected", "too_short")),
        (0.2, 6, 0.95, ("full", None)),
        (60.0, 1800, 0.95, ("full", None)),
    ],
)
def test_the_class_of_a_repetition(
    seconds: float, frames: int, z: float, verdict: tuple[str, str | None]
) -> None:
    end = int(seconds * 1e6)
    cycle = Cycle(
        0,
        Reversal(0, 0.0, 0.0, 10),
        Reversal(end // 2, 1.0, z, 10 + frames // 2),
        Reversal(end, 0.0, 0.0, 10 + frames),
    )
    assert judged(plan(), cycle, {"duration": min(seconds, 5.0)}) == verdict
    for duration in (None, 10.001):
        cls, reason = judged(plan(), cycle, {"duration": duration})
        assert cls == "rejected"
        assert reason == (verdict[1] if verdict[1] == "too_short" else "too_long")
