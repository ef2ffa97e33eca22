"""Repetition stage on movements whose measures can be worked out by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sessions.kinematics import minimum_jerk
from sessions.scoring.book import Unshaped, add_shapes
from sessions.scoring.detector import Cycle, Reversal
from sessions.scoring.reps import Past, judged, levels, measure, reach_us
from sessions.scoring.shape import pattern, resampled
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
    return Past(us, x, fingers), Cycle(0, *rows)


def trapeze() -> NDArray[np.float64]:
    """Rest 1 s, up in 1 s, stay 1 s, down in 2 s, rest 1 s, from 0 to 100."""
    t = np.arange(int(6 * RATE) + 1) / RATE
    return np.interp(t, [0.0, 1.0, 2.0, 3.0, 5.0, 6.0], [0.0, 0.0, 100.0, 100.0, 0.0, 0.0])


def whole(past: Past, cycle: Cycle, sign: float) -> dict[str, Any]:
    """Everything that is measured of a repetition without a guide."""
    out, late = measure(past, cycle, sign, None, np.ones(1))
    add_shapes([Unshaped(out, late, 1)])
    return out


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
    down = whole(replace(past, x=-past.x), Cycle(0, *turned), -1.0)
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
    late = Past(past.us[50:], past.x[50:], past.channels[50:])
    out = whole(late, cycle, 1.0)
    assert out["t_on"] is None
    assert out["duration"] is None
    assert out["finger_rom"] is not None
    gone = Past(past.us[120:], past.x[120:], past.channels[120:])
    out = whole(gone, cycle, 1.0)
    assert set(out.values()) == {None}


def test_the_shape_compares_the_movement_alone() -> None:
    past, cycle = moved(trapeze())
    t = past.us / 1e6
    guide = resampled(t, past.x[:, None], 1.1, 4.8)
    out, late = measure(past, cycle, 1.0, pattern(guide), np.ones(1))
    assert out["shape"] is out["sparc"] is None
    add_shapes([Unshaped(out, late, 1)])
    assert out["shape"] == pytest.approx(100.0, abs=1e-3)


def test_a_level_is_the_mean_about_an_extreme() -> None:
    x = np.array([0.0, 1.0, 5.0, 3.0, 1.0, 0.0, 0.0])
    past = Past(np.arange(7) * 50_000, x, np.zeros((7, 4)))
    top = Reversal(100_000, 5.0, 1.0, 2)
    assert levels(past, [top], 99_000.0) == [3.0]
    assert levels(past, [top], 100_000.0) == [2.0]
    assert levels(past, [top], 0.0) == [5.0]
    assert levels(past, [Reversal(-300_000, 4.5, 1.0, 0)], 100_000.0) == [4.5]
    slow = Cycle(0, Reversal(0, 0.0, 0.0, 0), top, Reversal(3_000_000, 0.0, 0.0, 90))
    assert reach_us(slow) == 100_000.0
    assert reach_us(slow._replace(end=Reversal(600_000, 0.0, 0.0, 18))) == 30_000.0


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
