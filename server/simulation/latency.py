"""Latencies in bounded memory: a sparse histogram with buckets one percent wide."""

import math
from collections import Counter

_WIDTH = math.log(1.01)
_FLOOR_S = 1e-6


class Latencies:
    """Durations counted in buckets one percent wide, so that a day of them stays a few kilobytes.

    A percentile is exact to half a bucket (0.5 %); the largest value is kept exactly.
    """

    __slots__ = ("_buckets", "count", "largest_s")

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0
        self.largest_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration; what is below a microsecond counts as one."""
        self._buckets[round(math.log(max(seconds, _FLOOR_S)) / _WIDTH)] += 1
        self.count += 1
        self.largest_s = max(self.largest_s, seconds)

    def merge(self, other: "Latencies") -> None:
        """Add everything `other` has counted."""
        self._buckets.update(other._buckets)
        self.count += other.count
        self.largest_s = max(self.largest_s, other.largest_s)

    def percentile_ms(self, share: float) -> float | None:
        """Return the duration in ms that `share` (0..1) of all stay at or below; None without any.

        Nearest rank: the p99 of 50 values is the largest of them.
        """
        if not self.count:
            return None
        rank = max(1, math.ceil(share * self.count))
        if rank == self.count:
            return round(self.largest_s * 1000, 3)
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return round(min(math.exp(bucket * _WIDTH), self.largest_s) * 1000, 3)
        raise AssertionError("the buckets hold fewer values than were counted")
