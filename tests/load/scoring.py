"""How fast the scoring is: run by `scripts/bench scoring [--json]`.

All times are CPU time of this thread, so that other work on the machine counts little. All hands
play the same fists with noise of their own; ticks in which repetitions close are told apart, since
closing is not part of the frame stage.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from models.catalog.library import motion_library
from sessions.frames import FrameMessage, decode, encode
from sessions.motions import motion_plan
from sessions.scoring.batch import Batch
from sessions.scoring.intake import Columns
from sessions.scoring.marks import Rep
from sessions.scoring.plan import SetPlan
from sessions.synthetic import ChildParameters, play_set
from tests.load.plain import PlainHand

SIZES = (1, 10, 100, 1000)
TOGETHER = (1, 4, 10)
"""Repetitions that close in one tick."""
REACH = {1: 450.0, 10: 45.0, 100: 6.0, 1000: 2.5}
"""Microseconds of CPU a hand-frame may take."""
RATIO = 150.0
TICK_MS = 5.0
CLOSING_MS = {1: 0.7, 4: 0.3, 10: 0.2}
HAND_BYTES = 64_000
SPOILT = 1.7


def fist_plan() -> SetPlan:
    """The set that every hand plays."""
    motion = motion_plan("fist")
    return SetPlan(motion, "right", "world", 30.0, 0, motion.period_us, 7.0, 248.0)


def fists(reps: int) -> NDArray[np.void]:
    """Records of one hand."""
    child = ChildParameters(landmark_noise_mm=0.5, dropout_rate=0.0)
    return play_set(child, motion_library().get("fist"), reps=reps, seed=3).records()


def ticks(
    hands: int, records: NDArray[np.void], seed: int = 0, noise: int = 20
) -> list[list[FrameMessage]]:
    """One message of one record for every hand, tick after tick; noise in steps of the codec."""
    rng = np.random.default_rng(seed)
    out = []
    for record in records:
        many = np.repeat(record[None], hands)
        many["lm"] += rng.integers(-noise, noise + 1, many["lm"].shape, np.int16)
        out.append([decode(encode("world", 0, 0, 640, 480, many[i : i + 1])) for i in range(hands)])
    return out


@dataclass(frozen=True, slots=True)
class Run:
    """One run over a set; CPU seconds."""

    ticks: list[float]
    """Of those in which no repetition closed."""
    closing: list[float]
    """Beyond those, a closed repetition, of the ticks in which all hands had one."""


def run(hands: int, made: Sequence[Sequence[FrameMessage]]) -> Run:
    """Score a set of all hands, timing every tick."""
    batch = Batch(hands)
    slots = [batch.open(fist_plan()) for _ in range(hands)]
    plain, closing = [], []
    for messages in made:
        work = list(zip(slots, messages, strict=True))
        begin = time.thread_time()
        marks = batch.step(work)
        spent = time.thread_time() - begin
        closed = sum(isinstance(mark, Rep) for mark in marks)
        if not marks:
            plain.append(spent)
        elif closed:
            closing.append((spent, closed))
    usual = median(plain)
    return Run(plain, [(spent - usual) / closed for spent, closed in closing if closed == hands])


def closing_ms(records: NDArray[np.void], repeats: int) -> dict[str, float]:
    """CPU milliseconds a closing repetition takes, by how many close in one tick."""
    found = {}
    for hands in TOGETHER:
        made = ticks(hands, records, noise=0)
        each = [one for _ in range(repeats) for one in run(hands, made).closing]
        found[str(hands)] = round(1e3 * median(each), 4)
    return found


def spoilt_factor(repeats: int = 3, hands: int = 1000) -> float:
    """What a tick costs when a landmark in 20 slots is no number, in ticks without."""
    records = fists(2)[:60]
    count = np.arange(hands)
    spent: dict[bool, list[float]] = {False: [], True: []}
    for spoilt in (False, True) * repeats:
        batch = Batch(hands)
        slots = np.array([batch.open(fist_plan()) for _ in range(hands)])
        for k, record in enumerate(records):
            lm = np.repeat(record["lm"][None].astype(np.float32), hands, axis=0)
            lm += (count % 7).astype(np.float32)[:, None, None]
            if spoilt:
                lm[k % 20 :: 20, 4] = np.nan
            columns = Columns(
                work=np.zeros(hands, np.intp),
                slot=slots,
                t_us=np.full(hands, int(record["dt"])),
                counter=np.full(hands, k),
                side=np.ones(hands, np.uint8),
                flags=np.zeros(hands, np.uint8),
                score=np.full(hands, 255, np.uint8),
                unit=np.full(hands, 1e-5),
                aspect=np.ones(hands),
                lm=lm,
            )
            begin = time.thread_time()
            batch.feed(columns)
            spent[spoilt].append(time.thread_time() - begin)
    return median(spent[True]) / median(spent[False])


def plain_us(records: NDArray[np.void]) -> float:
    """Microseconds a frame of the plain reference takes, the best of a few runs."""
    found = []
    for _ in range(3):
        hand = PlainHand(fist_plan())
        begin = time.thread_time()
        for record in records:
            hand.frame(int(record["dt"]), int(record["score"]), record["lm"])
        found.append((time.thread_time() - begin) / len(records))
    return 1e6 * min(found)


def measured(
    sizes: Sequence[int] = SIZES, repeats: int = 5, seconds: float = 9.0
) -> dict[str, Any]:
    """Everything the command tells: medians, and best and worst of the repeated runs."""
    records = fists(max(2, round(seconds / 3.0)))
    us: dict[str, dict[str, float]] = {}
    largest: list[float] = []
    reference = plain_us(records)
    for hands in sizes:
        made = ticks(hands, records)
        found = []
        for _ in range(repeats):
            one = run(hands, made)
            found.append(1e6 * median(one.ticks) / hands)
            if hands == max(sizes):
                largest += one.ticks
        us[str(hands)] = {"median": median(found), "min": min(found), "max": max(found)}
    batch = Batch(1)
    batch.open(fist_plan())
    top = str(max(sizes))
    return {
        "us_per_frame": {size: round(each["median"], 3) for size, each in us.items()},
        "us_per_frame_min": {size: round(each["min"], 3) for size, each in us.items()},
        "us_per_frame_max": {size: round(each["max"], 3) for size, each in us.items()},
        f"ratio_vs_plain_{top}": round(reference / us[top]["median"], 1),
        "us_per_frame_plain": round(reference, 1),
        f"tick_p99_ms_{top}": round(1e3 * float(np.percentile(largest, 99)), 3),
        "closing_ms": closing_ms(records, 4 * repeats),
        "bytes_per_hand": batch.bytes_per_hand(),
        "spoilt_factor": round(spoilt_factor(hands=max(sizes)), 2),
    }


def show(found: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(title="scoring: CPU microseconds a hand-frame")
    for name in ("hands a tick", "median", "best", "worst", "at most"):
        table.add_column(name, justify="right")
    for size, us in found["us_per_frame"].items():
        best, worst = found["us_per_frame_min"][size], found["us_per_frame_max"][size]
        most = REACH[int(size)]
        told = f"[{'green' if us <= most else 'red'}]{us:.2f}[/]"
        table.add_row(size, told, f"{best:.2f}", f"{worst:.2f}", f"{most:.1f}")
    console = Console()
    console.print(table)
    rest = Table(show_header=False)
    plain = f"{found['us_per_frame_plain']} us a frame, one hand at a time"
    closing = [
        (f"a closing repetition, of {n} at once", f"{found['closing_ms'][str(n)]} ms", most)
        for n, most in ((n, f"at most {ms} ms") for n, ms in CLOSING_MS.items())
    ]
    for name, value, note in (
        ("plain numpy", plain, ""),
        ("times quicker at 1000", found["ratio_vs_plain_1000"], f"at least {RATIO:.0f}"),
        ("tick at 1000, p99", f"{found['tick_p99_ms_1000']} ms", f"at most {TICK_MS} ms"),
        *closing,
        ("5 % of slots no numbers", f"{found['spoilt_factor']} times", f"at most {SPOILT}"),
        ("memory a hand", f"{found['bytes_per_hand']} bytes", f"at most {HAND_BYTES}"),
    ):
        rest.add_row(name, str(value), note)
    console.print(rest)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench scoring", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each size")
    args = parser.parse_args()
    found = measured(repeats=args.repeats)
    if args.json:
        print(json.dumps(found))
    else:
        show(found)


if __name__ == "__main__":
    main()
