"""What the garbage collector looks through, and when: what is new, never all that lives.

CPython frees an object as soon as nobody refers to it. Its collector is for rings of objects, and
nothing else is done while it looks: at 500 sessions 45 ms every few seconds, at 1000 twice as
long. A session makes no rings, nor does a connection that ends. So what has outlived three looks
is set aside, and a look takes as long as what was made since the last one. Everything is looked
through when nobody is there.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

from config.clock import Clock

THRESHOLDS = (2_000, 3, 1)
"""Objects made and not freed until a look at them; such looks until one at what they left, and
such until one at all that is not set aside: never more than some 25 000 objects, whoever comes.
CPython's 700 are less than the lists of one tick, and each look costs."""
LOOK_S = 60.0
"""How often it is seen whether anybody is there."""
DAY_S = 86_400.0
"""After that everything is looked through although somebody is."""


class Garbage:
    """Keeps the looks short, as long as it runs. The collector is the whole process's.

    Args:
        is_quiet: tells whether nobody is there whom a pause of a tenth of a second would disturb.
    """

    def __init__(self, clock: Clock, is_quiet: Callable[[], bool]) -> None:
        self._clock = clock
        self._is_quiet = is_quiet
        self._looked_at = 0.0
        self._rested = True
        """Whether nobody came since everything was looked through."""

    async def run(self) -> None:
        """Set aside what is there, and from now on what stays, for ever."""
        before = gc.get_threshold()
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(_set_aside)
        try:
            self.look()
            while True:
                await asyncio.sleep(LOOK_S)
                self.look_when_quiet()
        finally:
            gc.callbacks.remove(_set_aside)
            gc.set_threshold(*before)
            gc.unfreeze()

    def look_when_quiet(self) -> None:
        """Look through everything, once after each time that somebody was there."""
        quiet = self._is_quiet()
        if (quiet and not self._rested) or self._clock.monotonic() - self._looked_at > DAY_S:
            self.look()
        self._rested = quiet

    def look(self) -> None:
        """Look through everything, also through what was set aside."""
        gc.unfreeze()
        gc.collect()
        # CPython looks at all again once a quarter more is there than its last look left over:
        # this one finds nothing, so that what comes is looked at in its own time.
        gc.collect()
        self._looked_at = self._clock.monotonic()


def _set_aside(phase: str, info: dict[str, Any]) -> None:
    if phase == "stop" and info["generation"] == 2:
        gc.freeze()
