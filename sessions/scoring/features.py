"""The 44 features of a hand, schema `hand44-1`: angles in degrees, distances in palm lengths."""

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sessions.scoring.palm import (
    Palm,
    Reals,
    cross,
    dot,
    in_palm,
    landmarks,
    looped,
    norm,
    padded,
    palm_of,
)
from sessions.scoring.plan import FEATURES, Side

FINGERS = ("index", "middle", "ring", "little")

BEND = slice(0, 15)
MCP_FLEX = slice(15, 19)
MCP_ABD = slice(19, 23)
PIP_FLEX = slice(23, 27)
DIP_FLEX = slice(27, 31)
OPP = slice(31, 35)
APERTURE = 35
SPREAD = 36
ROLL = 37
WAVE = 38
TAM = slice(39, 43)
CURL = 43

NAMES: tuple[str, ...] = (
    *(f"bend_thumb_{joint}" for joint in ("cmc", "mcp", "ip")),
    *(f"bend_{finger}_{joint}" for finger in FINGERS for joint in ("mcp", "pip", "dip")),
    *(f"{angle}_{f}" for angle in ("mcp_flex", "mcp_abd", "pip_flex", "dip_flex") for f in FINGERS),
    *(f"opp_{finger}" for finger in FINGERS),
    *("aperture", "spread", "roll", "wave"),
    *(f"tam_{finger}" for finger in FINGERS),
    "curl",
)
"""Name of every feature by its index."""

_ANGLES = 34
"""Rows of the one arctan2: the 31 joint angles in feature order, then aperture, roll, wave."""
_HINGE_MIN = 0.2
"""Below this length the hinge axis is noise: the angle is taken without its sign."""
_VIEW_MIN = 0.2
"""Below this the fingers point at the camera and the forearm's turn cannot be seen."""


def turn_seen(palm: Palm) -> NDArray[np.bool_]:
    """(N,) whether the fingers point far enough past the camera to show the forearm's turn."""
    distal = palm.y[2]
    return np.asarray(1.0 - distal * distal >= _VIEW_MIN * _VIEW_MIN)


def hand_features(coordinates: Reals) -> Reals:
    """Features of N hands at one instant each.

    Args:
        coordinates: (64, N) as `in_palm` gives them, filtered or not.

    Returns:
        (44, N) features, `roll` within -180..180 and not unwrapped.
    """
    n = coordinates.shape[-1]
    q = landmarks(coordinates)
    num = np.empty((_ANGLES, n), q.dtype)
    den = np.empty((_ANGLES, n), q.dtype)

    around = np.empty((5, *q.shape[1:]), q.dtype)
    bones = around[:3]
    bones[:, :, 0] = q[:, :, 0]
    np.subtract(q[:, :, 1:], q[:, :, :-1], out=bones[:, :, 1:])
    around[3:] = bones[:2]
    turn = cross(around[:, :, :3], around[:, :, 1:])
    sine = norm(turn)
    cosine = dot(bones[:, :, :3], bones[:, :, 1:])
    num[BEND] = sine.reshape(15, n)
    den[BEND] = cosine.reshape(15, n)

    d = bones[:, 1:, 1]
    num[MCP_FLEX] = d[2]
    den[MCP_FLEX] = d[1]
    num[MCP_ABD] = d[0]
    den[MCP_ABD] = np.sqrt(d[1] * d[1] + d[2] * d[2])

    # The hinge of PIP and DIP: the radial axis made perpendicular to the proximal phalanx.
    unit = d / np.maximum(norm(d), 1e-12)
    hinge = -unit[0] * unit
    hinge[0] += 1.0
    length = norm(hinge)
    hinge /= np.maximum(length, 1e-12)
    seen = length >= _HINGE_MIN
    bent = np.where(seen[:, None], dot(turn[:, 1:, 1:], hinge[:, :, None]), sine[1:, 1:])
    num[PIP_FLEX], num[DIP_FLEX] = bent[:, 0], bent[:, 1]
    den[PIP_FLEX], den[DIP_FLEX] = cosine[1:, 1], cosine[1:, 2]

    thumb, tips = q[:, 0, 3], q[:, 1:, 3]
    num[31] = norm(cross(looped(thumb), looped(tips[:, 0])))
    den[31] = dot(thumb, tips[:, 0])
    # (r x n).y and r.n with r the view direction made perpendicular to y, multiplied out.
    num[32] = coordinates[60]
    np.negative(coordinates[61], out=den[32])
    num[33] = coordinates[62]
    np.negative(coordinates[63], out=den[33])

    angles = np.arctan2(num, den, out=num)
    angles *= 180.0 / np.pi
    out = np.empty((FEATURES, n), q.dtype)
    out[:31] = angles[:31]
    out[OPP] = norm(thumb[:, None] - tips)
    out[APERTURE], out[ROLL], out[WAVE] = angles[31], angles[32], angles[33]
    np.subtract(out[MCP_ABD.start], out[MCP_ABD.stop - 1], out=out[SPREAD])
    tam = out[TAM]
    np.add(out[MCP_FLEX], out[PIP_FLEX], out=tam)
    tam += out[DIP_FLEX]
    curl = np.add(tam[0], tam[1], out=out[CURL])
    curl += tam[2]
    curl += tam[3]
    curl *= 0.25
    return out


def features_of(
    points: Reals,
    *,
    side: Side,
    mirrored: bool = False,
    dtype: DTypeLike = np.float64,
) -> Reals:
    """Features of one hand over time, unfiltered: for guides, calibration and reference values.

    Args:
        points: (n, 21, 3) finite landmarks in camera axes, metres or any other equal unit.
        side: anatomical side of the hand.
        mirrored: whether the picture was mirrored.
        dtype: float64 or float32, of the whole computation.

    Returns:
        (n, 44), `roll` unwrapped along n; where it cannot be seen the last value seen is held,
        before any was seen the first one.
    """
    n = len(points)
    hand = np.zeros((3, 21, padded(n)), dtype)
    hand[:, :, :n] = np.asarray(points).transpose(2, 1, 0)
    if (side == "left") != mirrored:
        np.negative(hand[0], out=hand[0])
    a = (hand[:, 1:] - hand[:, :1]).reshape(3, 5, 4, -1)
    palm = palm_of(a)
    out = hand_features(in_palm(a, palm))
    features: Reals = np.ascontiguousarray(out[:, :n].T)
    if n:
        features[:, ROLL] = _unwrapped(features[:, ROLL], turn_seen(palm)[:n])
    return features


def _unwrapped(roll: Reals, seen: NDArray[np.bool_]) -> Reals:
    """Continuous roll; unseen values take the last seen one, leading ones the first."""
    if not seen.any():
        return np.zeros_like(roll)
    known = np.maximum.accumulate(np.where(seen, np.arange(len(roll)), -1))
    held = roll[np.where(known < 0, int(seen.argmax()), known)]
    turns = np.zeros_like(held)
    turns[1:] = np.cumsum(np.rint(np.diff(held) / -360.0))
    return held + 360.0 * turns
