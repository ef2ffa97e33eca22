"""Our live server beside its peers: run by `scripts/bench transport`.

Every server runs alone on one core and gets the same work: each session sends a frame message of
one hand 30 times a second and gets a score for every tenth, and one session in five is watched.
`gemgem` does all that it does in production besides; `gemgem_relay` only what the peers do.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tests.load.transport import cores, packages, report, stores
from tests.load.transport.compare import Plan, Result, compare
from tests.load.transport.generator import WATCH_EVERY
from tests.load.transport.servers import Peer, peers

NODE = ("socketio_node", "socketio_node_msgpack", "colyseus")
WARM_S = 1.5
"""Long enough for a just-in-time compiler to see what is asked of it."""
ROUNDS_SHARE = 0.55
"""Of the time; the rest is the search's."""
STANDARD = ("gemgem", "gemgem_relay", "socketio_python", *NODE)


def main() -> int:
    """Measure and print; 0 when everything could be measured."""
    args = _parser().parse_args()
    console = Console(stderr=True)
    # Whoever ends us ends what we have started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = _chosen(args)
    lacking = _lacking(chosen, console)
    cores.allow_many_files()
    cores.rank(os.getpid(), args.nice)
    load = float(Path("/proc/loadavg").read_text().split()[0])
    plan = Plan(
        levels=args.levels,
        warm_s=WARM_S,
        seconds=args.seconds,
        rounds=args.rounds,
        frames=args.frames,
        watch_every=args.watch_every,
        idle=args.idle,
        search=not args.no_max,
        until=time.monotonic() + ROUNDS_SHARE * 60 * args.minutes,
        end=time.monotonic() + 60 * args.minutes,
    )
    with (
        stores.started() as kept,
        cores.on(cores.everybody_else()),
        console.status("starting") as status,
    ):
        able = [peer for peer in chosen if peer.name not in NODE or lacking is None]
        found = compare(able, plan, kept, status.update)
    # Those that could not run have their places all the same, and the reason.
    missing = Result(notes=[f"not measured: {lacking}"])
    results = {peer.name: found.get(peer.name, missing) for peer in chosen}
    told = report.told(results, plan, args.parser, load)
    if args.json:
        print(json.dumps(told))
    elif args.markdown:
        print(report.markdown(told))
    else:
        report.show(told)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench transport",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--levels", type=_levels, default=(100, 500, 800), metavar="N,N,…")
    parser.add_argument("--seconds", type=float, default=4.0, help="measured at each level")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--frames",
        type=int,
        choices=(1, 2, 3, 5, 6),
        default=1,
        help="of a message; the peers tell a score every tenth message all the same",
    )
    parser.add_argument(
        "--watch-every",
        type=int,
        default=WATCH_EVERY,
        metavar="N",
        help="one session in N is watched; 0 for none",
    )
    parser.add_argument("--idle", type=int, default=400, help="connections memory is counted over")
    parser.add_argument("--only", help="servers to measure, with commas between them")
    parser.add_argument(
        "--relay-only", action="store_true", help="leave out the server with everything on"
    )
    parser.add_argument("--no-max", action="store_true", help="do not look for the most sessions")
    parser.add_argument("--parser", choices=("default", "msgpack"), default="msgpack")
    parser.add_argument("--minutes", type=float, default=14.0, help="how long it may take, about")
    parser.add_argument(
        "--nice", type=int, default=0, help="of all that is measured; below 0 on a busy machine"
    )
    out = parser.add_mutually_exclusive_group()
    out.add_argument("--json", action="store_true", help="print one line of JSON")
    out.add_argument("--markdown", action="store_true", help="print tables for a page")
    return parser


def _lacking(chosen: Sequence[Peer], console: Console) -> str | None:
    """Install what the Node.js peers need; return what is missing all the same."""
    if not any(peer.name in NODE for peer in chosen) or packages.missing() is None:
        return None
    console.print("installing Node.js and the packages of its peers")
    try:
        packages.install()
    except (OSError, subprocess.CalledProcessError) as error:
        console.print(f"that failed: {error}")
    return packages.missing()


def _chosen(args: argparse.Namespace) -> list[Peer]:
    known = peers(args.parser)
    names = list(STANDARD)
    if args.parser == "msgpack":
        names.insert(2, "gemgem_default")
    if args.relay_only:
        names = [name for name in names if name not in ("gemgem", "gemgem_default")]
    if args.only:
        names = args.only.split(",")
    wrong = [name for name in names if name not in known]
    if wrong:
        raise SystemExit(f"no such server: {', '.join(wrong)}; there are {', '.join(known)}")
    return [known[name] for name in names]


def _levels(text: str) -> tuple[int, ...]:
    return tuple(sorted(int(part) for part in text.split(",")))


if __name__ == "__main__":
    sys.exit(main())
