"""Primary signals: the one number of each hand that its motion is about, in four forms."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.features import OPP, TAM
from sessions.scoring.plan import FEATURES, Form, Motion

FORMS: Final[tuple[Form, ...]] = ("linear", "opposition", "count", "pose")
"""Forms by their code."""
OUT_BELOW: Final = 90.0
"""A finger is out while its total active motion, degrees, is below."""
POSE_SPREAD: Final = 25.0
"""Distance to a posture, degrees, at which the likeness has fallen to 1/e."""
PALM_DEGREES: Final = 40.0
"""Degrees that a distance of one palm length counts for."""

Singles = NDArray[np.float32]


def nearest_tip(features: Singles) -> Singles:
    """(N,) distance from the tip of the thumb to the nearest other one, of (44, N)."""
    opp = features[OPP]
    least: Singles = np.minimum(np.minimum(opp[0], opp[1]), np.minimum(opp[2], opp[3]))
    return least


def fingers_out(features: Singles) -> Singles:
    """(N,) number of fingers held out, of (44, N)."""
    out: Singles = (features[TAM] < OUT_BELOW).sum(axis=0).astype(np.float32)
    return out


def likeness(away: Singles) -> Singles:
    """(N,) 0..1 of the (N,) mean squared distance to a posture, square degrees."""
    score: Singles = np.exp(away * np.float32(-1.0 / POSE_SPREAD**2))
    return score


def in_degrees(motion: Motion, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """A primary signal as degrees that grow towards the target, so that its spread has a meaning.

    A distance counts `PALM_DEGREES`, a likeness the weighted root mean square of degrees away
    from the posture that it was made of.
    """
    if motion.form == "pose":
        degrees: NDArray[np.float64] = -POSE_SPREAD * np.sqrt(-np.log(np.clip(x, 1e-12, 1.0)))
        return degrees
    return x * (PALM_DEGREES if motion.primary[OPP].any() else 1.0)


def check_signal(motion: Motion) -> None:
    """Raise ValueError unless a motion's form has what it is made of."""
    if motion.form not in FORMS:
        raise ValueError(f"motion {motion.id}: no signal has the form {motion.form}")
    if (motion.kind == "sequence") != (motion.form in ("opposition", "count")):
        raise ValueError(f"motion {motion.id}: kind {motion.kind} with form {motion.form}")
    if motion.kind == "sequence" and len(motion.order) < 2:
        raise ValueError(f"motion {motion.id}: a sequence has at least two steps")
    if motion.form == "pose":
        shapes = [None if a is None else a.shape for a in (motion.pose, motion.pose_weights)]
        if shapes != [(FEATURES,)] * 2:
            raise ValueError(f"motion {motion.id}: the posture is not {FEATURES} features long")
