"""The motions in play, stacked so that hands of different motions share every call."""

from dataclasses import dataclass
from typing import Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.plan import FEATURES, GUIDE_PHASES, Motion
from sessions.scoring.signals import FORMS, check_signal, fingers_out, likeness, nearest_tip

S = TypeVar("S", np.intp, np.float32)

WINDOW: Final = 5
"""Phases by which a player may lead or lag the guide, about 4 % of the cycle."""
SPREAD: Final = 20.0
"""Distance, degrees, at which the similarity has fallen to 1/e."""
# As arrays: see `verdicts`.
_PHASES = np.array(GUIDE_PHASES)
_FALL = np.array(-1.0 / SPREAD**2, np.float32)
_BEST = np.array(100.0, np.float32)


def check_motion(motion: Motion) -> None:
    """Raise ValueError unless a motion's arrays have the shapes that the plan promises."""
    if motion.primary.shape != (FEATURES,) or motion.guide_weights.shape != (FEATURES,):
        raise ValueError(f"motion {motion.id}: weights are not {FEATURES} long")
    if motion.guide.shape != (GUIDE_PHASES, FEATURES):
        raise ValueError(f"motion {motion.id}: the guide is not {GUIDE_PHASES} x {FEATURES}")
    if motion.shape_features.shape != motion.shape_scale.shape:
        raise ValueError(f"motion {motion.id}: the shape's features and scales differ in number")
    check_signal(motion)


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """Arrays of M motions; where one uses fewer features than another its weights end in zeros."""

    split: int
    """k: so many rows of the next two are of the primary signal, the u others of the similarity."""
    rows: NDArray[np.intp]
    """(k + u, M) features of which a signal is made, and that the live similarity compares."""
    weights: NDArray[np.float32]
    """(k + u, M)"""
    guide: NDArray[np.float32]
    """(M phases, u 11) the guides' used features within the window about each phase."""
    form: NDArray[np.int8] | None
    """(M,) code of the primary signal's form; None where all are linear."""
    pose: NDArray[np.float32]
    """(k, M) of a posture the values that its features should have."""

    @classmethod
    def of(cls, motions: list[Motion]) -> Self:
        """Stack motions in their order."""
        weights = [m.primary if m.pose_weights is None else m.pose_weights for m in motions]
        poses = [np.zeros(FEATURES, np.float32) if m.pose is None else m.pose for m in motions]
        primary = [np.flatnonzero(row) for row in weights]
        used = [np.flatnonzero(motion.guide_weights) for motion in motions]
        first, rows = (_stacked(some, np.zeros(1, np.intp)) for some in (primary, used))
        around = np.arange(-WINDOW, WINDOW + 1) + np.arange(GUIDE_PHASES)[:, None]
        around %= GUIDE_PHASES
        guides = [
            motion.guide[:, rows[:, i]][around].transpose(0, 2, 1).reshape(GUIDE_PHASES, -1)
            for i, motion in enumerate(motions)
        ]
        none = np.zeros(1, np.float32)
        summed = _stacked([row[at] for row, at in zip(weights, primary, strict=True)], none)
        compared = [m.guide_weights[at] for m, at in zip(motions, used, strict=True)]
        form = np.array([FORMS.index(motion.form) for motion in motions], np.int8)
        return cls(
            len(first),
            np.concatenate((first, rows)),
            np.concatenate((summed, _stacked(compared, none))),
            np.concatenate(guides).astype(np.float32),
            form if form.any() else None,
            _stacked([row[at] for row, at in zip(poses, primary, strict=True)], none),
        )

    def compare(
        self,
        features: NDArray[np.float32],
        motion: NDArray[np.intp],
        phase: NDArray[np.int64],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Primary signals of hands, and their likeness to their guides.

        The likeness is shown to the player, never graded: 0..100, by the weighted distance to the
        nearest phase within the window.

        Args:
            features: (44, N), N a multiple of the vector width.
            motion: (N,) numbers.
            phase: (N,) where each guide is, 0..127.

        Returns:
            (N,) signals and (N,) likenesses.
        """
        hands = len(motion)
        # One index into all features is quicker than two, and looks for both what they need.
        places = self.rows.take(motion, axis=1)
        places *= hands
        places += np.arange(hands)
        mine, weights = features.take(places), self.weights.take(motion, axis=1)
        signal, mine = mine[: self.split], mine[self.split :]
        x = np.zeros(hands, np.float32)
        # Added one by one: the order of a sum must not depend on how many hands there are.
        for part in signal * weights[: self.split]:
            x += part
        if self.form is not None:
            self._other_forms(self.form[motion], features, signal, weights, motion, x)
        # Whole windows lie side by side in the table: far quicker to fetch than single values.
        windows = self.guide.take(motion * _PHASES + phase, axis=0)
        apart = windows.T.copy().reshape(len(mine), 2 * WINDOW + 1, hands)
        apart -= mine[:, None]
        apart *= apart
        apart *= weights[self.split :, None]
        score: NDArray[np.float32] = np.minimum.reduce(np.add.reduce(apart, axis=0), axis=0)
        score *= _FALL
        np.exp(score, out=score)
        score *= _BEST
        return x, score

    def _other_forms(
        self,
        form: NDArray[np.int8],
        features: NDArray[np.float32],
        mine: NDArray[np.float32],
        weights: NDArray[np.float32],
        motion: NDArray[np.intp],
        x: NDArray[np.float32],
    ) -> None:
        """Replace what is no weighted sum in (N,) x; `mine` are (k, N) features of the signals."""
        nearest, out, posture = (form == FORMS.index(f) for f in ("opposition", "count", "pose"))
        if nearest.any():
            np.copyto(x, nearest_tip(features), where=nearest)
        if out.any():
            np.copyto(x, fingers_out(features), where=out)
        if posture.any():
            away = np.zeros_like(x)
            for value, weight, wanted in zip(mine, weights, self.pose, strict=False):
                apart = value - wanted[motion]
                away += apart * apart * weight
            np.copyto(x, likeness(away), where=posture)


def _stacked(rows: list[NDArray[S]], none: NDArray[S]) -> NDArray[S]:
    """Arrays of different lengths as the columns of one, filled up with zeros, one row at least."""
    out = np.zeros_like(none, shape=(max(1, *(len(row) for row in rows)), len(rows)))
    for i, row in enumerate(rows):
        out[: len(row), i] = row
    return out
