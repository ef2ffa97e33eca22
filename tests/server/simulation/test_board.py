"""The live table."""

import pytest
from rich.console import Console

from server.simulation.board import ROWS, Rates, Row, Totals, draw, plain_line, sparkline


def _printed(totals: Totals, rows: list[Row], rates: list[float]) -> str:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(draw(totals, rows, rates))
    return captured.get()


def test_a_sparkline_has_one_bar_a_value_and_clips() -> None:
    assert sparkline([-3.0, 0.0, 0.5, 1.0, 7.0]) == "▁▁▅██"


def test_rates_settle_on_the_true_rate() -> None:
    rates = Rates()
    for step in range(60):
        seen = rates.update([step * 15, step * 3], now=step * 0.5)
    assert seen == [pytest.approx(30, rel=0.01), pytest.approx(6, rel=0.01)]


def test_the_table_shows_children_totals_and_the_address() -> None:
    row = Row(
        "다람쥐 12", "left", "fist", "playing", reps_true=4, reps_scored=4, grade=81.5, stars=3
    )
    row.signal.extend([0.0, 1.0])
    row.ack.add(0.012)
    totals = Totals("gemgem demo", address="http://127.0.0.1:8080/console", sent=77)
    text = _printed(totals, [row], [29.6])
    shown = (
        "다람쥐 12",
        "fist",
        "▁█",
        "30",
        "4/4",
        "81.5 ★★★",
        "12 ms",
        "sent 77",
        ":8080/console",
    )
    for part in shown:
        assert part in text


def test_a_narrow_terminal_shows_the_newest_of_the_signal() -> None:
    row = Row("거북이 67", "right", "spread", "playing", reps_true=14, grade=100.0, stars=3)
    row.signal.extend([0.0] * 20 + [1.0] * 8)
    console = Console(width=80)
    with console.capture() as captured:
        console.print(draw(Totals("gemgem demo"), [row], [30.0], 80))
    line = next(line for line in captured.get().splitlines() if "거북이" in line)
    for part in ("right", "spread", "▁▁████████", "30", "0/14", "100.0 ★★★"):
        assert part in line


def test_a_large_crowd_is_cut_and_says_so() -> None:
    rows = [Row(f"child {n}") for n in range(ROWS + 7)]
    text = _printed(Totals("many"), rows, [0.0] * len(rows))
    assert f"child {ROWS - 1}" in text
    assert f"child {ROWS}" not in text
    assert "7 more" in text


def test_the_plain_line_has_the_totals() -> None:
    line = plain_line(Totals("x", sessions=3, sent=10, stored=9, reps_true=5, reps_scored=4), 90.0)
    for part in ("3 sessions", "90 frames/s", "sent 10", "stored 9", "reps 4/5", "errors 0"):
        assert part in line
