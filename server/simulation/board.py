"""The live table of a simulation: one child a row, totals above."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from server.simulation.latency import Latencies

_BARS = "▁▂▃▄▅▆▇█"
SIGNAL_POINTS = 28
"""Values a sparkline shows: about six seconds of scores at five a second."""
_OTHER_COLUMNS = 70
"""Columns of the terminal that the table needs beside the sparkline."""
ROWS = 24
"""Children shown; of a larger crowd the rest is only counted."""


@dataclass(slots=True)
class Row:
    """What the table knows of one child. The child's own task writes it."""

    alias: str
    side: str = ""
    motion: str = ""
    state: str = "waiting"
    frames: int = 0
    reps_true: int = 0
    reps_scored: int = 0
    grade: float | None = None
    stars: int | None = None
    signal: deque[float] = field(default_factory=lambda: deque(maxlen=SIGNAL_POINTS))
    ack: Latencies = field(default_factory=Latencies)
    """Ack latency of all its messages."""


@dataclass(slots=True)
class Totals:
    """What stands above the rows."""

    title: str = ""
    address: str | None = None
    """Where the page is, as shown; `link` is where a click leads."""
    link: str | None = None
    sessions: int = 0
    seconds: float = 0.0
    sent: int = 0
    buffered: int = 0
    stored: int = 0
    reps_true: int = 0
    reps_scored: int = 0
    errors: int = 0
    grade: float | None = None
    """Mean of all grades so far."""
    ack: Latencies = field(default_factory=Latencies)
    """Of events."""
    frames_ack: Latencies = field(default_factory=Latencies)
    feed: Latencies = field(default_factory=Latencies)


def sparkline(values: Iterable[float], low: float = 0.0, high: float = 1.0) -> str:
    """Return one bar a value, from `low` to `high`; what lies outside is drawn at the end."""
    span = high - low
    top = len(_BARS) - 1
    return "".join(_BARS[min(top, max(0, round((v - low) / span * top)))] for v in values)


class Rates:
    """Frames per second of each row, smoothed over about two seconds."""

    def __init__(self) -> None:
        self._before: list[int] = []
        self._rates: list[float] = []
        self._at: float | None = None

    def update(self, frames: Sequence[int], now: float) -> list[float]:
        """Take the counters as they are at `now` (seconds); return the rates, 1/s."""
        if self._at is None or len(frames) != len(self._before):
            self._before, self._rates, self._at = list(frames), [0.0] * len(frames), now
            return self._rates
        passed = now - self._at
        if passed <= 0:
            return self._rates
        share = min(1.0, passed / 2.0)
        self._rates = [
            rate + share * ((count - before) / passed - rate)
            for rate, count, before in zip(self._rates, frames, self._before, strict=True)
        ]
        self._before, self._at = list(frames), now
        return self._rates


def draw(
    totals: Totals, rows: Sequence[Row], rates: Sequence[float], width: int = 120
) -> RenderableType:
    """Return the whole table as something rich can print on `width` columns."""
    points = max(8, min(SIGNAL_POINTS, width - _OTHER_COLUMNS))
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False, header_style="bold")
    table.add_column("child", no_wrap=True)
    table.add_column("side", no_wrap=True)
    table.add_column("motion", no_wrap=True)
    table.add_column("signal", no_wrap=True, min_width=points)
    for name in ("fps", "reps", "grade", "ack p50"):
        table.add_column(name, justify="right", no_wrap=True)
    for row, rate in zip(rows[:ROWS], rates, strict=False):
        table.add_row(
            Text(row.alias, style="bold cyan"),
            row.side,
            row.motion if row.state == "playing" else Text(row.state, style="dim italic"),
            Text(sparkline(list(row.signal)[-points:]), style="green"),
            f"{rate:.0f}",
            _reps(row),
            _grade(row),
            _ms(row.ack.percentile_ms(0.5)),
        )
    parts: list[RenderableType] = [_head(totals, sum(rates)), table]
    if len(rows) > ROWS:
        parts.append(Text(f"… and {len(rows) - ROWS} more children", style="dim"))
    return Group(*parts)


def plain_line(totals: Totals, frames_s: float) -> str:
    """Return the totals as one line for a log."""
    return (
        f"{totals.seconds:6.1f} s  {totals.sessions} sessions  {frames_s:.0f} frames/s  "
        f"sent {totals.sent}  stored {totals.stored}  "
        f"ack p50 {_ms(totals.ack.percentile_ms(0.5))} p99 {_ms(totals.ack.percentile_ms(0.99))}  "
        f"reps {totals.reps_scored}/{totals.reps_true}  errors {totals.errors}"
    )


def _head(totals: Totals, frames_s: float) -> Panel:
    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in range(4):
        grid.add_column(no_wrap=True)
    grade = "–" if totals.grade is None else f"{totals.grade:.1f}"
    grid.add_row(
        _pair("sessions", str(totals.sessions)),
        _pair("frames/s", f"{frames_s:.0f}"),
        _pair("sent", str(totals.sent)),
        _pair("stored", str(totals.stored)),
    )
    grid.add_row(
        _pair("reps", f"{totals.reps_scored}/{totals.reps_true}"),
        _pair("grade", grade),
        _pair("errors", str(totals.errors), "bold red" if totals.errors else "bold green"),
    )
    grid.add_row(
        _pair("event ack", _both(totals.ack)),
        _pair("frame ack", _both(totals.frames_ack)),
        _pair("feed", _both(totals.feed)),
        Text("p50/p99 ms", style="dim italic"),
    )
    parts: list[RenderableType] = [grid]
    if totals.address is not None:
        address = Text("watch live  ", style="dim")
        link = totals.link or totals.address
        address.append(totals.address, style=f"bold underline link {link}")
        parts.append(address)
    minutes, seconds = divmod(int(totals.seconds), 60)
    return Panel(
        Group(*parts),
        title=f"[bold]{totals.title}[/]",
        subtitle=f"{minutes}:{seconds:02d}",
        border_style="cyan",
        box=box.ROUNDED,
    )


def _pair(name: str, value: str, style: str = "bold") -> Text:
    return Text.assemble((f"{name} ", "dim"), (value, style))


def _both(latencies: Latencies) -> str:
    middle, high = latencies.percentile_ms(0.5), latencies.percentile_ms(0.99)
    return "–" if middle is None or high is None else f"{middle:.0f}/{high:.0f}"


def _reps(row: Row) -> Text:
    text = f"{row.reps_scored}/{row.reps_true}"
    # While a rep is being made the truth may be one ahead, or one behind a late answer.
    return Text(text, style="" if abs(row.reps_scored - row.reps_true) <= 1 else "yellow")


def _grade(row: Row) -> Text:
    if row.grade is None:
        return Text("–", style="dim")
    return Text.assemble((f"{row.grade:.1f}", "bold"), (f" {'★' * (row.stars or 0):<3}", "yellow"))


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} ms"
