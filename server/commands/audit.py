"""`gemgem audit`: compare a client's ledger with what MongoDB holds."""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from config.settings import Settings, load_settings
from models.play.repo import PlayRepo
from server.simulation.audit import Finding, Report, audit
from server.stores import open_mongo

_COUNTS = ("sent", "buffered", "stored", "found", "lost", "duplicated", "altered", "out_of_order")
_WIDTH = 120
"""Columns of the table where no terminal says how wide it is."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser("audit", help="compare a simulation's ledger with MongoDB")
    parser.add_argument("--ledger", type=Path, required=True, help="file written by simulate")
    parser.add_argument("--json", action="store_true", help="print one JSON line instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Audit; 0 if nothing is lost, duplicated, altered or out of order, 1 otherwise."""
    settings = load_settings()
    try:
        report = asyncio.run(_audit(args.ledger, settings))
    except OSError as error:
        print(f"audit: {args.ledger}: {error.strerror}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"audit: {args.ledger}: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(report.as_json()))
    else:
        console = Console()
        if not console.is_terminal:
            console.width = _WIDTH
        console.print(table_of(report))
    return 0 if report.total.clean and report.sessions else 1


async def _audit(ledger: Path, settings: Settings) -> Report:
    mongo = open_mongo(settings)
    try:
        return await audit(ledger, PlayRepo(mongo.database))
    finally:
        await mongo.close()


def table_of(report: Report) -> Table:
    """Return the findings by session, and their sum, as a table."""
    table = Table(title="ledger against MongoDB, messages", show_footer=True)
    total = report.total
    table.add_column("session", no_wrap=True, footer=f"{len(report.sessions)} sessions")
    for name in _COUNTS:
        footer = _cell(name, getattr(total, name))
        table.add_column(name.replace("_", " "), justify="right", no_wrap=True, footer=footer)
    for session_id, finding in report.sessions.items():
        table.add_row(session_id, *_cells(finding))
    return table


def _cells(finding: Finding) -> list[str]:
    return [_cell(name, getattr(finding, name)) for name in _COUNTS]


def _cell(name: str, count: int) -> str:
    good = name in ("sent", "buffered", "stored", "found") or count == 0
    return str(count) if good else f"[bold red]{count}[/]"
