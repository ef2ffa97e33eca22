"""Acts on the news that lie in the inbox: one worker at a time, again after failures."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from redis.exceptions import RedisError

from config import metrics
from config.clock import Clock
from config.services import WebhookSettings
from models.db import DatabaseError
from models.errors import AppError, ErrorCode
from models.inbox import Claimed, Inbox, Status
from models.webhooks import Webhooks
from models.withdrawal.cut import Cuts

log = logging.getLogger(__name__)

LEASE: Final = timedelta(seconds=60)
"""A worker that is gone holds news up for that long; two at once do no harm."""
WAIT: Final = timedelta(seconds=2)
LONGEST_WAIT: Final = timedelta(hours=1)


class NewsDesk:
    """Looks for news that are due.

    Args:
        alarm: tells the operators.
    """

    def __init__(
        self,
        inbox: Inbox,
        webhooks: Webhooks,
        cuts: Cuts,
        clock: Clock,
        alarm: Callable[[str], None],
        settings: WebhookSettings,
    ) -> None:
        self.inbox = inbox
        self._webhooks = webhooks
        self._cuts = cuts
        self._clock = clock
        self._alarm = alarm
        self._settings = settings

    async def run(self) -> None:
        """Look for ever; raises when a store is away, and is started again."""
        while True:
            await self._webhooks.keep_late()
            while await self.look():
                pass
            await asyncio.sleep(self._settings.look_seconds)

    async def look(self) -> bool:
        """Act on what is due; False if there is nothing."""
        now = self._clock.now()
        claimed = await self.inbox.claim(now, now + LEASE)
        if claimed is None:
            return False
        try:
            acted = await self._cuts.act(self.inbox.read(claimed))
        except (DatabaseError, RedisError, OSError, TimeoutError):
            await self.inbox.put_off(claimed, self._clock.now() + WAIT)
            raise  # a store is away: the runner waits for it
        except Exception as error:
            if isinstance(error, AppError) and error.code is ErrorCode.BUSY:
                await self.inbox.put_off(claimed, self._clock.now() + WAIT)
            else:
                await self._fail(claimed, error)
            return True
        status = Status.DONE if acted else Status.IGNORED
        await self.inbox.settle(claimed, status, self._clock.now())
        metrics.WEBHOOKS.labels(claimed.source, status.value).inc()
        return True

    async def _fail(self, claimed: Claimed, error: Exception) -> None:
        log.error("news %s: failed", claimed.id, exc_info=error)
        failed, now = claimed.attempts + 1, self._clock.now()
        if failed < self._settings.attempts:
            wait = min(WAIT * (1 << min(claimed.attempts, 12)), LONGEST_WAIT)
            await self.inbox.fail(claimed, type(error).__name__, now + wait, now)
            return
        await self.inbox.fail(claimed, type(error).__name__, None, now)
        metrics.WEBHOOKS.labels(claimed.source, Status.DEAD.value).inc()
        self._alarm(f"News {claimed.id} could not be acted on.")
