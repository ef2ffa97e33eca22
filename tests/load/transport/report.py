"""What the comparison prints: one JSON object, tables, or Markdown."""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.load.transport import packages
from tests.load.transport.compare import Plan, Result, ratios
from tests.load.transport.level import HELD_MS
from tests.load.transport.motion import Motion

OURS = ("gemgem", "gemgem_relay")
MORE = {
    "kernel_us_per_frame": "system_us",
    "generator_late_ms": "late_ms",
    "feed_left_out_percent": "thinned",
}
"""What else is told of each level, by its name in the JSON and in the code."""


def machine() -> dict[str, Any]:
    """Return what it was measured on."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model,
        "cores": len(Path("/proc/cpuinfo").read_text().split("processor\t")) - 1,
        "kernel": platform.release(),
        "load": float(Path("/proc/loadavg").read_text().split()[0]),
    }


def versions() -> dict[str, str | None]:
    """Return what was measured."""
    found = {
        name: version(name)
        for name in ("python-socketio", "python-engineio", "aiohttp", "uvloop", "numpy")
    }
    found |= {"python": platform.python_version(), "node": packages.version() or "none"}
    return {**found, **packages.versions()}


def told(results: dict[str, Result], plan: Plan, parser: str, load: float) -> dict[str, Any]:
    """Return everything, ready for JSON."""
    levels = plan.levels
    return {
        "cpu_us_per_frame": {
            str(n): {name: _round(result.us(n)) for name, result in results.items()} for n in levels
        },
        "max_sessions": {name: result.best for name, result in results.items()},
        "kb_per_connection": {
            name: _round(median(result.kb)) if result.kb else None
            for name, result in results.items()
        },
        "ratios": {ours: ratios(results, ours, levels) for ours in OURS if ours in results},
        "latency_ms": {
            str(n): {name: _latency(result, n) for name, result in results.items()} for n in levels
        },
        "cores_percent": {
            str(n): {
                name: {who: round(share) for who, share in result.cores(n).items()}
                for name, result in results.items()
            }
            for n in levels
        },
        **{
            key: {
                str(n): {name: _round(result.middle(n, of)) for name, result in results.items()}
                for n in levels
            }
            for key, of in MORE.items()
        },
        "rounds": {
            str(n): {
                name: [round(level.us_per_frame, 1) for level in result.levels.get(n, [])]
                for name, result in results.items()
            }
            for n in levels
        },
        "notes": {name: result.notes for name, result in results.items() if result.notes},
        "parser": parser,
        "frames_a_message": plan.frames,
        "watch_every": plan.watch_every,
        "frame_message_bytes": len(Motion(1, 1, plan.frames).payload(0, 0)),
        "machine": {**machine(), "load": load},
        "versions": versions(),
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _latency(result: Result, sessions: int) -> dict[str, dict[str, float]]:
    return {
        kind: {"p50": round(p50, 1), "p99": round(p99, 1)}
        for kind, (p50, p99) in result.latency(sessions).items()
    }


def rows(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the heads and the rows of the table: one row a server."""
    levels = list(found["cpu_us_per_frame"])
    heads = ["server", *(f"us/frame {n}" for n in levels), "sessions", "kB/conn."]
    heads += [f"p99 ms {n}" for n in levels]
    out = []
    for name in found["max_sessions"]:
        us = [_text(found["cpu_us_per_frame"][n][name]) for n in levels]
        worst = [
            _text(max((k["p99"] for k in found["latency_ms"][n][name].values()), default=None))
            for n in levels
        ]
        most, kb = found["max_sessions"][name], found["kb_per_connection"][name]
        out.append([name, *us, _text(most), _text(kb), *worst])
    return heads, out


def ratio_rows(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the heads and the rows of the ratios: one row for each of ours and each level."""
    names = [name for name in found["max_sessions"] if not name.startswith("gemgem")]
    out = []
    for ours, by_level in found["ratios"].items():
        for n, against in by_level.items():
            out.append([f"{ours}, {n} sessions", *(_text(against.get(name)) for name in names)])
    return ["CPU a frame in times of", *names], out


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def show(found: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console()
    console.width = max(console.width, 110)
    for title, (heads, body) in (
        (f"one core for the server, {found['parser']} parser for ours", rows(found)),
        ("our cost in times of theirs", ratio_rows(found)),
    ):
        table = Table(title=title)
        for n, head in enumerate(heads):
            table.add_column(head, justify="right" if n else "left", no_wrap=not n)
        for row in body:
            table.add_row(*row)
        console.print(table)
    for line in _remarks(found):
        console.print(line)


def markdown(found: dict[str, Any]) -> str:
    """Return the tables for a page."""
    parts = []
    for heads, body in (rows(found), ratio_rows(found)):
        marks = ["---", *("---:" for _ in heads[1:])]
        lines = [heads, marks, *body]
        parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in _remarks(found))])


def _remarks(found: dict[str, Any]) -> Sequence[str]:
    where, used = found["machine"], found["versions"]
    shares = {
        name: share
        for name, share in found["cores_percent"][list(found["cores_percent"])[-1]].items()
        if share
    }
    load = f"load {where['load']:.1f} before the run"
    lines = [
        f"{where['cpu']}, {where['cores']} cores, Linux {where['kernel']}, {load}",
        f"{found['frame_message_bytes']} bytes a message of {found['frames_a_message']} frame(s)",
        f"one session in {found['watch_every']} is watched",
        f"us/frame: CPU of the server; sessions: the most without loss, p99 below {HELD_MS:.0f} ms",
        "p99 ms: the slowest of score, feed, and, where there are such, answers and acks",
        ", ".join(f"{name} {number}" for name, number in used.items() if number),
    ]
    for name, share in shares.items():
        each = ", ".join(f"{who} {percent} %" for who, percent in share.items())
        lines.append(f"{name} at the highest level, of a core: {each}")
    for name, notes in found["notes"].items():
        lines += [f"{name}: {note}" for note in notes]
    return lines
