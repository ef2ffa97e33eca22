"""`gemgem reseal`: seal every personal field with the newest key, so that older ones can go."""

import argparse
import json
import sys
from collections import Counter

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from config.settings import Settings, load_settings
from models.sealed import FIELDS, Resealing
from server.keyring import field_cipher
from server.loop import run_loop
from server.stores import open_mongo


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser("reseal", help="seal personal fields with the newest key")
    parser.add_argument("--json", action="store_true", help="print one JSON line instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Seal anew; 0 if older keys can go, 1 if something could not be opened."""
    done, lost = run_loop(_reseal(load_settings()))
    if args.json:
        print(json.dumps({"resealed": dict(done), "lost": lost}))
    else:
        for where, count in done.items():
            print(f"{where}: {count} sealed anew")
        for where in lost:
            print(f"{where} cannot be opened by any key there is", file=sys.stderr)
        print(f"{done.total()} sealed anew, {len(lost)} cannot be opened")
    return 1 if lost else 0


async def _reseal(settings: Settings) -> tuple[Counter[str], list[str]]:
    mongo, done, lost = open_mongo(settings), Counter[str](), list[str]()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn())
    try:
        resealing = Resealing(mongo.database, field_cipher(settings))
        console = Console(stderr=True)
        with Progress(*columns, console=console, disable=not console.is_terminal) as shown:
            for field in FIELDS:
                where = f"{field.collection}.{field.path}"
                count = await mongo.database[field.collection].estimated_document_count()
                task = shown.add_task(where, total=count)
                async for one in resealing.run(field):
                    done[where] += one.resealed
                    lost += [f"{field.collection}/{owner}" for owner in one.lost]
                    shown.advance(task, one.looked_at)
    finally:
        await mongo.close()
    return done, lost
