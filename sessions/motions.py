"""The motion library compiled to the arrays that the scoring and the guide need."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from itertools import accumulate
from typing import Final

import numpy as np

from models.catalog.features import FEATURE_INDEX, is_distance
from models.catalog.library import motion_library
from models.catalog.records import (
    CountSignal,
    GuidePose,
    LinearSignal,
    MotionDefinition,
    PoseSignal,
)
from sessions.kinematics import Floats, KeyFrame, Pose, guide_angles, landmarks
from sessions.scoring.features import features_of
from sessions.scoring.plan import FEATURES, GUIDE_PHASES, Motion, Space

_DISTANCE_SCALE: Final = 40.0
"""Degrees that one palm length counts for in the shape of a repetition."""
_POSE_SPREAD: Final = 25.0
"""Degrees away from a posture at which the likeness is 1/e."""
_OUT_BELOW: Final = 90.0
"""A finger whose `tam` is below is held out."""
_OPP: Final = slice(31, 35)
_TAM: Final = slice(39, 43)
_FINE: Final = 4096
_PLATEAU: Final = 0.02
"""The guide rests at its far end: within this share of its span it is at its peak."""


def motion_plan(motion_id: str, version: int | None = None, space: Space = "world") -> Motion:
    """Return a motion of the library compiled, the newest version unless one is named.

    Raises KeyError for a motion or version that the library does not hold.
    """
    return _compiled(motion_id, motion_library().get(motion_id, version).version, space)


@cache
def _compiled(motion_id: str, version: int, space: Space) -> Motion:
    return compile_motion(motion_library().get(motion_id, version), space)


def compile_motion(definition: MotionDefinition, space: Space = "world") -> Motion:
    """Return the arrays of a definition; the same definition gives the same arrays.

    Only a posture looks different from one coordinate space to another.
    """
    detector, one_euro = definition.detector, definition.filter
    motion = Motion(
        id=definition.id,
        version=definition.version,
        kind=definition.kind,
        sha256=definition.sha256,
        primary=_primary(definition).astype(np.float32),
        guide=_guide_features(definition, GUIDE_PHASES).astype(np.float32),
        guide_weights=_unit_sum(_row(definition.similarity)).astype(np.float32),
        shape_features=np.array([FEATURE_INDEX[name] for name in definition.shape], np.intp),
        shape_scale=np.array(
            [_DISTANCE_SCALE if is_distance(name) else 1.0 for name in definition.shape], np.float32
        ),
        guide_peaks=_peaks(definition)
        if definition.kind in ("reps", "tap")
        else _stays(definition),
        period_us=definition.guide.period_us,
        f_min=one_euro.f_min,
        beta=one_euro.beta,
        f_d=one_euro.f_d,
        delta=detector.delta,
        full_at=detector.full_at,
        t_min=detector.t_min,
        t_max=detector.t_max,
        hold_in=detector.hold_in,
        hold_out=detector.hold_out,
        tremor_tips=definition.tremor_tips,
    )
    signal = definition.signal
    if isinstance(signal, LinearSignal):
        return motion
    if isinstance(signal, PoseSignal):
        return replace(
            motion,
            form="pose",
            pose=_row(signal.poses[space]).astype(np.float32),
            pose_weights=_unit_sum(_row(signal.weights)).astype(np.float32),
        )
    if isinstance(signal, CountSignal):
        return replace(motion, form="count", order=signal.order)
    return replace(
        motion,
        form="opposition",
        contact=signal.contact,
        release=signal.release,
        order=signal.order,
    )


def signal_of(definition: MotionDefinition, features: Floats, space: Space = "world") -> Floats:
    """Return the primary signal (n,) of (n, `FEATURES`) features, without any state.

    `roll` is taken as it is, so it must not run past half a turn.
    """
    signal = definition.signal
    if isinstance(signal, LinearSignal):
        weighted: Floats = features @ _row(signal.weights)
        return weighted
    if isinstance(signal, PoseSignal):
        away: Floats = features - _row(signal.poses[space])
        square: Floats = away**2 @ _unit_sum(_row(signal.weights))
        likeness: Floats = np.exp(-square / _POSE_SPREAD**2)
        return likeness
    if isinstance(signal, CountSignal):
        out: Floats = (features[:, _TAM] < _OUT_BELOW).sum(axis=1).astype(np.float64)
        return out
    nearest: Floats = features[:, _OPP].min(axis=1)
    return nearest


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
    x = signal_of(definition, _guide_features(definition, _FINE))
    top = x >= x.max() - _PLATEAU * np.ptp(x)
    # Turned so that the loop is cut where the signal is lowest: no stay runs over the cut.
    cut = int(x.argmin())
    turned = np.concatenate([[False], np.roll(top, -cut), [False]])
    edges = np.flatnonzero(np.diff(turned.astype(np.int8)))
    middles = (edges[::2] + edges[1::2] - 1) / 2
    return tuple(sorted(float((cut + middle) / _FINE % 1.0) for middle in middles))


def _stays(definition: MotionDefinition) -> tuple[float, ...]:
    """Phases in the middle of every stay but the last, which is the rest between sequences."""
    legs = definition.guide.legs
    total = sum(leg.seconds for leg in legs)
    ends = list(accumulate(leg.seconds for leg in legs))
    return tuple(
        (ends[k] - legs[k].seconds / 2) / total
        for k in range(1, len(legs) - 1)
        if legs[k].pose == legs[k - 1].pose
    )


def _primary(definition: MotionDefinition) -> Floats:
    """Weights of a linear signal; zero where the signal is no weighted sum."""
    signal = definition.signal
    return _row(signal.weights if isinstance(signal, LinearSignal) else {})


def _row(weights: Mapping[str, float]) -> Floats:
    row = np.zeros(FEATURES)
    for name, weight in weights.items():
        row[FEATURE_INDEX[name]] = weight
    return row


def _unit_sum(row: Floats) -> Floats:
    normalised: Floats = row / row.sum()
    return normalised
