"""`gemgem outbox`: list what could not be delivered, and try again."""

import argparse
import asyncio
import json
import sys

from config.clock import SystemClock
from config.settings import Settings, load_settings
from models.db import DatabaseError, Mongo
from models.outbox import DeadParcels, Kind
from server.keyring import ConfigurationError


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
    try:
        return asyncio.run(_go(args, load_settings()))
    except ConfigurationError as error:
        print(f"outbox: {error}", file=sys.stderr)
    except DatabaseError as error:
        print(f"outbox: MongoDB does not answer: {type(error).__name__}", file=sys.stderr)
    return 2


async def _go(args: argparse.Namespace, settings: Settings) -> int:
    if settings.mongo_url is None:
        raise ConfigurationError("set GEMGEM_MONGO_URL to the database to look into")
    store = settings.store
    mongo = Mongo(settings.mongo_url.get_secret_value(), store.mongo_database, store.mongo_driver)
    parcels, clock = DeadParcels(mongo.database), SystemClock()
    seen = again = 0
    try:
        async for one in parcels.iter(args.kind):
            if args.id is not None and one.id != args.id:
                continue
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
