"""`gemgem outbox`: list what could not be delivered, and try again."""

import argparse
import asyncio
import json
import sys

from config.clock import SystemClock
from config.settings import Settings, load_settings
from models.outbox import DeadParcels, Kind
from server.stores import open_mongo


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser("outbox", help="list or retry mail that was given up")
    parser.add_argument("what", choices=("list", "retry"), metavar="WHAT", help="list or retry")
    parser.add_argument("--kind", choices=[kind.value for kind in Kind], help="of this kind alone")
    parser.add_argument("--id", help="this parcel alone")
    parser.add_argument("--json", action="store_true", help="one JSON line a parcel")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List or retry; 1 if --id names nothing that was given up."""
    return asyncio.run(_go(args, load_settings()))


async def _go(args: argparse.Namespace, settings: Settings) -> int:
    mongo = open_mongo(settings)
    parcels, clock = DeadParcels(mongo.database), SystemClock()
    seen = again = 0
    try:
        async for one in parcels.iter(args.kind, args.id):
            seen += 1
            retried = args.what == "retry" and await parcels.retry(one.id, clock.now())
            again += retried
            said = {
                "id": one.id,
                "kind": one.kind,
                "put_at": one.put_at.isoformat(),
                "expires_at": one.expires_at.isoformat(),
                "attempts": one.attempts,
                "error": one.error,
                "retried": retried,
            }
            if args.json:
                print(json.dumps(said, ensure_ascii=False))
            else:
                print(f"{said['put_at']}  {one.id}  {'waits' if retried else one.error}")
        waiting = await parcels.count_waiting()
    finally:
        await mongo.close()
    what = f"{seen} given up" if args.what == "list" else f"{again} of {seen} wait again"
    print(f"outbox: {what}, {waiting} to be delivered", file=sys.stderr)
    return 1 if args.id is not None and not seen else 0
