"""How near the scores of many simulated children come to their truth; run by scripts/accuracy."""

import argparse
import dataclasses
import json
from collections.abc import Iterator
from statistics import median
from typing import Any

import numpy as np

from models.catalog.library import motion_library
from sessions.synthetic import ChildParameters, SimulatedSet, play_set, sample_child
from tests.sessions.played import measured

REPS = 8
TIRED_REPS = 10
TOGETHER = 50
LATE_US = 150_000
"""A peak is found so long after the true repetition's end at most: the filter lags."""


def main() -> None:
    """Print the table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("motions", nargs="*", metavar="MOTION")
    parser.add_argument("--seeds", type=int, default=200, help="children of each kind")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    library = motion_library().latest
    names = args.motions or [n for n, m in library.items() if m.kind in ("reps", "tap")]
    found = {name: accuracy(name, args.seeds) for name in names}
    if args.json:
        print(json.dumps(found))
        return
    print(f"{'':8}exact up to 1 mm   at 1 mm   amplitude off   at 1 mm   fatigue sign")
    for name, row in found.items():
        print(
            f"{name:8}{row['exact']:15.1%}{row['exact_1mm']:11.1%}{row['amplitude_off']:15.1%}"
            f"{row['amplitude_off_1mm']:11.1%}{row['fatigue_sign']:13.1%}"
        )


def accuracy(motion: str, seeds: int) -> dict[str, float]:
    """Return shares of sets counted exactly, errors of the amplitude, right fatigue signs."""
    exact, off = counting(motion, seeds, None)
    exact_1mm, off_1mm = counting(motion, seeds, 1.0)
    return {
        "exact": exact,
        "exact_1mm": exact_1mm,
        "amplitude_off": off,
        "amplitude_off_1mm": off_1mm,
        "fatigue_sign": fatigue(motion, seeds),
    }


def counting(motion: str, seeds: int, noise_mm: float | None) -> tuple[float, float]:
    """Return the share of sets whose repetitions are the true ones, and the error of amplitudes.

    The noise is 0.4 to 1 mm unless it is given; the error is the median over the sets.
    """
    exact, off = 0, []
    for one, result in _played(motion, _children(seeds, noise_mm, 0.5), REPS):
        reps = result["reps"]
        exact += (
            len(reps) == REPS
            and all(rep["class"] in ("full", "partial") for rep in reps)
            and all(
                true.start_us < rep["t_us"] < true.end_us + LATE_US
                for true, rep in zip(one.reps, reps, strict=True)
            )
        )
        told = result["metrics"]["amplitude_med"]
        if told is not None:
            off.append(abs(told / median(true.amplitude for true in one.reps) - 1.0))
    return exact / seeds, median(off)


def fatigue(motion: str, seeds: int) -> float:
    """Return the share of sets of children who lose 2 to 4 % a repetition that say so."""
    rng = np.random.default_rng(2)
    children = [
        dataclasses.replace(
            child, fatigue=float(rng.uniform(2, 4)), rep_jitter=float(rng.uniform(0.04, 0.1))
        )
        for child in _children(seeds, None, 0.6)
    ]
    signs = [
        bool((result["metrics"]["fatigue"] or 0.0) < 0.0)
        for _, result in _played(motion, children, TIRED_REPS)
    ]
    return sum(signs) / seeds


def _children(seeds: int, noise_mm: float | None, rom: float) -> list[ChildParameters]:
    rng = np.random.default_rng(1)
    return [
        dataclasses.replace(sample_child(rng, noise_mm=noise_mm), rom=float(rng.uniform(rom, 1.0)))
        for _ in range(seeds)
    ]


def _played(
    motion: str, children: list[ChildParameters], reps: int
) -> Iterator[tuple[SimulatedSet, dict[str, Any]]]:
    definition = motion_library().get(motion)
    for at in range(0, len(children), TOGETHER):
        sets = [
            play_set(child, definition, reps=reps, seed=at + k)
            for k, child in enumerate(children[at : at + TOGETHER])
        ]
        yield from zip(sets, measured(sets), strict=True)


if __name__ == "__main__":
    main()
