"""`gemgem token`: an access token of an account, or on a laptop of the development key."""

import argparse
import asyncio
import getpass
import json
import os
import sys
from typing import Any

import aiohttp

from config.clock import SystemClock
from config.settings import load_settings
from models.accounts.records import Role
from models.accounts.tokens import mint
from server.loop import run_loop
from server.simulation.line import LineLostError
from server.simulation.member import Member, SignInError

DEVICE = {"id": "gemgem-token", "name": "gemgem token", "platform": "other"}


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser("token", help="print an access token")
    url = os.environ.get("GEMGEM_URL", "http://127.0.0.1:8080")
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument(
        "--email",
        help="sign in to this account; the password is read from GEMGEM_PASSWORD, or asked",
    )
    form.add_argument(
        "--role",
        action="append",
        choices=[r.value for r in Role],
        dest="roles",
        help="for development only: let the development key grant it; may be given again",
    )
    account = parser.add_argument_group("of an account")
    account.add_argument(
        "--url", default=url, help="the server (default: GEMGEM_URL, or %(default)s)"
    )
    account.add_argument(
        "--json", action="store_true", help="print one JSON line, with the refresh token"
    )
    grant = parser.add_argument_group("of the development key")
    grant.add_argument(
        "--child",
        action="append",
        default=[],
        dest="children",
        metavar="ID",
        help="a child the token may reach, or '*' for all; may be given again",
    )
    grant.add_argument(
        "--scope",
        action="append",
        default=[],
        dest="scopes",
        metavar="SCOPE",
        help="what a service is granted; may be given again",
    )
    grant.add_argument("--sub", default="developer", help="the user it speaks for")
    grant.add_argument("--ttl", type=int, default=3600, metavar="SECONDS")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the token on standard output; 1 if the server refused, 2 if it could not be asked."""
    return _granted(args) if args.email is None else _of_account(args)


def _of_account(args: argparse.Namespace) -> int:
    password = os.environ.get("GEMGEM_PASSWORD")
    if password is None and not sys.stdin.isatty():
        print("token: set GEMGEM_PASSWORD to the password of --email", file=sys.stderr)
        return 2
    try:
        if password is None:
            password = getpass.getpass(f"Password of {args.email}: ")
        tokens = run_loop(_sign_in(args.url, args.email, password))
    except SignInError as refusal:
        print(f"token: {refusal}", file=sys.stderr)
        return 1
    except LineLostError as failure:
        print(f"token: {failure}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, EOFError, asyncio.CancelledError):
        return 130
    print(json.dumps(tokens) if args.json else tokens["accessToken"])
    return 0


async def _sign_in(url: str, email: str, password: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as http:
        member = Member(http, url, DEVICE)
        await member.sign_in(email, password)
        return member.tokens()


def _granted(args: argparse.Namespace) -> int:
    settings = load_settings()
    if settings.env == "production":
        print("token: the development key grants nothing in production; --email", file=sys.stderr)
        return 2
    if args.json:
        print("token: --json goes with --email: there is no refresh token", file=sys.stderr)
        return 2
    if settings.dev_key is None or not settings.dev_key.exists():
        print("token: set GEMGEM_DEV_KEY to the key `serve --embedded` prints", file=sys.stderr)
        return 2
    child_id = None
    if Role.CHILD in args.roles:
        if len(args.children) != 1:
            print("token: a child's token takes exactly one --child", file=sys.stderr)
            return 2
        child_id = args.children[0]
    print("token: of the development key, for development only", file=sys.stderr)
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
