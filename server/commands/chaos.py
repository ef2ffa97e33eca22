"""`gemgem chaos`: play through every fault, and certify that nothing acknowledged was lost."""

import argparse
import asyncio
import json
import logging
import random
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from config.clock import SystemClock
from config.settings import Settings, load_settings
from models.db import Mongo
from models.play.keys import PlayKeys
from server.chaos.certificate import Certificate
from server.chaos.plan import SHORT, Plan, full, written
from server.chaos.recovery import Recoveries
from server.chaos.rig import rig
from server.chaos.run import Incident, carry_out, look
from server.commands.simulate import count, positive
from server.embedded import EmbeddedError
from server.loop import run_loop
from server.simulation.crowd import Crowd, Script
from server.simulation.ledger import FileLedger
from server.simulation.line import LineLostError, RefusedError
from server.simulation.performance import Manner
from server.simulation.screen import Heading, interrupts, play
from server.supervisor import SupervisorError

PATIENCE_S = 120.0
"""How long a child seeks its server, which is dead for seconds at a time."""
WIDTH = 110


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser("chaos", help="rehearse every fault, and certify what is kept")
    parser.add_argument("--minutes", type=positive, default=3.0, help="of the full plan")
    parser.add_argument("--children", type=count, default=20)
    parser.add_argument("--workers", type=count, default=2)
    parser.add_argument("--watchers", type=count, default=2)
    parser.add_argument("--seed", type=int, default=1, help="the same seed plans the same faults")
    parser.add_argument(
        "--plan", default="full", help="short, full, or a file written by --show-plan"
    )
    parser.add_argument("--show-plan", action="store_true", help="print the plan and stop")
    parser.add_argument("--report", type=Path, help="write the certificate here, as JSON")
    parser.add_argument("--log", type=Path, help="write what the processes log here")
    parser.add_argument("--ledger", type=Path, help="keep what was sent and acknowledged here")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Rehearse; 0 if nothing acknowledged was lost, doubled or altered, 1 if something was."""
    try:
        plan = _plan(args)
    except (OSError, ValueError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 2
    if args.show_plan:
        print(plan.as_json())
        return 0
    settings = load_settings()
    try:
        with ExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gemgem-chaos-")))
            log = stack.enter_context((args.log or home / "log").open("ab"))
            _log_to(args.log or home / "log")
            certificate = run_loop(_chaos(args, settings, plan, home, stack, log.fileno()))
    except (EmbeddedError, SupervisorError, RefusedError, LineLostError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"chaos: {error.filename or error}: {error.strerror}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    if args.report is not None:
        text = json.dumps(certificate.as_json(), indent=1, ensure_ascii=False)
        args.report.write_text(text + "\n", encoding="utf-8")
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(certificate.drawn())
    return 0 if certificate.passed else 1


def _plan(args: argparse.Namespace) -> Plan:
    if args.plan == "short":
        return SHORT
    return full(args.minutes, args.seed) if args.plan == "full" else written(Path(args.plan))


async def _chaos(
    args: argparse.Namespace, settings: Settings, plan: Plan, home: Path, stack: ExitStack, log: int
) -> Certificate:
    clock = SystemClock()
    began_at = clock.now().isoformat(timespec="seconds")
    ledger_path = args.ledger or home / "ledger.jsonl"
    ledger = stack.enter_context(FileLedger(ledger_path, clock))
    recoveries = Recoveries(ledger, clock)
    interrupt = stack.enter_context(interrupts())
    console = Console(stderr=True)
    console.print(f"gemgem chaos: {len(plan.faults)} faults in {plan.seconds:.0f} s …")
    rng = random.Random(args.seed)  # noqa: S311 - a rehearsal, not a secret
    async with rig(home, args.workers, rng, clock, log) as made:
        crowd = Crowd(
            Script(
                url=made.url,
                key=made.key,
                children=args.children,
                seconds=plan.seconds,
                seed=args.seed,
                manner=Manner(motions=("tap", "fist"), noise_mm=0.5),
                watchers=args.watchers,
                time_reps=False,
                patience_s=PATIENCE_S,
            ),
            clock,
            recoveries,
        )
        interrupt.calm = crowd.stop
        incidents: list[Incident] = []

        async def go_wrong() -> None:
            incidents.extend(await carry_out(plan, made, crowd, recoveries, clock))

        async with asyncio.TaskGroup() as group:
            faults = group.create_task(go_wrong())
            heading = Heading(f"gemgem chaos · {args.children} children, {args.workers} workers")
            await play(crowd, console, clock, heading)
            if not crowd.sessions:
                faults.cancel()
        ledger.close()
        store = settings.store
        flushed = await made.until_flushed(PlayKeys(store.redis_prefix, store.shards))
        mongo = Mongo(made.mongo_url, store.mongo_database, store.mongo_driver)
        try:
            findings = await look(ledger_path, mongo)
        finally:
            await mongo.close()
        return Certificate(
            at=began_at,
            seed=args.seed,
            children=args.children,
            workers=args.workers,
            seconds=plan.seconds,
            incidents=tuple(incidents),
            findings=findings,
            report=crowd.report(),
            restarts=made.restarts,
            errors=(*crowd.faults, *([] if flushed else ["the streams are not empty"])),
        )


def _log_to(path: Path) -> None:
    """Keep what the supervisors say out of the live table."""
    root = logging.getLogger()
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
