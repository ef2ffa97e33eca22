"""`gemgem audit-log`: check the access log, and take an anchor of it to be kept elsewhere."""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from config.settings import Settings, load_settings
from models.audit.records import Head
from models.audit.verify import Verdict, verify
from server.keyring import field_cipher
from server.parts.families import audit_repo
from server.stores import open_mongo

_HEADS = TypeAdapter(list[Head])


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser("audit-log", help="check who-looked-at-whom, or anchor it")
    parser.add_argument("what", choices=("verify", "anchor"), metavar="WHAT", help="verify, anchor")
    parser.add_argument("--anchor", type=Path, help="verify against this output of `anchor` too")
    parser.add_argument("--json", action="store_true", help="print one JSON line instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Verify, 0 if the log is as it was written, 1 otherwise; or print the heads of a whole log."""
    settings = load_settings()
    try:
        heads = [] if args.anchor is None else _HEADS.validate_json(args.anchor.read_bytes())
        verdict = asyncio.run(_verify(heads, settings))
    except OSError as error:
        print(f"audit-log: {error}", file=sys.stderr)
        return 2
    except ValidationError:
        print(f"audit-log: {args.anchor} is no output of `audit-log anchor`", file=sys.stderr)
        return 2
    if args.what == "anchor" and not verdict.faults:
        print(_HEADS.dump_json(list(verdict.heads.values())).decode())
        return 0
    _tell(verdict, as_json=args.json)
    return 1 if verdict.faults else 0


async def _verify(heads: list[Head], settings: Settings) -> Verdict:
    mongo = open_mongo(settings)
    try:
        repo = audit_repo(mongo, field_cipher(settings))
        return await verify(repo, {head.chain: head for head in heads})
    finally:
        await mongo.close()


def _tell(verdict: Verdict, *, as_json: bool) -> None:
    faults = [{"chain": f.chain, "seq": f.seq, "what": f.what} for f in verdict.faults]
    if as_json:
        print(json.dumps({"entries": verdict.entries, "faults": faults}))
        return
    for fault in verdict.faults:
        print(f"chain {fault.chain}, entry {fault.seq}: {fault.what}")
    print(f"{verdict.entries} entries, {len(faults)} faults")
