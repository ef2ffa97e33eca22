"""`gemgem`, or `python -m server COMMAND`."""

import argparse
import sys

from config.version import VERSION
from server.commands import (
    access_token,
    audit,
    audit_log,
    chaos,
    contract,
    dead_letters,
    demo,
    forget,
    outbox,
    rescore,
    reseal,
    revoke,
    roles,
    score,
    seed,
    serve,
    simulate,
    worker,
)
from server.commands.faults import FAULTS, tell

COMMANDS = (
    serve,
    worker,
    seed,
    access_token,
    revoke,
    roles,
    demo,
    simulate,
    audit,
    audit_log,
    rescore,
    score,
    chaos,
    dead_letters,
    outbox,
    reseal,
    forget,
    contract,
)


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="gemgem", description="Backend for game-based hand rehabilitation of children."
    )
    parser.add_argument("--version", action="version", version=f"gemgem {VERSION}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True
    )
    for command in COMMANDS:
        command.add(commands)
    args = parser.parse_args(argv)
    try:
        status: int = args.run(args)
    except FAULTS as fault:
        return tell(args.command, fault)
    return status


if __name__ == "__main__":
    sys.exit(main())
