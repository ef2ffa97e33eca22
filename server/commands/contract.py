"""`gemgem contract`: the files that are made of the tables of routes, events and errors."""

import argparse
from pathlib import Path

from handlers.contract.written import written
from handlers.rest.tables import ROUTES

ROOT = Path(__file__).resolve().parents[2]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "contract", help="write docs/openapi.json, docs/asyncapi.json and docs/errors.md"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit 1 if a file is not as it should be",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the files that differ, or name them."""
    stale = {
        ROOT / name: text
        for name, text in written(ROUTES).items()
        if not (ROOT / name).exists() or (ROOT / name).read_text() != text
    }
    for path, text in stale.items():
        print(f"{'differs' if args.check else 'wrote'}: {path.relative_to(ROOT)}")
        if not args.check:
            path.write_text(text)
    return 1 if args.check and stale else 0
