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
from jobs.runner import end
from models.accounts.records import User
from models.db import DatabaseError
from models.errors import AppError
from models.withdrawal.proof import Prover, Terms, Trace
from models.withdrawal.records import State, Step, Withdrawal
from server.background import Background, build_background
from server.keyring import ConfigurationError
from server.loop import run_loop
from server.parts.withdrawal import LeavingParts
from server.stores import open_stores

LOOK_S: Final = 0.2
MOST_S: Final = 120.0
"""An account that is not erased by then waits for something: say so."""
MAIL_S: Final = 10.0
"""What is not sent by then is erased unsent."""
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
    except AppError as error:
        print(f"forget: {error.message}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(said, ensure_ascii=False))
    else:
        _tell(said)
    return 1 if said.get("left") or said["state"] not in (State.WITHDRAWN, "unknown") else 0


def _tell(said: dict[str, Any]) -> None:
    print(f"withdrawal {said['withdrawal'] or '-'}: {said['state']}")
    if said.get("told") is False:
        print("the mail that tells of the end could not be sent, and is erased too")
    for trace in said.get("traces", ()):
        print(f"left in {trace['store']}: {trace['where']} ({trace['path']})")
    if "left" in said:
        print(f"entries of the access log that hold an id which leads nowhere: {said['chained']}")
        print(said["left"])


@dataclass(frozen=True, slots=True)
class _Tools:
    background: Background
    prover: Prover


@asynccontextmanager
async def _tools(settings: Settings, clock: Clock) -> AsyncIterator[_Tools]:
    """Connect to the stores and build what a withdrawal needs."""
    stores = open_stores(settings, clock, "forget")
    background = build_background(stores, flush=True, alarm=_alarm)
    try:
        prefix = settings.store.redis_prefix
        yield _Tools(background, Prover(stores.mongo.database, stores.redis, prefix, stores.cipher))
    finally:
        await background.close()


def _alarm(text: str) -> None:
    print(f"forget: {text}", file=sys.stderr)


async def _forget(args: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    async with _tools(settings, SystemClock()) as tools:
        repo = tools.background.people.repo
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
    try:
        typed = await asyncio.to_thread(input, asked)
    except EOFError:
        typed = ""
    if typed.strip() != user.id:
        raise ConfigurationError("nothing was erased")


async def _erased(tools: _Tools, user: User) -> dict[str, Any]:
    """Carry the withdrawal to its end; what waits in the streams is stored meanwhile."""
    leaving, flusher = tools.background.leaving, tools.background.flusher
    await leaving.repo.ensure_indexes()
    flushing = asyncio.create_task(flusher.run())
    try:
        begun = await leaving.withdrawals.hasten(user, f"w_{secrets.token_urlsafe(15)}")
        found = await _ended(leaving, begun)
    finally:
        await end(flushing)
        with contextlib.suppress(asyncio.CancelledError, DatabaseError, RedisError, OSError):
            await flushing
        await flusher.drain(LOOK_S)
    told = await _told(tools.background, user.id)
    return {"withdrawal": found.id, "state": found.state.value, "told": told}


async def _ended(leaving: LeavingParts, found: Withdrawal) -> Withdrawal:
    """Work on what is due until the withdrawal has ended."""
    try:
        async with asyncio.timeout(MOST_S) as limit:
            while found.state is not State.WITHDRAWN:
                await leaving.job.look()
                await asyncio.sleep(LOOK_S)
                found = await leaving.repo.find(found.id) or found
    except TimeoutError:
        if not limit.expired():
            raise
        waits = next((step for step in Step if not found.is_done(step)), Step.MEMORY)
        raise ConfigurationError(
            f"the account waits at step {waits.value}; it goes on with a running server"
        ) from None
    return found


async def _told(background: Background, user_id: str) -> bool:
    """Wait until the last mail is sent, and erase it if it is not; tell whether it was."""
    outbox, posts = background.people.outbox, background.people.mailer is not None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(MAIL_S):
            while await outbox.count_about(user_id):
                # Without a mail server here it is the server's to send.
                if not (posts and await background.relay.look(user_id)):
                    await asyncio.sleep(LOOK_S)
    return not await outbox.erase_about(user_id)


async def _proved(prover: Prover, terms: Terms) -> dict[str, Any]:
    traces: list[Trace] = []
    for _ in range(PROOFS):
        traces = [trace async for trace in prover.traces(terms)]
        if not traces:
            break
        await asyncio.sleep(LOOK_S * 2)
    shown = [{"store": t.store, "where": t.where, "path": t.path} for t in traces]
    return {"left": len(traces), "chained": await prover.count_chained(terms), "traces": shown}
