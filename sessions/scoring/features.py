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

_SINGLE = slice(MCP_FLEX.start, DIP_FLEX.stop)
"""The angles of single joints of the four fingers."""

# Rows of the one arctan2: the bends of six fingers, of which the last has only the aperture; then
# the joints of the four fingers in the order of their features, PIP and DIP as `_HINGED`; then roll
# and wave.
_BENDS = slice(0, 18)
_APERTURE = 15
_FLEX = slice(18, 22)
_ABD = slice(22, 26)
_HINGED = slice(26, 34)
_TURNS = slice(34, 36)
_ANGLES = 36
_HINGE_MIN = 0.2
"""Below this length the hinge axis is noise: the angle is taken without its sign."""
_VIEW_MIN = 0.2
"""Below this the fingers point at the camera and the forearm's turn cannot be seen."""


def turn_seen(palm: Palm) -> NDArray[np.bool_]:
    """(N,) whether the fingers point far enough past the camera to show the forearm's turn."""
    distal = palm.axes[1, 2]
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

    # Beside the five fingers a sixth, bent between the thumb's tip and the index finger's.
    around = np.empty((5, 6, 4, n), q.dtype)
    bones = around[:3]
    bones[:, :5, 0] = q[:, :, 0]
    np.subtract(q[:, :, 1:], q[:, :, :-1], out=bones[:, :5, 1:])
    bones[:, 5, :2] = q[:, :2, 3]
    bones[:, 5, 2:] = 0.0
    around[3:] = bones[:2]
    turn = cross(around[:, :, :3], around[:, :, 1:])
    sine = norm(turn, out=num[_BENDS].reshape(6, 3, n))
    cosine = dot(bones[:, :, :3], bones[:, :, 1:], out=den[_BENDS].reshape(6, 3, n))

    d = bones[:, 1:5, 1]
    num[_FLEX], den[_FLEX] = d[2], d[1]
    squares = d * d
    num[_ABD] = d[0]
    np.sqrt(squares[1] + squares[2], out=den[_ABD])

    # The hinge of PIP and DIP: the radial axis made perpendicular to the proximal phalanx.
    squares[0] += squares[1]
    squares[0] += squares[2]
    size = np.sqrt(squares[0], out=squares[0])
    unit = d / np.maximum(size, 1e-12, out=size)
    hinge = -unit[0] * unit
    hinge[0] += 1.0
    length = norm(hinge)
    unsure = length < _HINGE_MIN
    hinge /= np.maximum(length, 1e-12, out=length)
    bent = num[_HINGED].reshape(2, 4, n).swapaxes(0, 1)
    dot(turn[:, 1:5, 1:], hinge[:, :, None], out=bent)
    np.copyto(bent, sine[1:5, 1:], where=unsure[:, None])
    den[_HINGED].reshape(2, 4, n).swapaxes(0, 1)[...] = cosine[1:5, 1:]

    # (r x n).y and r.n with r the view direction made perpendicular to y, multiplied out.
    num[_TURNS] = coordinates[60::2]
    np.negative(coordinates[61::2], out=den[_TURNS])

    angles = np.arctan2(num, den, out=num)
    angles *= 180.0 / np.pi
    out = np.empty((FEATURES, n), q.dtype)
    out[BEND], out[_SINGLE] = angles[BEND], angles[_FLEX.start : _HINGED.stop]
    out[APERTURE], out[ROLL : WAVE + 1] = angles[_APERTURE], angles[_TURNS]
    norm(q[:, :1, 3] - q[:, 1:, 3], out=out[OPP])
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
