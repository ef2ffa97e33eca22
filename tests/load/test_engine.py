"""The engine's benchmark plays what it says, and tells all of it."""

import json

import pytest

from server.loop import run_loop
from tests.load.engine import STAGES, STEPS, measured, show


def test_the_benchmark_plays_scores_appends_and_tells(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_loop(measured((5,), seconds=2.0))
    one = found["5"]
    assert one["frames"] == pytest.approx(5 * 30 * 2, abs=10)
    assert one["us_per_frame"].keys() == {*STEPS, "all"}
    assert one["stages_us"].keys() == set(STAGES)
    told = one["told"]
    assert told["feed"] == pytest.approx(30 * 2, abs=5)  # one of the five is watched
    assert told["score"] == pytest.approx(5 * 5 * 2, abs=10)
    assert told["ack"] >= 5 * 4 * 2
    assert "refused" not in told
    assert json.loads(json.dumps(found)) == found
    show(found)
    assert "CPU microseconds a frame" in capsys.readouterr().out
