"""`gemgem rescore`: score a stored session again and show that it comes out the same."""

import argparse
import json
import sys

from rich.console import Console
from rich.table import Table

from config.settings import load_settings
from models.db import Driver, Mongo
from models.errors import AppError
from models.play.repo import PlayRepo
from server.loop import run_loop
from sessions.catalogue import catalogue
from sessions.rescore import Comparison, rescore_session


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser("rescore", help="score a stored session again")
    parser.add_argument("session", metavar="SESSION", help="id of the session")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare every set; 0 if all are equal byte for byte."""
    settings = load_settings()
    if settings.mongo_url is None:
        print("rescore: set GEMGEM_MONGO_URL", file=sys.stderr)
        return 2
    url = settings.mongo_url.get_secret_value()
    try:
        sets = run_loop(
            _rescore(url, settings.store.mongo_database, settings.store.mongo_driver, args.session)
        )
    except AppError as error:
        print(f"rescore: {error.message}", file=sys.stderr)
        return 2
    equal = all(one.equal for one in sets)
    if args.json:
        found = [{"set_no": one.set_no, "equal": one.equal} for one in sets]
        print(json.dumps({"session_id": args.session, "equal": equal, "sets": found}))
    else:
        Console().print(_table(args.session, sets))
    return 0 if equal else 1


async def _rescore(url: str, database: str, driver: Driver, session_id: str) -> list[Comparison]:
    mongo = Mongo(url, database, driver)
    try:
        return await rescore_session(PlayRepo(mongo.database), catalogue(), session_id)
    finally:
        await mongo.close()


def _table(session_id: str, sets: list[Comparison]) -> Table:
    table = Table(title=f"session {session_id}")
    for name in ("set", "motion", "grade stored", "grade again", "reps stored", "reps again", ""):
        table.add_column(name)
    for one in sets:
        stored, again = one.stored or {}, one.again or {}
        table.add_row(
            str(one.set_no),
            str((stored or again)["motion"]["id"]),
            str(stored.get("grade")),
            str(again.get("grade")),
            str(len(stored.get("reps", []))),
            str(len(again.get("reps", []))),
            "[green]equal[/]" if one.equal else "[red]different[/]",
        )
    return table
