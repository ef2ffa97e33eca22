"""`gemgem dead-letters`: list what could not be stored, and try again."""

import argparse
import asyncio
import json
import sys

from config.settings import Settings, load_settings
from models.play.dead import DeadLetters
from server.stores import open_mongo


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser("dead-letters", help="list or retry what could not be stored")
    parser.add_argument("what", choices=("list", "retry"), metavar="WHAT", help="list or retry")
    parser.add_argument("--session", help="of this session alone")
    parser.add_argument("--json", action="store_true", help="one JSON line a letter")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List, always 0; or retry, 0 if every letter could be stored, 1 if one could not."""
    return asyncio.run(_go(args, load_settings()))


async def _go(args: argparse.Namespace, settings: Settings) -> int:
    mongo = open_mongo(settings)
    letters = DeadLetters(mongo.database)
    seen = failed = 0
    try:
        async for letter in letters.iter(args.session):
            seen += 1
            reason: str | None = letter.reason
            if args.what == "retry":
                reason = await letters.retry(letter)
                failed += reason is not None
            said = {
                "letter": letter.name,
                "session_id": letter.session_id,
                "at": letter.at.isoformat(),
                "bytes": len(letter.blob),
                "reason": reason,
            }
            if args.json:
                print(json.dumps(said, ensure_ascii=False))
            else:
                print(f"{said['at']}  {letter.name}  {reason or 'stored'}")
    finally:
        await mongo.close()
    what = f"{seen} dead letters" if args.what == "list" else f"{seen - failed} of {seen} stored"
    print(f"dead-letters: {what}", file=sys.stderr)
    return 1 if failed else 0
