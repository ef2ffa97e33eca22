"""How the state of a hand lies in memory: fields by name, and which of them share a row."""

from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.features import DIP_FLEX, FINGERS, MCP_FLEX, PIP_FLEX
from sessions.scoring.palm import COORDINATES
from sessions.scoring.verdicts import VERDICTS

JOINTS: Final = (
    *((f"thumb_{joint}", row) for row, joint in enumerate(("cmc", "mcp", "ip"))),
    *(
        (f"{finger}_{joint}", rows.start + i)
        for i, finger in enumerate(FINGERS)
        for joint, rows in (("mcp", MCP_FLEX), ("pip", PIP_FLEX), ("dip", DIP_FLEX))
    ),
)
"""Joints whose range of motion is kept, with the feature that is their angle."""
ANGLE_MIN: Final = -60
ANGLE_BINS: Final = 240
"""Bins of 1 degree from `ANGLE_MIN`; what lies outside counts in the outermost one."""

_I8, _I32, _I64 = np.int8, np.int32, np.int64
_F32, _F64 = np.float32, np.float64
REVERSAL: Final = np.dtype([("us", _I64), ("x", _F32), ("z", _F32), ("n", _I64)])
"""A `detector.Reversal`, its values in that order."""
FIELDS: Final[dict[str, tuple[Any, tuple[int, ...], tuple[int, ...]]]] = {
    "tuning": (_F32, (4,), ()),
    "anchors": (_F32, (2,), ()),
    "motion": (_I32, (), ()),
    "kind": (_I8, (), ()),
    "form": (_I8, (), ()),
    "levels": (_F32, (2,), ()),
    "side": (np.uint8, (), ()),
    "image": (np.bool_, (), ()),
    "uses_roll": (np.bool_, (), ()),
    "guide_t0": (_I64, (), ()),
    "guide_period": (_I64, (), ()),
    "ring_len": (_I64, (), ()),
    "ring_width": (_I64, (), ()),
    "pause_us": (_I64, (), ()),
    "begun": (np.bool_, (), ()),
    "last_us": (_I64, (), ()),
    "counter": (_I64, (), ()),
    "scale": (_F32, (), ()),
    "jumps": (_I8, (), ()),
    "fingerprint": (_F32, (), ()),
    "run": (_I64, (), ()),
    "frozen": (_I64, (), ()),
    "untimed": (_I64, (), ()),
    "filtered": (_F32, (), (COORDINATES,)),
    "speeds": (_F32, (), (COORDINATES,)),
    "roll": (_F32, (), ()),
    "turns": (_F32, (), ()),
    "roll_known": (np.bool_, (), ()),
    "phase": (_I8, (), ()),
    "pending": (np.bool_, (), ()),
    "rep_no": (_I64, (), ()),
    "settle_at": (_I64, (), ()),
    "reversals": (REVERSAL, (), (3,)),
    "inside": (np.bool_, (), ()),
    "held_us": (_I64, (), ()),
    "held_n": (_I64, (), ()),
    "touch": (_I8, (), ()),
    "touch_told": (np.bool_, (), ()),
    "touch_us": (_I64, (), ()),
    "deep": (_F32, (), ()),
    "frames": (_I64, (), ()),
    "signal_us": (_I64, (), ()),
    "z": (_F32, (), ()),
    "sim": (_F32, (), ()),
    "seen": (np.bool_, (), ()),
    "first_seen": (_I64, (), ()),
    "last_seen": (_I64, (), ()),
    "first_us": (_I64, (), ()),
    "gap_us": (_I64, (), ()),
    "counts": (_I64, (len(VERDICTS),), ()),
    "tally": (_I64, (), (3,)),
    "x_min": (_F32, (), ()),
    "x_max": (_F32, (), ()),
    "sums": (_F64, (), (26,)),
    "guide_at": (_I64, (), ()),
    "hist": (np.uint32, (), (len(JOINTS), ANGLE_BINS)),
}
"""By name: dtype, axes before the slot, axes after it. Values read by the batched arithmetic have
the slot last, so that a gather yields the layout of the batch; rows of one hand have it first."""
RINGS: Final[dict[str, tuple[Any, tuple[int, ...], tuple[int, ...]]]] = {
    "ring_us": (_I64, (), ()),
    "ring_x": (_F32, (), ()),
    "ring_z": (_F32, (), ()),
    "ring_f": (_F32, (), (1,)),
}
"""The same for what is kept of each frame, with an axis of frames after the slot; a last axis has
as many channels as the motion with the most."""


def ring_type(width: int) -> np.dtype[np.void]:
    """What is kept of a frame, as a row of so many channels."""
    kept = [(name, kind, (width,) * len(after)) for name, (kind, _, after) in RINGS.items()]
    return np.dtype(kept, align=True)


ROWS: Final[dict[str, tuple[str, ...]]] = {
    "terms": (
        *("guide_t0", "guide_period", "pause_us", "tuning", "anchors"),
        *("motion", "kind", "image", "uses_roll"),
    ),
    "past": (
        *("last_us", "counter", "run", "frozen", "untimed", "first_us", "gap_us"),
        *("scale", "fingerprint", "jumps", "begun"),
    ),
    "totals": ("sums", "tally", "x_min", "x_max"),
}
"""Fields that a frame needs together lie together, a row for each slot: many sessions take turns,
so every line of memory a frame touches has left the cache, and rows are the fewest lines."""
ROW_TYPES: Final = {
    rows: np.dtype(
        [(name, FIELDS[name][0], FIELDS[name][1] + FIELDS[name][2]) for name in names], align=True
    )
    for rows, names in ROWS.items()
}


def put_rows(rows: NDArray[Any], slot: NDArray[np.intp], values: NDArray[Any]) -> None:
    """Store `values`, which `rows.take(slot, axis=0)` gave, back.

    Args:
        rows: (slots, …) of structures or (slots, n) of numbers, without gaps between them.
        slot: (B,) different slots; where structures have more axes their places in all of them.
        values: (B,) or (B, n), without gaps as well.
    """
    # As plain bytes, a row in one go: numpy copies structured arrays field by field, ten times as
    # slow, and numbers one by one.
    plain = _plain(values.strides[0])
    rows.view(plain).put(slot, values.view(plain))


@cache
def _plain(size: int) -> np.dtype[np.void]:
    return np.dtype((np.void, size))
