"""Reductions over many parts of one array, as if every part were an array of its own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Part = tuple[int, int]
"""First place and the one behind the last."""


def reduced(ufunc: np.ufunc, values: NDArray[Any], parts: Sequence[Part]) -> list[float]:
    """Reduce each part of (n,) values by `np.add`, `np.maximum` or the like.

    A part's number depends on its own values alone, not on where they stand. All places are less
    than n; what an empty part gives means nothing.
    """
    found: list[float] = ufunc.reduceat(values, [at for part in parts for at in part]).tolist()
    return found[::2]
