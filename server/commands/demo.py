"""`gemgem demo`: databases, server, children and a watcher, on one laptop with one command."""

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.console import Console

from config.clock import Clock, SystemClock
from config.settings import Settings, load_settings
from models.accounts.tokens import create_dev_key
from models.children.records import CHILDREN_MAX
from models.db import Mongo
from models.errors import AppError
from server.commands.simulate import add_manner, count, manner_of, positive
from server.embedded import EmbeddedError, EmbeddedServers, embedded
from server.loop import run_loop
from server.seeding.seeder import seeding
from server.seeding.troupe import Troupe, assemble
from server.simulation.crowd import Crowd, Kid, Script
from server.simulation.line import LineLostError, RefusedError
from server.simulation.member import SignInError, signed_in
from server.simulation.screen import Heading, alongside, interrupts, play
from server.simulation.served import ServerError, free_port, serving
from server.simulation.verify import Verdict, Verifier


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser("demo", help="everything at once, on this machine alone")
    parser.add_argument("--children", type=count, default=5)
    parser.add_argument("--seconds", type=positive, help="how long (default: until Ctrl-C)")
    parser.add_argument("--port", type=_port, help="port of the server and its page")
    parser.add_argument("--seed", type=int, default=1, help="the same seed plays the same motions")
    add_manner(parser, motions="mix", noise_mm=0.5)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Play the demonstration; 0 if nothing was lost, doubled or altered, and all re-scores."""
    try:
        settings = load_settings()
        if settings.env == "production":
            print("demo: not in production: it makes people up", file=sys.stderr)
            return 2
        return run_loop(_demo(args, settings))
    except (
        EmbeddedError,
        ServerError,
        SignInError,
        RefusedError,
        LineLostError,
    ) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except AppError as error:
        print(f"demo: {error.message}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


async def _demo(args: argparse.Namespace, settings: Settings) -> int:
    clock = SystemClock()
    console = Console(stderr=True)
    host = "127.0.0.1"
    port = free_port(host, args.port, settings.http.port)
    async with AsyncExitStack() as stack:
        interrupt = stack.enter_context(interrupts())
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gemgem-demo-")))
        console.print("gemgem: starting MongoDB, Valkey and the server …", highlight=False)
        servers = await stack.enter_async_context(
            embedded(
                mongo_url=_secret(settings, "mongo_url"), redis_url=_secret(settings, "redis_url")
            )
        )
        (home / "server").mkdir()
        key = settings.dev_key or home / "server" / "dev-key.pem"
        create_dev_key(key)
        # While the server starts: both take their time, and neither needs the other.
        making = asyncio.create_task(_make(_at(settings, servers, key), clock, args.children))
        stack.push_async_callback(_put_away, making)
        served = await stack.enter_async_context(
            serving(
                home / "server",
                host,
                port,
                {
                    "GEMGEM_MONGO_URL": servers.mongo_url,
                    "GEMGEM_REDIS_URL": servers.redis_url,
                    "GEMGEM_DEV_KEY": str(key),
                },
            )
        )
        troupe = await making
        therapist = troupe.therapist
        viewer = await stack.enter_async_context(
            signed_in(served.url, therapist.email, therapist.password)
        )
        kids = await _tablets(stack, served.url, troupe)
        # In the fragment: browsers send it in no request, and the page clears it.
        address = f"{served.url}/console#token={viewer.token()}"
        console.print(f"gemgem: watch the children at {address}", highlight=False, soft_wrap=True)
        console.print(
            f"gemgem: later, or again: sign in at {served.url}/console as {therapist.email} "
            f"with the password {therapist.password}",
            highlight=False,
            soft_wrap=True,
        )
        store = settings.store
        verifier = stack.enter_context(
            Verifier(lambda: Mongo(servers.mongo_url, store.mongo_database, store.mongo_driver))
        )
        crowd = Crowd(
            Script(
                url=served.url,
                key=None,
                children=args.children,
                seconds=args.seconds,
                seed=args.seed,
                manner=manner_of(args),
                watchers=1,
                watch_all=True,
                time_reps=False,
                kids=kids,
                viewer=viewer.token,
            ),
            clock,
            verifier,
        )
        heading = Heading("gemgem demo", f"{served.url}/console", address)
        interrupt.calm = crowd.stop
        await alongside(served.until_ended(), play(crowd, console, clock, heading))
        verdict = await verifier.finish()
        for words in crowd.faults:
            console.print(f"[red]error[/] {words}", highlight=False)
        line = _line(crowd, verdict)
    print(json.dumps(line), flush=True)
    whole = verdict.finding.clean and verdict.rescored_equal
    return 0 if whole and not crowd.errors else 1


async def _make(settings: Settings, clock: Clock, children: int) -> Troupe:
    # One place is left to a child that comes back while its old connection still counts.
    most = min(max(1, settings.socket.account_connections - 1), CHILDREN_MAX)
    async with seeding(settings, clock) as seeder:
        return await assemble(seeder, secrets.token_hex(4), children, most)


async def _put_away(task: asyncio.Task[Troupe]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _tablets(stack: AsyncExitStack, url: str, troupe: Troupe) -> tuple[Kid, ...]:
    """Sign every child in on a device of its own, which its guardian lets in."""
    kids: list[Kid] = []
    for family in troupe.families:
        login = family.guardian
        guardian = await stack.enter_async_context(signed_in(url, login.email, login.password))
        for child_id in family.children:
            tablet = await stack.enter_async_context(guardian.tablet(child_id))
            kids.append(Kid(child_id, tablet.token))
    return tuple(kids)


def _at(settings: Settings, servers: EmbeddedServers, key: Path) -> Settings:
    update: dict[str, Any] = {
        "mongo_url": SecretStr(servers.mongo_url),
        "redis_url": SecretStr(servers.redis_url),
        "dev_key": key,
    }
    return settings.model_copy(update=update)


def _line(crowd: Crowd, verdict: Verdict) -> dict[str, Any]:
    report, finding = crowd.report(), verdict.finding
    return {
        "sent": report["sent"],
        "buffered": report["buffered"],
        "stored": report["stored"],
        "reps_true": report["reps_true"],
        "reps_scored": report["reps_scored"],
        "lost": finding.lost,
        "duplicated": finding.duplicated,
        "altered": finding.altered + finding.out_of_order,
        "rescored_equal": verdict.rescored_equal,
        "ack_p99_ms": report["ack_p99_ms"],
        "feed_p99_ms": report["feed_p99_ms"],
    }


def _port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65535:
        raise argparse.ArgumentTypeError("must be between 1 and 65535")
    return number


def _secret(settings: Settings, name: str) -> str | None:
    value = getattr(settings, name)
    return None if value is None else str(value.get_secret_value())
