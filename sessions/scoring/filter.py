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
) -> None:
    """One step of the filter, in place.

    Args:
        q: (N, C) new values of N hands; afterwards scratch.
        last: (N, C) filtered values of the frame before; afterwards of this one.
        speed: (N, C) filtered speeds of the frame before, per second; afterwards of this one.
        h: (N, 1) seconds since the frame before, > 0.
        f_min: (N, 1) lowest cut-off, Hz.
        beta: (N, 1) rise of the cut-off with speed, Hz per unit of speed.
        f_d: (N, 1) cut-off of the speed, Hz.
    """
    turn = 2.0 * np.pi * h
    gain_d = turn * f_d
    gain_d /= 1.0 + gain_d
    step = np.subtract(q, last, out=q)
    gain: Reals = step / h
    gain -= speed
    gain *= gain_d
    speed += gain
    np.abs(speed, out=gain)
    gain *= beta
    gain += f_min
    gain *= turn
    gain /= 1.0 + gain
    gain *= step
    last += gain


def restart(q: Reals, last: Reals, speed: Reals, fresh: NDArray[np.bool_]) -> None:
    """Make the next `one_euro` step return q itself, at rest, for the (N,) `fresh` hands."""
    last[fresh] = q[fresh]
    speed[fresh] = 0.0
