"""`gemgem roles`: give an account its roles; everything it is signed in on ends."""

import argparse
import sys

from pydantic import SecretStr
from redis.exceptions import RedisError

from config.clock import SystemClock
from config.settings import Settings, load_settings
from models.accounts.emails import canonical_email
from models.accounts.records import Role
from models.accounts.repo import AccountRepo
from models.accounts.revocations import Revocations
from models.bus import Bus
from models.db import DatabaseError, Mongo
from models.errors import AppError
from models.redis import connect_redis
from server.accounts import build_sign_ins
from server.app import ConfigurationError, token_keys_of
from server.loop import run_loop


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
    settings = load_settings()
    if settings.mongo_url is None or settings.redis_url is None:
        print("roles: set GEMGEM_MONGO_URL and GEMGEM_REDIS_URL", file=sys.stderr)
        return 2
    try:
        email = canonical_email(args.email)
        changed = run_loop(
            _change(
                settings,
                settings.mongo_url,
                settings.redis_url,
                email,
                [Role(role) for role in args.roles],
            )
        )
    except ConfigurationError as error:
        print(f"roles: {error}", file=sys.stderr)
        return 2
    except AppError as error:
        print(f"roles: {error.message}", file=sys.stderr)
        return 1
    except (DatabaseError, RedisError, OSError) as error:
        print(f"roles: a store does not answer ({type(error).__name__})", file=sys.stderr)
        return 1
    if changed is None:
        print("roles: no account has this e-mail, verified", file=sys.stderr)
        return 1
    print(changed, *args.roles)
    return 0


async def _change(
    settings: Settings, mongo_url: SecretStr, redis_url: SecretStr, email: str, roles: list[Role]
) -> str | None:
    """Return the id of the account that was changed; None without one."""
    clock, store = SystemClock(), settings.store
    mongo = Mongo(mongo_url.get_secret_value(), store.mongo_database, store.mongo_driver)
    redis = connect_redis(
        redis_url.get_secret_value(),
        store.redis_timeout_ms / 1000,
        cluster=store.redis_cluster,
    )
    try:
        repo = AccountRepo(mongo.database)
        sign_ins = build_sign_ins(
            settings,
            repo=repo,
            database=mongo.database,
            revocations=Revocations(redis, Bus(redis), store.redis_prefix, clock),
            signer=token_keys_of(settings).signer,
            post=lambda _: None,  # of tokens that come twice: none comes here
            clock=clock,
        )
        user = await repo.find_by_email(email)
        # An address nobody proved may be another's: no roles for it.
        if user is None or not user.email_verified:
            return None
        return user.id if await sign_ins.change_roles(user.id, roles) else None
    finally:
        await mongo.close()
        await redis.aclose()
