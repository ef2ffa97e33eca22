"""What the garbage collector looks through: what is new, and everything when nobody is there."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from weakref import ref

from server.garbage import DAY_S, THRESHOLDS, Garbage
from tests.factories import ManualClock


class Ring:
    """An object that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@asynccontextmanager
async def running(garbage: Garbage) -> AsyncIterator[None]:
    """Run the job."""
    job = asyncio.create_task(garbage.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        job.cancel()
        with suppress(asyncio.CancelledError):
            await job


async def test_what_stays_is_set_aside_and_is_looked_through_when_everything_is() -> None:
    garbage = Garbage(ManualClock(), lambda: False)
    async with running(garbage):
        assert gc.get_threshold() == THRESHOLDS
        kept = Ring()
        gc.collect()
        assert not any(one is kept for one in gc.get_objects()), "a look would go through it"
        young, old = ref(Ring()), ref(kept)
        del kept
        gc.collect()
        assert young() is None
        assert old() is not None
        garbage.look()
        assert old() is None


async def test_the_collector_is_left_as_it_was_found() -> None:
    before, callbacks = gc.get_threshold(), list(gc.callbacks)
    async with running(Garbage(ManualClock(), lambda: False)):
        assert gc.get_freeze_count() > 0
    assert (gc.get_threshold(), gc.callbacks, gc.get_freeze_count()) == (before, callbacks, 0)


async def test_everything_is_looked_through_once_each_time_that_all_have_left() -> None:
    clock, there = ManualClock(), False
    garbage = Garbage(clock, lambda: not there)
    looks = 0

    def count(phase: str, info: dict[str, int]) -> None:
        nonlocal looks
        looks += phase == "start" and info["generation"] == 2

    async with running(garbage):
        gc.callbacks.append(count)
        try:
            told = []
            for now in (False, True, True, False, False, True, False):
                there = now
                garbage.look_when_quiet()
                told.append(looks > 0)
                looks = 0
            assert told == [False, False, False, True, False, False, True]
            there = True
            clock.move(DAY_S + 1)
            garbage.look_when_quiet()
            assert looks, "after a day although somebody is there"
        finally:
            gc.callbacks.remove(count)
