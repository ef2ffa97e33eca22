"""The benchmark of acknowledgements: one short run of it, and when a figure counts as met."""

import json
from typing import Any

import pytest

from tests.load.figures import measured, met, show


@pytest.mark.timeout(120)
async def test_the_benchmark_tells_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    phases: list[str] = []
    found = await measured(
        lambda what, _: phases.append(what), children=3, normal_s=4.0, frozen_s=2.0, warm_s=0.0
    )
    assert list(dict.fromkeys(phases))[-2:] == ["playing", "MongoDB frozen"]
    assert found["normal"]["frames"]["count"] > 50
    assert found["normal"]["stored"]["p99_ms"] > 0
    assert found["frozen"]["frames"]["count"] > 20
    assert found["sent"] == found["buffered"] == found["stored"]
    assert found["errors"] == []
    assert json.loads(json.dumps(found)) == found
    show(found)
    assert "MongoDB frozen" in capsys.readouterr().out


def test_a_figure_that_is_late_or_missing_is_not_met() -> None:
    one = {"count": 9, "p50_ms": 20.0, "p99_ms": 140.0}
    found: dict[str, Any] = {
        "normal": {"events": one, "frames": one, "stored": one},
        "frozen": {"events": one, "frames": one},
        "sent": 9,
        "stored": 9,
        "errors": [],
    }
    assert met(found)
    for wrong in (
        {"stored": 8},
        {"errors": ["a watcher left"]},
        {"frozen": {"events": {**one, "p99_ms": 151.0}, "frames": one}},
        {"frozen": {"events": {**one, "p99_ms": None}, "frames": one}},
    ):
        assert not met({**found, **wrong}), wrong
