"""A set in the middle as bytes: it goes on in another batch, of another process, to the last bit.

A snapshot fits the layout it was made by. Every field of the state, its type and its shape take
part in the number that names the layout, so that a build with another one refuses the snapshot
and scores the set again from its frames.
"""

from hashlib import sha256
from typing import Any, Final

import msgpack
import numpy as np

from sessions.scoring.layout import FIELDS, RINGS
from sessions.scoring.plan import SCHEMA, SetPlan
from sessions.scoring.rounds import AnyBook
from sessions.scoring.state import State

VERSION: Final = 2
"""Raised when the same fields come to mean something else."""


class SnapshotError(ValueError):
    """A snapshot that cannot be taken up: damaged, of another layout, or of another set."""


def _layout() -> str:
    """Name of what `packed` writes, the same for the same fields."""
    shapes = [
        (name, np.dtype(kind).str, before, after)
        for name, (kind, before, after) in sorted((FIELDS | RINGS).items())
    ]
    told = repr((VERSION, SCHEMA, shapes)).encode()
    return sha256(told).hexdigest()[:16]


LAYOUT: Final = _layout()


def packed(state: State, slot: int, book: AnyBook) -> bytes:
    """Bytes of the set in a slot."""
    plan = book.plan
    data: bytes = msgpack.packb(
        {
            "layout": LAYOUT,
            "set": _identity(plan),
            "anchors": [plan.rest, plan.target],
            "state": state.dump(slot),
            "book": book.dump(),
        }
    )
    return data


def unpacked(plan: SetPlan, data: bytes) -> dict[str, Any]:
    """What a snapshot holds, checked against the plan of the set that it should be of.

    Raises:
        SnapshotError: it does not fit.
    """
    try:
        found = msgpack.unpackb(data)
        layout, identity = found["layout"], found["set"]
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise SnapshotError(f"not a snapshot of a set: {error}") from None
    if layout != LAYOUT:
        raise SnapshotError(f"layout {layout} is not {LAYOUT}")
    if identity != _identity(plan):
        raise SnapshotError("the snapshot is of another set")
    held: dict[str, Any] = found
    return held


def _identity(plan: SetPlan) -> list[Any]:
    """What must be the same on both sides; anchors may have moved since the set began."""
    return [
        plan.motion.sha256,
        plan.side,
        plan.space,
        plan.fps,
        plan.guide_t0_us,
        plan.guide_period_us,
        plan.palm_mm,
    ]
