"""The benchmark measures what it says: the plain reference computes the same."""

import json

import numpy as np
import pytest

from sessions.scoring.batch import Batch
from tests.load.plain import PlainHand
from tests.load.scoring import fist_plan, fists, measured, show
from tests.sessions.scoring.made import cut


def test_the_plain_reference_has_the_signal_of_the_batch() -> None:
    records = fists(3)
    batch, plain = Batch(1), PlainHand(fist_plan())
    slot = batch.open(fist_plan())
    apart = []
    for record, message in zip(records, cut(records, [1] * len(records)), strict=True):
        batch.step([(slot, message)])
        plain.frame(int(record["dt"]), int(record["score"]), record["lm"])
        live = batch.live(slot)
        assert live is not None
        assert live.sim is not None
        apart.append((live.z - plain.z, live.sim - plain.similarity))
    assert np.abs(apart).max(axis=0) == pytest.approx([0.0, 0.0], abs=1e-2)
    result = batch.close(slot)
    assert plain.accepted == result["verdicts"]["accepted"] == len(records)
    # The last one is closed by the end of the set.
    assert plain.reps == len(result["reps"]) - 1
    assert plain.low == pytest.approx(result["metrics"]["x_min"], abs=1e-2)


def test_the_benchmark_tells_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(sizes=(1, 10), repeats=1, seconds=3.0)
    assert found["us_per_frame"].keys() == {"1", "10"}
    assert found["us_per_frame"]["10"] < found["us_per_frame"]["1"]
    assert found["ratio_vs_plain_10"] > 1.0
    assert 0 < found["bytes_per_hand"] <= 64_000
    assert json.loads(json.dumps(found)) == found
    show(found | {"ratio_vs_plain_1000": 1.0, "tick_p99_ms_1000": 1.0})
    assert "hands a tick" in capsys.readouterr().out
