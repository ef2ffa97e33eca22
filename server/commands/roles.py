"""`gemgem roles`: give an account its roles; everything it is signed in on ends."""

import argparse
import sys

from config.clock import SystemClock
from config.settings import Settings, load_settings
from models.accounts.emails import canonical_email
from models.accounts.records import Role
from models.errors import AppError
from server.background import build_background
from server.loop import run_loop
from server.stores import open_stores


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser("roles", help="give an account its roles")
    parser.add_argument("email", metavar="EMAIL", help="of the account, as it signs in")
    parser.add_argument(
        "--role",
        action="append",
        required=True,
        choices=[Role.GUARDIAN.value, Role.THERAPIST.value, Role.ADMIN.value],
        dest="roles",
        help="may be given again; roles not named are taken away",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the account's id and its roles."""
    try:
        email = canonical_email(args.email)
        changed = run_loop(_change(load_settings(), email, [Role(role) for role in args.roles]))
    except AppError as error:
        print(f"roles: {error.message}", file=sys.stderr)
        return 1
    if changed is None:
        print("roles: no account has this e-mail, verified", file=sys.stderr)
        return 1
    print(changed, *args.roles)
    return 0


async def _change(settings: Settings, email: str, roles: list[Role]) -> str | None:
    """Return the id of the account that was changed; None without one."""
    background = build_background(open_stores(settings, SystemClock(), "roles"), flush=False)
    try:
        people = background.people
        user = await people.repo.find_by_email(email)
        # An address nobody proved may be another's: no roles for it.
        if user is None or not user.email_verified:
            return None
        return user.id if await people.accounts.sign_ins.change_roles(user.id, roles) else None
    finally:
        await background.close()
