"""The benchmark of tokens tells every figure."""

import json

import pytest

from tests.load.tokens import measured, show


def test_the_benchmark_tells_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(tokens=50, repeats=1, passwords=2)
    assert found["again_us"] < found["first_us"]
    assert json.loads(json.dumps(found)) == found
    show(found)
    assert "first time" in capsys.readouterr().out
