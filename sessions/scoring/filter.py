"""One Euro filter (Casiez, Roussel and Vogel 2012) over many hands at once."""

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.palm import Reals


def one_euro(
    q: Reals,
    last: Reals,
    speed: Reals,
    h: Reals,
    f_min: Reals,
    beta: Reals,
    f_d: Reals,
) -> tuple[Reals, Reals]:
    """One step of the filter.

    Args:
        q: (…, N) new values.
        last: (…, N) filtered values of the frame before.
        speed: (…, N) filtered speeds of the frame before, per second.
        h: (N,) seconds since the frame before, > 0.
        f_min: (N,) lowest cut-off, Hz.
        beta: (N,) rise of the cut-off with speed, Hz per unit of speed.
        f_d: (N,) cut-off of the speed, Hz.

    Returns:
        (…, N) filtered values and (…, N) filtered speeds.
    """
    turn = 2.0 * np.pi * h
    gain_d = turn * f_d / (1.0 + turn * f_d)
    step = q - last
    moved: Reals = step / h
    moved -= speed
    moved *= gain_d
    moved += speed
    gain = np.abs(moved)
    gain *= beta
    gain += f_min
    gain *= turn
    gain /= 1.0 + gain
    gain *= step
    gain += last
    return gain, moved


def restart(q: Reals, last: Reals, speed: Reals, fresh: NDArray[np.bool_]) -> None:
    """Make the next `one_euro` step return q itself, at rest, for the (N,) `fresh` hands."""
    last[..., fresh] = q[..., fresh]
    speed[..., fresh] = 0.0
