"""The motion library compiled to the arrays that the scoring and the guide need."""

from functools import cache
from typing import Final

import numpy as np

from models.catalog.features import FEATURE_INDEX, is_distance
from models.catalog.library import motion_library
from models.catalog.records import GuidePose, MotionDefinition
from sessions.kinematics import Floats, KeyFrame, Pose, guide_angles, landmarks
from sessions.scoring.features import features_of
from sessions.scoring.plan import FEATURES, GUIDE_PHASES, Motion

_DISTANCE_SCALE: Final = 40.0
"""Degrees that one palm length counts for in the shape of a repetition."""
_FINE: Final = 4096
_PLATEAU: Final = 0.02
"""The guide rests at its far end: within this share of its span it is at its peak."""


def motion_plan(motion_id: str, version: int | None = None) -> Motion:
    """Return a motion of the library compiled, the newest version unless one is named.

    Raises KeyError for a motion or version that the library does not hold.
    """
    return _compiled(motion_id, motion_library().get(motion_id, version).version)


@cache
def _compiled(motion_id: str, version: int) -> Motion:
    return compile_motion(motion_library().get(motion_id, version))


def compile_motion(definition: MotionDefinition) -> Motion:
    """Return the arrays of a definition; the same definition gives the same arrays."""
    detector, one_euro = definition.detector, definition.filter
    return Motion(
        id=definition.id,
        version=definition.version,
        kind=definition.kind,
        sha256=definition.sha256,
        primary=_row(definition.signal.weights).astype(np.float32),
        guide=_guide_features(definition, GUIDE_PHASES).astype(np.float32),
        guide_weights=_unit_sum(_row(definition.similarity)).astype(np.float32),
        shape_features=np.array([FEATURE_INDEX[name] for name in definition.shape], np.intp),
        shape_scale=np.array(
            [_DISTANCE_SCALE if is_distance(name) else 1.0 for name in definition.shape], np.float32
        ),
        guide_peaks=_peaks(definition),
        period_us=definition.guide.period_us,
        f_min=one_euro.f_min,
        beta=one_euro.beta,
        f_d=one_euro.f_d,
        delta=detector.delta,
        full_at=detector.full_at,
        t_min=detector.t_min,
        t_max=detector.t_max,
    )


def pose_of(pose: GuidePose) -> Pose:
    """Return a posture of the catalogue as one of the kinematic hand."""
    return Pose(**pose.model_dump())


def key_frames(definition: MotionDefinition) -> list[KeyFrame]:
    """Return the guide of a motion as key frames of the kinematic hand."""
    poses = {name: pose_of(pose) for name, pose in definition.guide.poses.items()}
    return [KeyFrame(leg.seconds, poses[leg.pose]) for leg in definition.guide.legs]


def _guide_features(definition: MotionDefinition, phases: int) -> Floats:
    angles = guide_angles(key_frames(definition), np.arange(phases) / phases)
    # Features do not depend on the size of the hand: any length will do.
    features = features_of(landmarks(angles, length=0.16), side="right")
    return features.astype(np.float64, copy=False)


def _peaks(definition: MotionDefinition) -> tuple[float, ...]:
    """Phases in the middle of every stay at the top of the guide's primary signal."""
    x = _guide_features(definition, _FINE) @ _row(definition.signal.weights)
    top = x >= x.max() - _PLATEAU * np.ptp(x)
    # Turned so that the loop is cut where the signal is lowest: no stay runs over the cut.
    cut = int(x.argmin())
    turned = np.concatenate([[False], np.roll(top, -cut), [False]])
    edges = np.flatnonzero(np.diff(turned.astype(np.int8)))
    middles = (edges[::2] + edges[1::2] - 1) / 2
    return tuple(sorted(float((cut + middle) / _FINE % 1.0) for middle in middles))


def _row(weights: dict[str, float]) -> Floats:
    row = np.zeros(FEATURES)
    for name, weight in weights.items():
        row[FEATURE_INDEX[name]] = weight
    return row


def _unit_sum(row: Floats) -> Floats:
    normalised: Floats = row / row.sum()
    return normalised
