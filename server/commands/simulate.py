"""`gemgem simulate`: play simulated children against a running server."""

import argparse
import asyncio
import dataclasses
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from config.clock import SystemClock
from config.settings import load_settings
from server.loop import run_loop
from server.simulation.crowd import Crowd, Kid, Script
from server.simulation.ledger import FileLedger
from server.simulation.line import PARSERS, LineLostError, RefusedError
from server.simulation.member import SignInError, signed_in
from server.simulation.performance import Manner, playable
from server.simulation.screen import Heading, interrupts, play


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser("simulate", help="play simulated children against a server")
    url = os.environ.get("GEMGEM_URL", "http://127.0.0.1:8080")
    parser.add_argument(
        "--url", default=url, help="the server (default: GEMGEM_URL, or %(default)s)"
    )
    parser.add_argument("--children", type=count, default=5)
    parser.add_argument("--seconds", type=positive, help="how long (default: until Ctrl-C)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed plays the same motions")
    parser.add_argument("--key", type=Path, help="development key (default: GEMGEM_DEV_KEY)")
    parser.add_argument(
        "--sign-in",
        metavar="EMAIL",
        help="play the children of this guardian, who is the watchers too; the password is read "
        "from GEMGEM_PASSWORD",
    )
    parser.add_argument("--ledger", type=Path, help="write what was sent and acknowledged here")
    parser.add_argument("--json", action="store_true", help="print one JSON line at the end")
    parser.add_argument(
        "--watchers",
        type=_count_or_none,
        default=0,
        help="therapists of the development key, or the guardian of --sign-in again",
    )
    parser.add_argument(
        "--parser", choices=tuple(PARSERS), default="default", help="Socket.IO parser of all"
    )
    add_manner(parser)
    parser.set_defaults(run=run)


def add_manner(
    parser: argparse.ArgumentParser, motions: str = "fist", noise_mm: float = 1.0
) -> None:
    """Add the options that say how the children play, with two of their defaults."""
    play_options = parser.add_argument_group("how they play")
    play_options.add_argument(
        "--motion", type=_motions, default=motions, help="a motion, a comma list, or `mix`"
    )
    play_options.add_argument("--fps", type=positive, default=30.0)
    play_options.add_argument("--frames-per-message", type=count, default=2)
    play_options.add_argument("--space", choices=("world", "image"), default="world")
    play_options.add_argument("--rom", type=_share, help="excursion, 0.3-1 (default: varied)")
    play_options.add_argument("--noise", type=_amount, default=noise_mm, help="landmark noise, mm")
    play_options.add_argument("--tremor", type=_amount, help="tremor, degrees (default: varied)")
    play_options.add_argument("--dropout", type=_amount, default=0.0, help="lost hands, 1/s")


def manner_of(args: argparse.Namespace) -> Manner:
    """Return how the children play, from the options of `add_manner`."""
    return Manner(
        motions=args.motion,
        fps=args.fps,
        frames_per_message=args.frames_per_message,
        space=args.space,
        rom=args.rom,
        noise_mm=args.noise,
        tremor_deg=args.tremor,
        dropout=args.dropout,
    )


def run(args: argparse.Namespace) -> int:
    """Simulate; 0 if nothing went wrong, 1 if something did, 2 if it could not begin."""
    key = args.key or load_settings().dev_key
    if args.sign_in and "GEMGEM_PASSWORD" not in os.environ:
        print("simulate: set GEMGEM_PASSWORD to the password of --sign-in", file=sys.stderr)
        return 2
    if not args.sign_in and (key is None or not key.is_file()):
        print(
            "simulate: no development key; give --key or set GEMGEM_DEV_KEY to the path that "
            "`gemgem serve --embedded` prints, or --sign-in",
            file=sys.stderr,
        )
        return 2
    try:
        with ExitStack() as stack:
            ledger = None
            if args.ledger is not None:
                ledger = stack.enter_context(FileLedger(args.ledger, SystemClock()))
            return run_loop(_simulate(args, key, ledger))
    except (RefusedError, LineLostError, SignInError) as failure:
        print(f"simulate: {failure}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"simulate: {error.filename or error}: {error.strerror}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


async def _simulate(args: argparse.Namespace, key: Path | None, ledger: FileLedger | None) -> int:
    script = Script(
        url=args.url,
        key=key,
        children=args.children,
        seconds=args.seconds,
        seed=args.seed,
        manner=manner_of(args),
        watchers=args.watchers,
        parser=args.parser,
    )
    if args.sign_in is None:
        return await _play(args, script, ledger)
    async with signed_in(args.url, args.sign_in, os.environ["GEMGEM_PASSWORD"]) as member:
        ids = (await member.children())[: args.children]
        if not ids:
            raise SignInError(f"{args.sign_in} has no children: add one first")
        kids = tuple(Kid(child_id, member.token) for child_id in ids)
        own = dataclasses.replace(script, kids=kids, children=len(kids), viewer=member.token)
        return await _play(args, own, ledger)


async def _play(args: argparse.Namespace, script: Script, ledger: FileLedger | None) -> int:
    clock = SystemClock()
    crowd = Crowd(script, clock, ledger)
    console = Console(stderr=True)
    heading = Heading(f"gemgem simulate · {script.children} children")
    with interrupts() as interrupt:
        interrupt.calm = crowd.stop
        await play(crowd, console, clock, heading)
    report = crowd.report()
    for words in crowd.faults:
        console.print(f"[red]error[/] {words}", highlight=False)
    if args.json:
        print(json.dumps(report))
    else:
        console.print_json(data=report)
    return 1 if report["errors"] or report["feed_altered"] else 0


def _motions(text: str) -> tuple[str, ...]:
    known = playable()
    names = tuple(known) if text == "mix" else tuple(text.split(","))
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(
                f"no child can play {name!r}; there are {', '.join(known)}, and `mix`"
            )
    return names


def count(text: str) -> int:
    """Read a number of children or watchers."""
    number = int(text)
    if not 1 <= number <= 5000:
        raise argparse.ArgumentTypeError("must be between 1 and 5000")
    return number


def _count_or_none(text: str) -> int:
    return 0 if text == "0" else count(text)


def positive(text: str) -> float:
    """Read a number above 0."""
    number = float(text)
    if not 0 < number < 1e7:
        raise argparse.ArgumentTypeError("must be above 0")
    return number


def _amount(text: str) -> float:
    number = float(text)
    if not 0 <= number < 1e4:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0.1 <= number <= 1:
        raise argparse.ArgumentTypeError("must be between 0.1 and 1")
    return number
