"""Carries withdrawals to their end: one worker at a time, a step at a time, from wherever it is."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from redis.exceptions import RedisError

from config import metrics
from config.clock import Clock
from models.db import DatabaseError
from models.withdrawal.outside import Farewells
from models.withdrawal.records import State, Step, Withdrawal
from models.withdrawal.repo import WithdrawalRepo
from models.withdrawal.saga import WAIT, NotYetError, Saga

log = logging.getLogger(__name__)

LOOK_S: Final = 5.0
LEASE: Final = timedelta(seconds=60)
"""A worker that is gone holds a withdrawal up for that long; two at once do no harm."""
LONGEST_WAIT: Final = timedelta(hours=1)
ALARM_AT: Final = 5
"""Failures of one step after which the operators are told."""


class Leaving:
    """Looks for withdrawals that are due.

    Args:
        holder: name of this worker.
        alarm: tells the operators.
    """

    def __init__(
        self,
        repo: WithdrawalRepo,
        saga: Saga,
        farewells: Farewells,
        clock: Clock,
        holder: str,
        alarm: Callable[[str], None],
        look_seconds: float = LOOK_S,
    ) -> None:
        self._repo = repo
        self._saga = saga
        self._farewells = farewells
        self._clock = clock
        self._holder = holder
        self._alarm = alarm
        self._look = look_seconds

    async def run(self) -> None:
        """Look for ever; raises when a store is away, and is started again."""
        while True:
            while await self.look():
                pass
            await asyncio.sleep(self._look)

    async def look(self) -> bool:
        """Work on one that is due; False if there is none."""
        now = self._clock.now()
        found = await self._repo.claim(self._holder, now, now + LEASE)
        if found is None:
            return False
        try:
            await self._repo.wait_until(found.id, await self._advance(found))
        finally:
            await self._repo.release(found.id, self._holder)
        return True

    async def _advance(self, found: Withdrawal) -> datetime | None:
        """Go on as far as it goes; return when to look again, None for never."""
        now = self._clock.now()
        if found.state is State.WITHDRAWN:
            return await self._tell(found)
        if found.state is State.WITHDRAWING and now < found.erase_at:
            again = await self._step(found, Step.SIGN_OUT)
            return again or found.erase_at
        begun = await self._repo.begin_erasing(found.id, now)
        if begun is None:
            return None
        for step in Step:
            again = await self._step(begun, step)
            if again is not None:
                return again
            begun = await self._repo.find(found.id) or begun
            if step is Step.OUTSIDE:
                await self._tell(begun)
        await self._saga.finish(begun)
        metrics.WITHDRAWALS.labels("erased").inc()
        log.info("withdrawal %s: everything is erased", found.id)
        return _next_outside(await self._repo.find(found.id) or begun)

    async def _step(self, withdrawal: Withdrawal, step: Step) -> datetime | None:
        """Do a step that is not done; return when to try it again, None when it is done."""
        if withdrawal.is_done(step):
            return None
        try:
            await self._saga.do(withdrawal, step)
        except (DatabaseError, RedisError, OSError, TimeoutError):
            raise  # a store is away: the runner waits for it
        except NotYetError as error:
            log.info("withdrawal %s, %s: %s", withdrawal.id, step, error)
            return self._clock.now() + WAIT
        except Exception as error:
            log.exception("withdrawal %s, %s: failed", withdrawal.id, step)
            now = self._clock.now()
            failed = await self._repo.record_failure(withdrawal.id, step, type(error).__name__, now)
            if failed == ALARM_AT:
                self._alarm(f"Withdrawal {withdrawal.id} does not get past {step}.")
            return now + min(WAIT * (1 << min(failed, 12)), LONGEST_WAIT)
        return None

    async def _tell(self, withdrawal: Withdrawal) -> datetime | None:
        for provider in await self._farewells.tell(withdrawal, self._clock.now()):
            self._alarm(f"Withdrawal {withdrawal.id}: {provider.value} was never told.")
        return _next_outside(await self._repo.find(withdrawal.id) or withdrawal)


def _next_outside(withdrawal: Withdrawal) -> datetime | None:
    waits = [one.next_at for one in withdrawal.outside if one.next_at is not None]
    return min(waits, default=None)
