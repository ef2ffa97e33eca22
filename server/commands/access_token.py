"""`gemgem token`: an access token of the development key."""

import argparse
import sys

from config.clock import SystemClock
from config.settings import load_settings
from models.accounts.records import Role
from models.accounts.tokens import mint


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser("token", help="print an access token of the development key")
    parser.add_argument(
        "--role", action="append", required=True, choices=[r.value for r in Role], dest="roles"
    )
    parser.add_argument(
        "--child",
        action="append",
        default=[],
        dest="children",
        metavar="ID",
        help="a child the token may reach, or '*' for all; may be given again",
    )
    parser.add_argument(
        "--scope",
        action="append",
        default=[],
        dest="scopes",
        metavar="SCOPE",
        help="what a service is granted; may be given again",
    )
    parser.add_argument("--sub", default="developer", help="the user it speaks for")
    parser.add_argument("--ttl", type=int, default=3600, metavar="SECONDS")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the token on standard output."""
    settings = load_settings()
    if settings.dev_key is None or not settings.dev_key.exists():
        print("token: set GEMGEM_DEV_KEY to the key `serve --embedded` prints", file=sys.stderr)
        return 2
    child_id = None
    if Role.CHILD in args.roles:
        if len(args.children) != 1:
            print("token: a child's token takes exactly one --child", file=sys.stderr)
            return 2
        child_id = args.children[0]
    print(
        mint(
            settings.dev_key,
            sub=args.sub,
            roles=args.roles,
            children=args.children,
            child_id=child_id,
            scope=" ".join(args.scopes),
            ttl_s=args.ttl,
            clock=SystemClock(),
            issuer=settings.token.issuer,
            audience=settings.token.audience,
        )
    )
    return 0
