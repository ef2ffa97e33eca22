"""One Euro filter against the published algorithm, one number at a time."""

import math

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.filter import one_euro, restart


class Scalar:
    """The filter as its authors publish it, with the speed from the last filtered value."""

    def __init__(self, x: float, f_min: float, beta: float, f_d: float) -> None:
        self.x, self.dx = x, 0.0
        self.f_min, self.beta, self.f_d = f_min, beta, f_d

    def __call__(self, x: float, h: float) -> float:
        def alpha(cutoff: float) -> float:
            tau = 1.0 / (2.0 * math.pi * cutoff)
            return 1.0 / (1.0 + tau / h)

        a_d = alpha(self.f_d)
        self.dx = a_d * ((x - self.x) / h) + (1.0 - a_d) * self.dx
        a = alpha(self.f_min + self.beta * abs(self.dx))
        self.x = a * x + (1.0 - a) * self.x
        return self.x


def test_the_batched_filter_is_the_published_one() -> None:
    rng = np.random.default_rng(5)
    steps, hands = 200, 7
    values = np.cumsum(rng.normal(0.0, 0.1, (steps, hands, 2)), axis=0)
    spaces = rng.uniform(0.01, 0.1, (steps, hands, 1))
    f_min, beta, f_d = rng.uniform(0.5, 4.0, (3, hands, 1))
    tuning = np.concatenate((f_min, beta, f_d), axis=1).tolist()
    scalars = [[Scalar(values[0, i, c], *tuning[i]) for c in range(2)] for i in range(hands)]
    last, speed = values[0].copy(), np.zeros((hands, 2))
    for value, h in zip(values[1:], spaces[1:], strict=True):
        wanted = [[scalars[i][c](value[i, c], h[i, 0]) for c in range(2)] for i in range(hands)]
        one_euro(value, last, speed, h, f_min, beta, f_d)
        assert np.abs(last - wanted).max() < 1e-12


def test_a_restarted_hand_takes_the_new_value_at_rest() -> None:
    q: NDArray[np.float64] = np.array([[1.0], [2.0]])
    last, speed = np.array([[9.0], [9.0]]), np.array([[5.0], [5.0]])
    restart(q, last, speed, np.array([True, False]))
    ones = np.ones((2, 1))
    one_euro(q, last, speed, ones, ones, ones, ones)
    assert last[0, 0] == 1.0
    assert speed[0, 0] == 0.0
    assert last[1, 0] not in (2.0, 9.0)
