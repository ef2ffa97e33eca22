"""`gemgem seed`: people to sign in as on a server that nobody uses yet."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from config.clock import SystemClock
from config.settings import Settings, load_settings
from models.errors import AppError
from server.embedded import EmbeddedError
from server.embedded.home import DATA, found_stores
from server.loop import run_loop
from server.seeding.seeder import seeding
from server.seeding.village import settle

_WIDTH = 120
"""Columns of the table where no terminal says how wide it is."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser("seed", help="make families, therapists and an admin to try it")
    parser.add_argument(
        "--data",
        type=Path,
        default=DATA,
        help="data of `serve --embedded`, running or not, where no URL is set "
        "(default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print who can sign in, and how; a second time changes nothing."""
    settings = load_settings()
    if settings.env == "production":
        print("seed: not in production: anybody could know these people", file=sys.stderr)
        return 2
    try:
        village = run_loop(_seed(args.data, settings))
    except EmbeddedError as error:
        print(f"seed: {error}", file=sys.stderr)
        return 2
    except AppError as error:
        print(f"seed: {error.message}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(village, ensure_ascii=False))
    else:
        _show(village)
    return 0


async def _seed(data: Path, settings: Settings) -> dict[str, Any]:
    async with found_stores(settings, data) as found, seeding(found, SystemClock()) as seeder:
        return await settle(seeder)


def _show(village: dict[str, Any]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    people = Table(title="sign-ins")
    for title in ("role", "name", "e-mail", "password"):
        people.add_column(title, no_wrap=True)
    for one in village["people"]:
        password = one["password"] or "[dim]changed since[/]"
        people.add_row(one["role"], one["name"], one["email"], password)
    children = Table(title="children")
    for title in ("id", "name", "guardians", "in care of"):
        children.add_column(title, no_wrap=True)
    for one in village["children"]:
        children.add_row(one["id"], one["name"], ", ".join(one["guardians"]), one["clinic"] or "")
    console.print(people)
    console.print(children)
