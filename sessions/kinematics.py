"""The kinematic hand: joint angles to 21 landmarks, minimum jerk, and the key frames of a guide.

Anthropometry: Buchholz, Armstrong and Goldstein 1992. Minimum jerk: Flash and Hogan 1985.
A pose is a row of `JOINTS` angles in degrees, so that a whole movement is one array and every
function here works on all its instants at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

JOINTS: Final = 23
"""Angles of a pose: 16 of the fingers, 4 of the thumb, 3 of the whole hand before the camera."""
MCP: Final = slice(0, 4)
PIP: Final = slice(4, 8)
DIP: Final = slice(8, 12)
ABD: Final = slice(12, 16)
THUMB: Final = slice(16, 20)
"""Radial abduction, palmar abduction, flexion at the MCP and at the IP joint."""
FLEXION: Final = slice(0, 12)
ROLL: Final = 20
TILT: Final = 21
WAVE: Final = 22

_METACARPAL: Final = np.array([0.463, 0.446, 0.421, 0.414])
_PHALANGES: Final = np.array(
    [[0.245, 0.266, 0.244, 0.204], [0.143, 0.170, 0.165, 0.117], [0.097, 0.108, 0.107, 0.093]]
)
_RAY: Final = np.radians([14.0, 0.0, -12.0, -28.0])
NEUTRAL_ABD: Final = np.array([3.0, 0.0, -4.0, -9.0])
"""Abduction of index..little in a relaxed hand, degrees towards the thumb."""
_THUMB_BASE: Final = np.array([0.11, 0.12, 0.045])
_THUMB_BONES: Final = np.array([0.251, 0.196, 0.158])
_THUMB_TURN: Final = np.array([-np.cos(np.radians(35.0)), 0.0, np.sin(np.radians(35.0))])

AgeBand = Literal["3-5", "6-8", "9-12", "13+"]
HAND_LENGTH_M: Final[Mapping[AgeBand, float]] = {
    "3-5": 0.12,
    "6-8": 0.14,
    "9-12": 0.16,
    "13+": 0.18,
}
PALM_FRACTION: Final = 0.446
"""Length of the palm (landmark 0 to 9) as a fraction of the length of the hand."""


def age_band(age: float) -> AgeBand:
    """Return the band of an age in years."""
    if age < 6:
        return "3-5"
    if age < 9:
        return "6-8"
    return "9-12" if age < 13 else "13+"


def hand_length(age: float) -> float:
    """Return the usual length of the hand at an age in years, metres."""
    return HAND_LENGTH_M[age_band(age)]


@dataclass(frozen=True, slots=True)
class Pose:
    """A posture of one hand, degrees; four-tuples run from the index to the little finger.

    `abd` counts from the relaxed hand, positive towards the thumb. `thumb` is radial abduction,
    palmar abduction, MCP and IP flexion. `roll` is the turn of the forearm (0 = palm to the
    camera, supination positive), `tilt` leans the hand to the camera, `wave` turns it in the
    picture.
    """

    mcp: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    pip: tuple[float, float, float, float] = (4.0, 4.0, 4.0, 4.0)
    dip: tuple[float, float, float, float] = (3.0, 3.0, 3.0, 3.0)
    abd: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    thumb: tuple[float, float, float, float] = (45.0, 15.0, 5.0, 5.0)
    roll: float = 0.0
    tilt: float = 0.0
    wave: float = 0.0

    def angles(self) -> Floats:
        """Return the pose as a row of (JOINTS,) degrees."""
        whole = (self.roll, self.tilt, self.wave)
        return np.array([*self.mcp, *self.pip, *self.dip, *self.abd, *self.thumb, *whole])


def _opposition(
    finger: int,
    flexion: tuple[float, float],
    thumb: tuple[float, float, float, float],
    abd: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
) -> Pose:
    mcp, pip, dip = [20.0] * 4, [20.0] * 4, [12.0] * 4
    mcp[finger], pip[finger], dip[finger] = flexion[0], flexion[1], 0.6 * flexion[1]
    return Pose(_four(mcp), _four(pip), _four(dip), abd, thumb)


def _four(values: Sequence[float]) -> tuple[float, float, float, float]:
    first, second, third, fourth = values
    return first, second, third, fourth


_FIST_FLEXION: Final = (
    (80.0, 85.0, 85.0, 85.0),
    (100.0, 100.0, 100.0, 95.0),
    (65.0, 65.0, 65.0, 65.0),
)

POSES: Final[Mapping[str, Pose]] = {
    "open": Pose(),
    "fist": Pose(*_FIST_FLEXION, thumb=(30.0, 45.0, 45.0, 45.0)),
    "hook": Pose(pip=(95.0,) * 4, dip=(65.0,) * 4),
    "table": Pose(mcp=(85.0,) * 4, pip=(3.0,) * 4, dip=(2.0,) * 4),
    "spread": Pose(
        pip=(3.0,) * 4, dip=(2.0,) * 4, abd=(14.0, 2.0, -9.0, -20.0), thumb=(65.0, 20.0, 0.0, 0.0)
    ),
    "oppose_index": _opposition(0, (52.0, 38.0), (16.0, 33.0, 13.0, 26.0)),
    "oppose_middle": _opposition(1, (57.0, 44.0), (10.0, 41.0, 18.0, 26.0)),
    "oppose_ring": _opposition(2, (55.0, 41.0), (3.0, 39.0, 23.0, 29.0)),
    "oppose_little": _opposition(
        3, (53.0, 35.0), (-12.0, 27.0, 29.0, 33.0), abd=(-2.0, 4.0, 10.0, 12.0)
    ),
    "scissors": Pose(
        mcp=(0.0, 0.0, 85.0, 85.0),
        pip=(4.0, 4.0, 100.0, 95.0),
        dip=(3.0, 3.0, 65.0, 65.0),
        abd=(10.0, -8.0, 0.0, 0.0),
        thumb=(30.0, 45.0, 45.0, 45.0),
    ),
    "thumb_up": Pose(*_FIST_FLEXION, thumb=(35.0, 0.0, 0.0, 0.0)),
}
"""Postures by name; the tip distances of the oppositions are contacts."""


def hand_points(angles: ArrayLike, length: float) -> Floats:
    """Return (n, 21, 3) landmarks, metres, of (n, JOINTS) poses of a right hand.

    Axes are those of the palm: x towards the thumb, y towards the fingers, z out of the palm;
    the wrist is the origin. `length` is that of the hand in metres. The order of points is
    MediaPipe's: wrist, thumb 1-4, index 5-8, middle, ring, little 17-20.
    """
    pose = np.atleast_2d(np.asarray(angles, np.float64))
    rad = np.radians(pose)
    points = np.zeros((len(pose), 21, 3))
    _place_fingers(points, rad)
    _place_thumb(points, rad)
    points *= length
    return points


def _place_fingers(points: Floats, rad: Floats) -> None:
    flex, mid, end = rad[:, MCP], rad[:, PIP], rad[:, DIP]
    side = rad[:, ABD] + np.radians(NEUTRAL_ABD)
    lean = np.cos(side)
    sin_f, cos_f = np.sin(flex), np.cos(flex)
    along = np.stack([np.sin(side), lean * cos_f, lean * sin_f], axis=-1)
    palmar = np.stack([np.zeros_like(flex), -sin_f, cos_f], axis=-1)
    knuckle = np.stack([np.sin(_RAY), np.cos(_RAY), np.zeros(4)], axis=-1) * _METACARPAL[:, None]
    at = np.broadcast_to(knuckle, along.shape)
    # (n, finger, joint, axis): landmarks 5..20 are the fingers, four points each.
    fingers = points[:, 5:].reshape(len(points), 4, 4, 3)
    fingers[:, :, 0] = at
    for joint, bend in enumerate((np.zeros_like(mid), mid, mid + end)):
        bone = np.cos(bend)[..., None] * along + np.sin(bend)[..., None] * palmar
        at = at + _PHALANGES[joint][:, None] * bone
        fingers[:, :, joint + 1] = at


def _place_thumb(points: Floats, rad: Floats) -> None:
    radial, palm, mcp, ip = rad[:, THUMB].T
    along = np.stack(
        [np.cos(palm) * np.sin(radial), np.cos(palm) * np.cos(radial), np.sin(palm)], axis=-1
    )
    across = _THUMB_TURN - (along @ _THUMB_TURN)[:, None] * along
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    at = np.broadcast_to(_THUMB_BASE, along.shape)
    points[:, 1] = at
    for joint, bend in enumerate((np.zeros_like(mcp), mcp, mcp + ip)):
        bone = np.cos(bend)[:, None] * along + np.sin(bend)[:, None] * across
        at = at + _THUMB_BONES[joint] * bone
        points[:, joint + 2] = at


def to_camera(points: Floats, angles: ArrayLike, side: Literal["left", "right"]) -> Floats:
    """Return (n, 21, 3) points in camera axes (x right, y down, z away), still about the wrist.

    `points` are those of a right hand in palm axes, `angles` the (n, JOINTS) poses whose roll,
    tilt and wave are applied in that order; a left hand is the mirror image.
    """
    rad = np.radians(np.atleast_2d(np.asarray(angles, np.float64)))[:, 20:23, None]
    sin_r, sin_t, sin_w = np.sin(rad).swapaxes(0, 1)
    cos_r, cos_t, cos_w = np.cos(rad).swapaxes(0, 1)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    x, z = x * cos_r + z * sin_r, z * cos_r - x * sin_r
    y, z = y * cos_t - z * sin_t, y * sin_t + z * cos_t
    x, y = x * cos_w + y * sin_w, y * cos_w - x * sin_w
    return np.stack([-x if side == "left" else x, -y, -z], axis=-1)


def landmarks(
    angles: ArrayLike, *, length: float, side: Literal["left", "right"] = "right"
) -> Floats:
    """Return (n, 21, 3) world landmarks of (n, JOINTS) poses: camera axes, metres.

    The origin lies in the middle of the palm, as a tracker's does, so that it does not move
    when the fingers do.
    """
    points = to_camera(hand_points(angles, length), angles, side)
    centred: Floats = points - points[:, [0, 5, 9, 13, 17]].mean(axis=1, keepdims=True)
    return centred


def minimum_jerk(u: ArrayLike) -> Floats:
    """Return how far a minimum-jerk movement is, 0..1, at `u` of its time, clipped to 0..1."""
    u = np.clip(np.asarray(u, np.float64), 0.0, 1.0)
    done: Floats = u**3 * (10.0 - 15.0 * u + 6.0 * u**2)
    return done


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """One leg of a guide: reach `pose` within `seconds`, or stay if it is the one before."""

    seconds: float
    pose: Pose


def guide_angles(frames: Sequence[KeyFrame], phase: ArrayLike) -> Floats:
    """Return (n, JOINTS) poses of the endless loop of key frames at phases in cycles.

    Phase 0 is the last key frame's pose, where the loop closes; each leg follows minimum jerk.
    Raises ValueError without key frames or with a leg that takes no time.
    """
    if not frames or any(frame.seconds <= 0 for frame in frames):
        raise ValueError("a guide needs key frames, each longer than 0 s")
    poses = np.array([frames[-1].pose.angles(), *(frame.pose.angles() for frame in frames)])
    edges = np.concatenate([[0.0], np.cumsum([frame.seconds for frame in frames])])
    time = np.mod(np.atleast_1d(np.asarray(phase, np.float64)), 1.0) * edges[-1]
    leg = np.clip(np.searchsorted(edges, time, side="right") - 1, 0, len(frames) - 1)
    done = minimum_jerk((time - edges[leg]) / np.diff(edges)[leg])
    angles: Floats = poses[leg] + (poses[leg + 1] - poses[leg]) * done[:, None]
    return angles
