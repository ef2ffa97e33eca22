"""Frame verdicts: what becomes of each record, first matching rule first, all of them counted."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.palm import Reals

VERDICTS: Final = (
    "other_hand",
    "absent",
    "nonfinite",
    "range",
    "palm_size",
    "palm_degenerate",
    "low_confidence",
    "out_of_order",
    "duplicate",
    "jump",
    "accepted_gap",
    "accepted",
)
"""Every verdict in the order in which the rules are tried."""
(
    OTHER_HAND,
    ABSENT,
    NONFINITE,
    RANGE,
    PALM_SIZE,
    PALM_DEGENERATE,
    LOW_CONFIDENCE,
    OUT_OF_ORDER,
    DUPLICATE,
    JUMP,
    ACCEPTED_GAP,
    ACCEPTED,
) = range(len(VERDICTS))

REACH: Final = (0.5, 4.0)
"""Largest coordinate of world (m) and image (picture heights) landmarks."""
PALM_MIN: Final = 0.02
PALM_MAX: Final = (0.25, 2.0)
"""Largest palm of world (m) and image (picture heights) landmarks."""
SCORE_MIN: Final = 127.5
"""Half of a full confidence, in steps of `score`."""
DUPLICATE_US: Final = 1_000
JUMP_US: Final = 100_000
JUMP_SCALE: Final = 0.4
JUMPS_MAX: Final = 2
"""So many frames in a row may be dropped as jumps; then the hand really is that near or far."""
GAP_US: Final = 500_000
"""After a longer pause nothing of the past is believed."""

Verdict = NDArray[np.int8]

# As arrays: numpy turns a Python number into one each time that it meets it, and that takes as
# long as the comparison of all hands of a tick.
_ACCEPTED = np.array(ACCEPTED, np.int8)
_SURE = np.array(np.ceil(SCORE_MIN), np.uint8)
_PALM_MIN = np.array(PALM_MIN, np.float32)
_PALM_MAX = np.array(PALM_MAX, np.float32)
_PALM_MAX_WORLD = np.array(PALM_MAX[0], np.float32)
_DUPLICATE_US = np.array(DUPLICATE_US)
_GAP_US = np.array(GAP_US)
_JUMP_SCALE = np.array(JUMP_SCALE, np.float32)


def judge_alone(
    wrong: Sequence[tuple[int, NDArray[np.bool_]]],
    scale: Reals,
    degenerate: NDArray[np.bool_],
    score: NDArray[np.uint8],
    image: NDArray[np.bool_],
) -> Verdict:
    """(N,) verdicts by the rules that need nothing but the record; `ACCEPTED` if all are kept.

    Args:
        wrong: verdicts by the first rules and the (N,) records that have each, in their order.
        scale: (N,) palm sizes; `degenerate` where the palm is a line.
        score: (N,) confidence.
        image: (N,) whether the landmarks are of the image space.
    """
    out = np.empty(scale.shape, np.int8)
    out.fill(ACCEPTED)
    size = scale < _PALM_MIN
    size |= scale > (_PALM_MAX.take(image) if np.count_nonzero(image) else _PALM_MAX_WORLD)
    last = (PALM_SIZE, size), (PALM_DEGENERATE, degenerate), (LOW_CONFIDENCE, score < _SURE)
    for verdict, found in reversed((*wrong, *last)):
        if np.count_nonzero(found):
            out[found] = verdict
    return out


def unremarkable(
    alone: Verdict,
    since_us: NDArray[np.int64],
    same_picture: NDArray[np.bool_],
    growth: Reals,
    begun: NDArray[np.bool_],
) -> bool:
    """Whether `judge_after` would find every record `ACCEPTED` at a glance; as it takes them."""
    sound = begun & (alone == _ACCEPTED)
    sound &= since_us >= _DUPLICATE_US
    sound &= since_us <= _GAP_US
    sound &= np.abs(growth) <= _JUMP_SCALE
    sound &= ~same_picture
    return bool(np.count_nonzero(sound) == len(sound))


def judge_after(
    alone: Verdict,
    since_us: NDArray[np.int64],
    same_picture: NDArray[np.bool_],
    growth: Reals,
    jumps: NDArray[np.int8],
    begun: NDArray[np.bool_],
) -> Verdict:
    """(N,) verdicts with the rules that compare with the last accepted frame of the hand.

    Args:
        alone: verdicts of `judge_alone`.
        since_us: time since the last accepted frame, microseconds.
        same_picture: the frame counter is that of the last accepted frame.
        growth: palm size by that of the last accepted frame, less 1.
        jumps: frames dropped as jumps since the last accepted one.
        begun: whether there is an accepted frame to compare with.
    """
    out = np.full(alone.shape, ACCEPTED, np.int8)
    out[since_us > GAP_US] = ACCEPTED_GAP
    leap = np.abs(growth) > JUMP_SCALE
    leap &= since_us < JUMP_US
    leap &= jumps < JUMPS_MAX
    out[leap] = JUMP
    out[(since_us < DUPLICATE_US) | same_picture] = DUPLICATE
    out[since_us < 0] = OUT_OF_ORDER
    out[~begun] = ACCEPTED
    kept = alone == ACCEPTED
    return np.where(kept, out, alone)
