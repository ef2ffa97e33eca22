"""The page about scoring: its pictures are there and to scale, and it leaves no measure out."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

from models.catalog.library import motion_library
from sessions.synthetic import ChildParameters, play_set
from tests.sessions.played import measured

DOCS = Path(__file__).parents[1] / "docs"
PICTURES = DOCS / "pictures"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Load the drawing code as scripts/pictures runs it."""
    monkeypatch.syspath_prepend(PICTURES)
    spec = importlib.util.spec_from_file_location("drawing", PICTURES / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("svg", None)


def test_every_picture_that_is_shown_is_there_and_no_other() -> None:
    shown = set(re.findall(r"\]\(pictures/([\w-]+\.svg)\)", (DOCS / "scoring.md").read_text()))
    assert shown == {path.name for path in PICTURES.glob("*.svg")}
    for name in shown:
        root = ET.fromstring((PICTURES / name).read_text())  # noqa: S314 - our own file
        assert root.tag == f"{SVG}svg"
        assert len(root.findall(f"{SVG}polyline")) >= 5


def test_numbers_land_where_the_axes_say(drawing: ModuleType) -> None:
    canvas = drawing.Canvas(200, 100)
    plot = drawing.Plot(canvas, 20, 10, 100, 80, (0, 10), (-1, 1))
    assert (plot.px(0), plot.px(10), plot.px(5)) == (20, 120, 70)
    assert (plot.py(-1), plot.py(1), plot.py(0)) == (90, 10, 50)
    canvas.text(1, 2, "a < b")
    assert "a &lt; b" in canvas.parts[-1]


@pytest.mark.parametrize("motion", ["fist", "pinch", "oppose"])
def test_every_measure_is_described(motion: str) -> None:
    told = set(re.findall(r"`([a-z_]\w*)`", (DOCS / "scoring.md").read_text()))
    played = play_set(ChildParameters(rom=1.0), motion_library().get(motion), reps=2, seed=1)
    (result,) = measured([played])
    names = {"rep_no", "class", "t_us", "q"}
    for part in (result["metrics"], result["quality"], result["verdicts"], *result["reps"]):
        assert part.keys() - names <= told


def test_the_table_of_the_bias_is_what_is_measured(drawing: ModuleType) -> None:
    text = (DOCS / "scoring.md").read_text()
    rows = re.findall(
        r"^\| (\d+)[^|]*\| ([+-][\d.]+) \| ([+-][\d.]+) \| ([+-][\d.]+) \| ([+-][\d.]+) \|$",
        text,
        re.M,
    )
    assert [int(row[0]) for row in rows] == [7, 67, 127, 187, 248]
    shares = drawing.np.linspace(0, 1, 5)
    for noise, columns in ((0.5, (1, 2)), (1.0, (3, 4))):
        truth, signed, unsigned = drawing.bias_table(noise, shares)
        for k, row in enumerate(rows):
            told = [float(row[column]) for column in columns]
            assert told == pytest.approx([unsigned[k] - truth[k], signed[k] - truth[k]], abs=0.6)
