"""`gemgem score`: score a recording from a file as a set of a session is scored."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from models.catalog.library import motion_library
from models.errors import AppError
from models.grading.library import grading_models
from sessions.kinematics import PALM_FRACTION, age_band, hand_length
from sessions.motions import motion_plan
from sessions.record import play_record
from sessions.recordings import Hints, Recording, RecordingError, load_recording
from sessions.regrade import STANDARD, ModelChoice
from sessions.scoring.batch import Batch
from sessions.scoring.plan import SetPlan

_WIDTH = 120
"""Columns of the tables where no terminal says how wide it is."""
_REP_COLUMNS = (
    *("rep_no", "class", "t_on", "duration", "amplitude", "completeness", "peak_speed"),
    *("sparc", "shape", "timing_error"),
)


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "score",
        help="score a recording",
        description="Score a recording of one hand as one set. RECORDING is an .npz with `lm` "
        "(n, 21, 3) and `t_us` (and if it likes `side`, `score`, `mirrored`, `aspect`), an .npy of "
        "landmarks, or a file of binary frame messages, each after its length as a little-endian "
        "u32. Landmarks are metres (world) or shares of the picture (image).",
    )
    parser.add_argument("recording", type=Path, metavar="RECORDING")
    parser.add_argument("--motion", required=True, choices=sorted(motion_library().latest))
    parser.add_argument("--side", required=True, choices=("left", "right"), help="the hand asked")
    parser.add_argument("--space", default="world", choices=("world", "image"))
    parser.add_argument(
        "--model", default=STANDARD, metavar="ID", help="grading model: ID or ID@VERSION"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--array", metavar="NAME", help="array of an .npz that holds several")
    parser.add_argument("--fps", type=float, help="frames per second, where no times are told")
    parser.add_argument("--mirrored", action="store_true", help="the pictures were mirrored")
    parser.add_argument("--aspect", type=float, help="width by height of the pictures")
    parser.add_argument("--asked", type=int, default=0, metavar="N", help="repetitions asked")
    parser.add_argument("--hold", type=float, metavar="SECONDS", help="length of the hold asked")
    parser.add_argument("--age", type=float, help="age of the child in years")
    parser.add_argument("--rest", type=float, help="x at rest, instead of the motion's own")
    parser.add_argument("--target", type=float, help="x to reach, instead of the motion's own")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Return 0 when the recording was scored, 2 when it could not be."""
    hints = Hints(args.side, args.mirrored, args.fps, args.aspect, args.array)
    try:
        model = ModelChoice(grading_models(), args.model).for_motion(args.motion)
        if model is None:
            return _fault(f"model {args.model} is for another motion")
        found = load_recording(args.recording, args.space, hints)
        record = _scored(args, found, model)
    except OSError as error:
        return _fault(f"{args.recording}: {error.strerror or error}")
    except (RecordingError, AppError, ValueError) as error:
        return _fault(f"{args.recording}: {error}")
    if args.json:
        print(json.dumps(record, ensure_ascii=False))
    else:
        _show(record)
    return 0


def _fault(text: str) -> int:
    print(f"score: {text}", file=sys.stderr)
    return 2


def _scored(args: argparse.Namespace, found: Recording, model: Any) -> dict[str, Any]:
    definition = motion_library().get(args.motion)
    defaults = definition.default_anchors(args.space)
    own = args.rest is not None or args.target is not None
    rest = defaults.rest if args.rest is None else args.rest
    target = defaults.target if args.target is None else args.target
    motion = motion_plan(args.motion, space=args.space)
    palm_mm = None if args.age is None else 1000.0 * PALM_FRACTION * hand_length(args.age)
    plan = SetPlan(
        motion=motion,
        side=args.side,
        space=args.space,
        fps=found.fps,
        guide_t0_us=found.begin_us,
        guide_period_us=motion.period_us,
        rest=rest,
        target=target,
        palm_mm=palm_mm,
    )
    batch = Batch(1)
    slot = batch.open(plan)
    batch.feed(found.columns)
    return play_record(
        session_id=args.recording.name,
        set_no=1,
        start={
            "set_no": 1,
            "motion": args.motion,
            "side": args.side,
            "asked_reps": args.asked,
            "asked_hold_s": args.hold,
            "guide_t0_us": plan.guide_t0_us,
        },
        context={
            "anchors": {"rest": rest, "target": target, "source": "goal" if own else "default"},
            "guide_period_us": plan.guide_period_us,
            "age_band": None if args.age is None else age_band(args.age),
        },
        measures=batch.close(slot),
        model=model,
        unfinished=False,
    )


def _show(record: dict[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    grade = record["grade"] if record["grade"] is not None else record["grade_reason"]
    model = record["model"]
    console.print(
        f"[bold]{record['motion']['id']}[/], {record['side']} hand, {_told(record['duration'])} s: "
        f"grade [bold]{grade}[/] by {model['id']}@{model['version']}, stars {record['stars']}"
        + (f"  [red]{', '.join(record['flags'])}[/]" if record["flags"] else "")
    )
    if record["reps"]:
        table = Table(title="repetitions")
        for name in _REP_COLUMNS:
            table.add_column(name, justify="right")
        for rep in record["reps"]:
            cells = [_told(rep[name]) for name in _REP_COLUMNS]
            cells[1] += f" ({rep['reason']})" if "reason" in rep else ""
            table.add_row(*cells)
        console.print(table)
    table = Table(title="indicators")
    for name in ("key", "raw", "unit", "score", "weight", "reason"):
        table.add_column(name, justify="right")
    for one in record["indicators"]:
        table.add_row(*(_told(one[name]) for name in ("key", "raw", "unit")), *_rest(one))
    console.print(table)
    for title in ("metrics", "quality", "verdicts", "rom"):
        table = Table(title=title, show_header=False)
        for name, value in record[title].items():
            if value or title != "verdicts":
                table.add_row(name, _told(value))
        console.print(table)


def _rest(indicator: dict[str, Any]) -> tuple[str, str, str]:
    return _told(indicator["score"]), _told(indicator["weight"]), _told(indicator["reason"])


def _told(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
