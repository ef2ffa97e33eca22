"""`gemgem rescore`: score stored sessions again, as they were or under another grading model."""

import argparse
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from config.settings import load_settings
from models.errors import AppError
from models.grading.library import grading_models
from models.play.repo import PlayRepo
from server.loop import run_loop
from server.stores import open_mongo
from sessions.catalogue import catalogue
from sessions.regrade import STANDARD, ModelChoice, regrade_session, rescored_document
from sessions.rescore import Comparison, rescore_session

T = TypeVar("T")
Row = dict[str, Any]
"""One set's comparison, as `Regraded.as_dict` gives it."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "rescore",
        help="score stored sessions again",
        description="With SESSION alone: prove that a session scores the same byte for byte. "
        "With --model: grade stored sessions under that model, beside what was stored.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("proved", metavar="SESSION", nargs="?", help="id of the session to prove")
    which.add_argument("--session", metavar="ID", help="one session")
    which.add_argument("--child", metavar="ID", help="every session of a child")
    which.add_argument("--all", action="store_true", help="every stored session")
    parser.add_argument(
        "--model", metavar="A", help=f"model to grade with: ID, ID@VERSION, or {STANDARD}"
    )
    parser.add_argument(
        "--compare", metavar="B", help="model to compare with, instead of the stored grades"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Return 0 when all is done, for a proof only if every set is equal byte for byte."""
    try:
        if args.proved is not None:
            if args.model or args.compare:
                return _fault("--model and --compare go with --session, --child or --all")
            return _prove(args.proved, as_json=args.json)
        if args.model is None:
            return _fault("name the --model to grade with")
        return _regrade(args)
    except AppError as error:
        return _fault(error.message)


def _fault(text: str) -> int:
    print(f"rescore: {text}", file=sys.stderr)
    return 2


def _with_store(work: Callable[[PlayRepo], Awaitable[T]]) -> T:
    settings = load_settings()

    async def connected() -> T:
        mongo = open_mongo(settings)
        try:
            return await work(PlayRepo(mongo.database))
        finally:
            await mongo.close()

    return run_loop(connected())


def _prove(session_id: str, *, as_json: bool) -> int:
    sets = _with_store(lambda repo: rescore_session(repo, catalogue(), session_id))
    equal = all(one.equal for one in sets)
    if as_json:
        found = [{"set_no": one.set_no, "equal": one.equal} for one in sets]
        print(json.dumps({"session_id": session_id, "equal": equal, "sets": found}))
    else:
        Console().print(_proof_table(session_id, sets))
    return 0 if equal else 1


def _regrade(args: argparse.Namespace) -> int:
    model = ModelChoice(grading_models(), args.model)
    other = ModelChoice(grading_models(), args.compare) if args.compare else None
    failures: dict[str, str] = {}

    async def work(repo: PlayRepo) -> tuple[list[Row], int]:
        if args.session is not None:
            ids = [args.session]
        else:
            ids = await repo.list_session_ids(args.child)
        found: list[Row] = []
        added = 0
        for session_id in ids:
            try:
                sets = await regrade_session(repo, catalogue(), session_id, model, other)
            except AppError as error:
                if args.session is not None:
                    raise
                failures[session_id] = error.message
                continue
            records = [one.again for one in sets]
            records += [one.other for one in sets if one.other is not None]
            added += await repo.add_rescored([rescored_document(record) for record in records])
            # Only the comparison is kept: the records of every session would not fit.
            found += [one.as_dict() for one in sets]
        return found, added

    found, added = _with_store(work)
    if args.json:
        report = {
            "sets": found,
            "summary": _summary(found, added),
            "failures": failures,
        }
        print(json.dumps(report, ensure_ascii=False))
    else:
        _show(found, added, failures)
    return 1 if failures else 0


def _summary(found: list[Row], added: int) -> dict[str, Any]:
    changes = [row["change"] for row in found if row["change"] is not None]
    return {
        "sets": len(found),
        "changed": sum(change != 0 for change in changes),
        "mean_change": round(sum(changes) / len(changes), 2) if changes else None,
        "flipped_reps": sum(len(row["flips"]) for row in found),
        "added": added,
    }


def _show(found: list[Row], added: int, failures: dict[str, str]) -> None:
    console = Console()
    table = Table(title="re-scored sets")
    for name in ("session", "set", "motion", "side", "model", "against"):
        table.add_column(name)
    for name in ("before", "after", "change"):
        table.add_column(name, justify="right")
    table.add_column("repetitions that flip")
    for row in found:
        change = row["change"]
        colour = "dim" if not change else "green" if change > 0 else "red"
        table.add_row(
            row["session_id"],
            str(row["set_no"]),
            row["motion"],
            row["side"],
            row["model"],
            row["against"] or "-",
            _number(row["before"]),
            _number(row["after"]) if row["after"] is not None else str(row["reason"]),
            "-" if change is None else f"[{colour}]{change:+.1f}[/]",
            ", ".join(
                f"{f['rep_no']}: {f['stored'] or '-'} > {f['again'] or '-'}" for f in row["flips"]
            ),
        )
    console.print(table)
    told = _summary(found, added)
    console.print(
        f"{told['sets']} sets, {told['changed']} grades change, {told['flipped_reps']} repetitions "
        f"flip; {told['added']} records added beside the old ones"
    )
    for session_id, message in failures.items():
        console.print(f"[red]{session_id}[/]: {message}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _proof_table(session_id: str, sets: list[Comparison]) -> Table:
    table = Table(title=f"session {session_id}")
    for name in ("set", "motion", "grade stored", "grade again", "reps stored", "reps again", ""):
        table.add_column(name)
    for one in sets:
        stored, again = one.stored or {}, one.again or {}
        table.add_row(
            str(one.set_no),
            str((stored or again)["motion"]["id"]),
            str(stored.get("grade")),
            str(again.get("grade")),
            str(len(stored.get("reps", []))),
            str(len(again.get("reps", []))),
            "[green]equal[/]" if one.equal else "[red]different[/]",
        )
    return table
