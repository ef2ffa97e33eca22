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

    primary: NDArray[np.intp]
    """(k, M) features of the primary signal."""
    primary_weights: NDArray[np.float32]
    """(k, M)"""
    used: NDArray[np.intp]
    """(u, M) features that the live similarity compares."""
    weights: NDArray[np.float32]
    """(u, M)"""
    guide: NDArray[np.float32]
    """(M phases, u 11) the guides' used features within the window about each phase."""
    form: NDArray[np.int8]
    """(M,) code of the primary signal's form."""
    pose: NDArray[np.float32]
    """(k, M) of a posture the values that its features `primary` should have."""

    @classmethod
    def of(cls, motions: list[Motion]) -> Self:
        """Stack motions in their order."""
        weights = [m.primary if m.pose_weights is None else m.pose_weights for m in motions]
        poses = [np.zeros(FEATURES, np.float32) if m.pose is None else m.pose for m in motions]
        primary = [np.flatnonzero(row) for row in weights]
        used = [np.flatnonzero(motion.guide_weights) for motion in motions]
        rows = _stacked(used, np.zeros(1, np.intp))
        around = np.arange(-WINDOW, WINDOW + 1) + np.arange(GUIDE_PHASES)[:, None]
        around %= GUIDE_PHASES
        guides = [
            motion.guide[:, rows[:, i]][around].transpose(0, 2, 1).reshape(GUIDE_PHASES, -1)
            for i, motion in enumerate(motions)
        ]
        none = np.zeros(1, np.float32)
        return cls(
            _stacked(primary, np.zeros(1, np.intp)),
            _stacked([row[at] for row, at in zip(weights, primary, strict=True)], none),
            rows,
            _stacked([m.guide_weights[at] for m, at in zip(motions, used, strict=True)], none),
            np.concatenate(guides).astype(np.float32),
            np.array([FORMS.index(motion.form) for motion in motions], np.int8),
            _stacked([row[at] for row, at in zip(poses, primary, strict=True)], none),
        )

    def signal(
        self, features: NDArray[np.float32], motion: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        """(N,) primary signals of (44, N) features, for hands of the motions numbered (N,)."""
        x = np.zeros(motion.size, np.float32)
        # Added one by one: the order of a sum must not depend on how many hands there are.
        for rows, weights in zip(self.primary, self.primary_weights, strict=True):
            part = _picked(features, rows.take(motion))
            part *= weights.take(motion)
            x += part
        if np.count_nonzero(self.form):
            self._other_forms(features, motion, x)
        return x

    def _other_forms(
        self, features: NDArray[np.float32], motion: NDArray[np.intp], x: NDArray[np.float32]
    ) -> None:
        """Replace what is no weighted sum in (N,) x."""
        form = self.form[motion]
        nearest, out, posture = (form == FORMS.index(f) for f in ("opposition", "count", "pose"))
        if nearest.any():
            np.copyto(x, nearest_tip(features), where=nearest)
        if out.any():
            np.copyto(x, fingers_out(features), where=out)
        if posture.any():
            away = np.zeros_like(x)
            for rows, weights, wanted in zip(
                self.primary, self.primary_weights, self.pose, strict=True
            ):
                apart = _picked(features, rows.take(motion)) - wanted[motion]
                away += apart * apart * weights[motion]
            np.copyto(x, likeness(away), where=posture)

    def similarity(
        self,
        features: NDArray[np.float32],
        motion: NDArray[np.intp],
        phase: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Likeness of hands to their guides: shown to the player, never graded.

        Args:
            features: (44, N), N a multiple of the vector width.
            motion: (N,) numbers.
            phase: (N,) where each guide is, 0..127.

        Returns:
            (N,) 0..100, by the weighted distance to the nearest phase within the window.
        """
        mine = _picked(features, self.used.take(motion, axis=1))
        # Whole windows lie side by side in the table: far quicker to fetch than single values.
        windows = self.guide.take(motion * _PHASES + phase, axis=0)
        apart = windows.T.copy().reshape(len(self.used), 2 * WINDOW + 1, -1)
        apart -= mine[:, None]
        apart *= apart
        apart *= self.weights.take(motion, axis=1)[:, None]
        score: NDArray[np.float32] = apart.sum(axis=0).min(axis=0)
        score *= _FALL
        np.exp(score, out=score)
        score *= _BEST
        return score


def _picked(features: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """(…, N) of (44, N) features those that each hand's `rows`, (…, N), number."""
    hands = features.shape[1]
    # One index into all of them is quicker than two.
    places = rows * hands
    places += np.arange(hands)
    picked: NDArray[np.float32] = features.take(places)
    return picked


def _stacked(rows: list[NDArray[S]], none: NDArray[S]) -> NDArray[S]:
    """Arrays of different lengths as the columns of one, filled up with zeros, one row at least."""
    out = np.zeros_like(none, shape=(max(1, *(len(row) for row in rows)), len(rows)))
    for i, row in enumerate(rows):
        out[: len(row), i] = row
    return out
