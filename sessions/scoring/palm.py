"""The palm frame: landmarks in camera axes become coordinates that only the hand's pose changes.

Arrays keep the hand index last, padded to a multiple of `LANES`, so that every vector instruction
sees whole registers and a hand's numbers do not depend on how many hands stand beside it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LANES = 16
"""Hands per vector register: the hand axis of every batched array is a multiple of it."""

Reals = NDArray[np.floating]
"""float32 in the batch, float64 offline: the code is the same."""

_LOOP = np.array([0, 1, 2, 0, 1])
_TINY = 1e-12
"""Stands in for a length of zero below a fraction, in any unit of the landmarks."""


class Palm(NamedTuple):
    """The palm of N hands."""

    scale: Reals
    """(N,) distance from the wrist to the middle finger's MCP, unit of the landmarks."""
    axes: Reals
    """(3, 3, N) radial, distal and palmar unit vector, each x y z in camera axes."""
    degenerate: NDArray[np.bool_]
    """(N,) the palm is seen as a line: its normal is not known."""


def padded(n: int) -> int:
    """The smallest multiple of `LANES` that holds n hands."""
    return -(-n // LANES) * LANES


def cross(u: Reals, w: Reals, out: Reals | None = None) -> Reals:
    """(3, …) cross product of (5, …) arrays with the rows x, y, z, x, y."""
    product: Reals = np.multiply(u[1:4], w[2:], out=out)
    product -= u[2:] * w[1:4]
    return product


def dot(u: Reals, w: Reals, out: Reals | None = None) -> Reals:
    """Scalar product of (3, …) arrays along their first axis, always added in this order."""
    parts = u * w
    product: Reals = np.add(parts[0], parts[1], out=out)
    product += parts[2]
    return product


def norm(u: Reals, out: Reals | None = None) -> Reals:
    """Length of (3, …) arrays along their first axis."""
    square = dot(u, u, out)
    return np.sqrt(square, out=square)


def palm_of(a: Reals) -> Palm:
    """Palm frames of wrist-relative landmarks.

    Args:
        a: (3, 5, 4, N) axis, finger from the thumb, joint from the wrist, hand; already a right
            hand and free of NaN. A hand of size zero gives finite nonsense.
    """
    knuckles = a[:, 1:, 0]
    length = norm(knuckles)
    scale = length[1]
    axes = np.empty((3, 3, a.shape[-1]), a.dtype)
    y = np.divide(knuckles[:, 1], np.maximum(scale, _TINY), out=axes[1])
    around = knuckles.take(_LOOP, axis=0)
    normal = cross(around[:, 0], around[:, 3], out=axes[2])
    area = norm(normal)
    degenerate = area < 0.15 * length[0] * length[3]
    normal -= dot(normal, y) * y
    normal /= np.maximum(norm(normal), _TINY)
    across = axes[1:].take(_LOOP, axis=1)
    cross(across[0], across[1], out=axes[0])
    return Palm(scale, axes, degenerate)


COORDINATES = 64
"""Numbers that describe a hand: 60 of the landmarks in its palm frame, then x_z, n_z, y_x, y_y of
the frame itself, from which `roll` and `wave` follow."""


def in_palm(a: Reals, palm: Palm) -> Reals:
    """(`COORDINATES`, N) of (3, 5, 4, N) wrist-relative landmarks: what is filtered over time."""
    out = np.empty((COORDINATES, a.shape[-1]), a.dtype)
    axes = (palm.axes / np.maximum(palm.scale, _TINY))[:, :, None, None]
    q = landmarks(out)
    np.multiply(axes[:, 0], a[0], out=q)
    part = axes[:, 1] * a[1]
    q += part
    np.multiply(axes[:, 2], a[2], out=part)
    q += part
    out[60:62], out[62:] = palm.axes[::2, 2], palm.axes[1, :2]
    return out


def landmarks(coordinates: Reals) -> Reals:
    """The q of (3, 5, 4, N): landmarks in the palm frame, in palm lengths; a view."""
    return coordinates[:60].reshape(3, 5, 4, -1)
