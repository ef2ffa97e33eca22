"""`gemgem forget`: withdraw an account to its end now, and prove that nothing of it is left."""

import argparse
import asyncio
import contextlib
import json
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import RedisError

from config.clock import Clock, SystemClock
from config.settings import Settings, load_settings
from jobs.flush import Flusher
from models.accounts.records import User
from models.accounts.revocations import Revocations
from models.bus import Bus
from models.db import DatabaseError, Mongo
from models.errors import AppError
from models.play.keys import PlayKeys
from models.play.repo import PlayRepo
from models.play.stream import PlayStream
from models.redis import connect_redis
from models.withdrawal.proof import Prover, Terms, Trace
from models.withdrawal.records import State
from server.accounts import AccountParts, build_accounts
from server.app import ConfigurationError, field_cipher, token_keys_of
from server.families import build_families
from server.loop import run_loop
from server.withdrawal import LeavingParts, build_leaving

LOOK_S: Final = 0.2
MOST_S: Final = 120.0
"""An account that is not erased by then waits for something: say so."""
PROOFS: Final = 5
"""A worker's live list tells of a session for a second after it ended: looked at again."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser("forget", help="erase an account now, and prove it")
    parser.add_argument("user", metavar="USER", help="id of the account, or its e-mail")
    parser.add_argument("--yes", action="store_true", help="do not ask; it cannot be undone")
    parser.add_argument("--prove", action="store_true", help="search every store for what is left")
    parser.add_argument("--json", action="store_true", help="print one JSON line instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Erase and search: 0 if nothing is left, 1 if something is, 2 if it could not be done."""
    try:
        said = run_loop(_forget(args, load_settings()))
    except (
        ConfigurationError,
        AppError,
        DatabaseError,
        RedisError,
        OSError,
        TimeoutError,
    ) as error:
        print(f"forget: {error or type(error).__name__}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(said, ensure_ascii=False))
    else:
        _tell(said)
    return 1 if said.get("left") or said["state"] not in (State.WITHDRAWN, "unknown") else 0


def _tell(said: dict[str, Any]) -> None:
    print(f"withdrawal {said['withdrawal'] or '-'}: {said['state']}")
    for trace in said.get("traces", ()):
        print(f"left in {trace['store']}: {trace['where']} ({trace['path']})")
    if "left" in said:
        print(f"entries of the access log that hold an id which leads nowhere: {said['chained']}")
        print(said["left"])


@dataclass(frozen=True, slots=True)
class _Tools:
    people: AccountParts
    leaving: LeavingParts
    prover: Prover
    flusher: Flusher


@asynccontextmanager
async def _tools(settings: Settings, clock: Clock) -> AsyncIterator[_Tools]:
    """Connect to the stores and build what a withdrawal needs."""
    if settings.mongo_url is None or settings.redis_url is None:
        raise ConfigurationError("set GEMGEM_MONGO_URL and GEMGEM_REDIS_URL")
    store, node = settings.store, f"forget-{secrets.token_hex(4)}"
    redis = connect_redis(
        settings.redis_url.get_secret_value(),
        store.redis_timeout_ms / 1000,
        cluster=store.redis_cluster,
    )
    mongo = Mongo(settings.mongo_url.get_secret_value(), store.mongo_database, store.mongo_driver)
    cipher, bus = field_cipher(settings), Bus(redis)
    keys = PlayKeys(store.redis_prefix, store.shards)
    stream = PlayStream(redis, keys, node)
    revocations = Revocations(redis, bus, store.redis_prefix, clock)
    people = build_accounts(
        settings,
        redis=redis,
        database=mongo.database,
        revocations=revocations,
        cipher=cipher,
        signer=token_keys_of(settings).signer,
        clock=clock,
    )
    families = build_families(
        mongo, redis, bus, prefix=store.redis_prefix, cipher=cipher, clock=clock,
        settings=settings.care,
    )  # fmt: skip
    leaving = build_leaving(
        settings,
        mongo=mongo,
        redis=redis,
        keys=keys,
        stream=stream,
        people=people,
        families=families,
        revocations=revocations,
        cipher=cipher,
        clock=clock,
        node=node,
        alarm=_alarm,
    )
    flusher = Flusher(
        stream=stream, repo=PlayRepo(mongo.database), clock=clock, settings=store, alarm=_alarm
    )
    try:
        prover = Prover(mongo.database, redis, store.redis_prefix, cipher)
        yield _Tools(people, leaving, prover, flusher)
    finally:
        await people.close()
        await mongo.close()
        await redis.aclose()


def _alarm(text: str) -> None:
    print(f"forget: {text}", file=sys.stderr)


async def _forget(args: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    async with _tools(settings, SystemClock()) as tools:
        repo = tools.people.repo
        user = await repo.find(args.user) or await repo.find_by_email(args.user.lower())
        said: dict[str, Any] = {"withdrawal": None, "state": "unknown"}
        terms = Terms(frozenset({args.user}), frozenset())
        if user is not None:
            terms = await tools.prover.terms_of(user)
            if not args.yes:
                await _confirmed(user)
            said = await _erased(tools, user)
        elif not args.prove:
            raise ConfigurationError("there is no such account")
        return said | (await _proved(tools.prover, terms) if args.prove else {})


async def _confirmed(user: User) -> None:
    if not sys.stdin.isatty():
        raise ConfigurationError("nobody can be asked here: pass --yes")
    asked = f"Erase {user.id} ({', '.join(user.providers)})? Type its id: "
    if await asyncio.to_thread(input, asked) != user.id:
        raise ConfigurationError("nothing was erased")


async def _erased(tools: _Tools, user: User) -> dict[str, Any]:
    """Carry the withdrawal to its end; what waits in the streams is stored meanwhile."""
    leaving = tools.leaving
    await leaving.repo.ensure_indexes()
    flushing = asyncio.create_task(tools.flusher.run())
    try:
        found = await leaving.withdrawals.hasten(user, f"w_{secrets.token_urlsafe(15)}")
        async with asyncio.timeout(MOST_S):
            while found.state is not State.WITHDRAWN:
                await leaving.job.look()
                await asyncio.sleep(LOOK_S)
                found = await leaving.repo.find(found.id) or found
    finally:
        flushing.cancel()
        with contextlib.suppress(asyncio.CancelledError, DatabaseError, RedisError, OSError):
            await flushing
        await tools.flusher.drain(LOOK_S)
    return {"withdrawal": found.id, "state": found.state.value}


async def _proved(prover: Prover, terms: Terms) -> dict[str, Any]:
    traces: list[Trace] = []
    for _ in range(PROOFS):
        traces = [trace async for trace in prover.traces(terms)]
        if not traces:
            break
        await asyncio.sleep(LOOK_S * 2)
    shown = [{"store": t.store, "where": t.where, "path": t.path} for t in traces]
    return {"left": len(traces), "chained": await prover.count_chained(terms), "traces": shown}
