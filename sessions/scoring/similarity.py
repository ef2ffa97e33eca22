"""Live similarity of a hand to its guide: shown to the player, never graded."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.palm import Reals
from sessions.scoring.plan import GUIDE_PHASES

WINDOW: Final = np.arange(-5, 6)[:, None]
"""Phases by which a player may lead or lag, about 4 % of the cycle."""
_SPREAD: Final = 20.0
"""Distance, degrees, at which the similarity has fallen to 1/e."""


def guide_distance(
    features: Reals, phase: NDArray[np.int64], guide: Reals, weights: Reals
) -> Reals:
    """Weighted distance to the nearest phase of the guide within the window.

    Args:
        features: (u, N) the features compared.
        phase: (N,) where the guide is, 0..127.
        guide: (u, 128)
        weights: (u, 1, 1) sum 1.

    Returns:
        (N,) root of the weighted mean square.
    """
    window = (phase + WINDOW) % GUIDE_PHASES
    apart = guide.take(window, axis=1)
    apart -= features[:, None]
    apart *= apart
    apart *= weights
    distance: Reals = np.sqrt(apart.sum(axis=0).min(axis=0))
    return distance


def similarity(distance: Reals) -> Reals:
    """(N,) 0..100 of distances, with N padded to the vector width."""
    score: Reals = np.exp(-np.square(distance / _SPREAD))
    score *= 100.0
    return score
