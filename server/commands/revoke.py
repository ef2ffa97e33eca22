"""`gemgem revoke`: withdraw a sign-in; its connections end, its tokens are taken no more."""

import argparse
import sys

import jwt

from config.clock import SystemClock
from config.settings import Settings, load_settings
from models.accounts.revocations import revoke
from server.loop import run_loop
from server.stores import open_redis


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser("revoke", help="withdraw a sign-in and end its connections")
    parser.add_argument(
        "sign_in", metavar="SIGN_IN", help="the sign-in (`sid`), or a token that belongs to it"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the sign-in that was withdrawn."""
    settings = load_settings()
    try:
        sign_in = _sign_in(args.sign_in)
    except (jwt.PyJWTError, KeyError):
        print("revoke: that is neither a sign-in nor a token", file=sys.stderr)
        return 2
    run_loop(_revoke(settings, sign_in))
    print(sign_in)
    return 0


def _sign_in(text: str) -> str:
    """Return the sign-in of a token, or what was given. Withdrawing needs no valid signature."""
    if "." not in text:
        return text
    claims = jwt.decode(text, options={"verify_signature": False})
    return str(claims["sid"])


async def _revoke(settings: Settings, sign_in: str) -> None:
    async with open_redis(settings) as redis:
        await revoke(redis, settings.store.redis_prefix, sign_in, SystemClock())
