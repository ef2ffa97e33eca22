"""Delivers what lies in the outbox: a few at once, by lease, again after failures."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final, Protocol

from clients.base import UpstreamError
from clients.mail import Mailer, RecipientRefusedError
from config import metrics
from config.clock import Clock
from config.services import OutboxSettings
from models.cipher import UnsealError
from models.mails import mail_of
from models.outbox import Claimed, Kind, Outbox, Status

log = logging.getLogger(__name__)

AT_ONCE: Final = 4
"""Parcels delivered at once: one that has to wait holds up few others."""
LEASE: Final = timedelta(seconds=30)
"""Longer than any carrier waits. A worker that is gone holds a parcel up for that long."""
WAIT: Final = timedelta(seconds=1)
LONGEST_WAIT: Final = timedelta(minutes=30)
TROUBLE: Final = 8
"""Failures of one parcel, two minutes of them, that operators hear of: no hiccup lasts so long."""


class Carrier(Protocol):
    """Whoever delivers parcels of one kind."""

    async def deliver(self, parcel_id: str, payload: str) -> bool:
        """Tell somebody outside. It may be told again: the id is the same then.

        Returns:
            False where nobody is told by this process.

        Raises:
            UpstreamError: they did not take it.
        """
        ...


class Postman:
    """Carries mails. Without a mail server they are dropped with a warning."""

    def __init__(self, mailer: Mailer | None) -> None:
        self._mailer = mailer

    async def deliver(self, parcel_id: str, payload: str) -> bool:
        """Hand a mail over; its id goes along, so that one that comes again is known by it.

        Raises:
            UpstreamError: it was not taken.
        """
        if self._mailer is None:
            metrics.MAILS.labels("dropped").inc()
            log.warning("a mail was not sent: set mail.host or mail.folder")
            return False
        await self._mailer.send(mail_of(payload), parcel_id.partition(":")[2])
        return True


class Relay:
    """Looks for parcels that are due.

    Args:
        carriers: who delivers what.
        alarm: tells the operators.
    """

    def __init__(
        self,
        outbox: Outbox,
        carriers: Mapping[Kind, Carrier],
        clock: Clock,
        alarm: Callable[[str], None],
        settings: OutboxSettings,
    ) -> None:
        self._outbox = outbox
        self._carriers = carriers
        self._clock = clock
        self._alarm = alarm
        self._settings = settings
        self._troubled: set[Kind] = set()
        """Of which the operators heard since one of them was delivered."""

    async def run(self) -> None:
        """Deliver for ever; raises when the database is away, and is started again."""
        room = asyncio.Semaphore(AT_ONCE)
        try:
            async with asyncio.TaskGroup() as senders:
                while True:
                    await room.acquire()
                    claimed = await self._claim()
                    if _is_cancelled():
                        raise asyncio.CancelledError
                    if claimed is None:
                        room.release()
                        await self._outbox.wait(self._settings.look_seconds)
                        continue
                    sender = senders.create_task(self._deliver(claimed))
                    sender.add_done_callback(lambda _: room.release())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None  # as the runner knows an outage

    async def look(self, about: str | None = None) -> bool:
        """Deliver what is due first, of one account where it is named; False if nothing is."""
        claimed = await self._claim(about)
        if claimed is not None:
            await self._deliver(claimed)
        return claimed is not None

    async def _claim(self, about: str | None = None) -> Claimed | None:
        now = self._clock.now()
        return await self._outbox.claim(self._carriers.keys(), now, now + LEASE, about)

    async def _deliver(self, claimed: Claimed) -> None:
        status = Status.DONE
        if claimed.expires_at <= self._clock.now():
            status = Status.EXPIRED
            log.warning("parcel %s: its time was over before it was delivered", claimed.id)
        else:
            try:
                payload = self._outbox.read(claimed)
                told = await self._carriers[claimed.kind].deliver(claimed.id, payload)
            except Exception as error:  # one parcel holds up no other
                await self._fail(claimed, error)
                return
            status = Status.DROPPED
            if told:
                status = Status.DONE
                self._troubled.discard(claimed.kind)
        await self._outbox.settle(claimed, status, self._clock.now())
        metrics.OUTBOX.labels(claimed.kind.value, status.value).inc()

    async def _fail(self, claimed: Claimed, error: Exception) -> None:
        now, failed = self._clock.now(), claimed.attempts + 1
        known = isinstance(error, (UpstreamError, UnsealError))
        why = str(error) if known else type(error).__name__  # what others say may name somebody
        if not known:
            log.error("parcel %s: delivering it failed: %s", claimed.id, why)
        passes = error.retryable if isinstance(error, UpstreamError) else not known
        if passes and failed < self._settings.attempts:
            wait = min(WAIT * (1 << min(claimed.attempts, 12)), LONGEST_WAIT)
            await self._outbox.put_off(claimed, why, now + wait)
            if failed >= TROUBLE:
                self._tell(claimed, f"Parcel {claimed.id} failed {failed} times.")
            return
        await self._outbox.give_up(claimed, why, now)
        metrics.OUTBOX.labels(claimed.kind.value, Status.DEAD.value).inc()
        log.error("parcel %s was given up: %s", claimed.id, why)
        if not isinstance(error, RecipientRefusedError):
            self._tell(claimed, f"Parcel {claimed.id} was given up after {failed} attempts.")

    def _tell(self, claimed: Claimed, text: str) -> None:
        """Alarm once an outage: it is over when something of the kind is delivered."""
        if claimed.kind not in self._troubled:
            self._troubled.add(claimed.kind)
            self._alarm(text)


def _is_cancelled() -> bool:
    """Tell whether the task was cancelled, heard or not: a library may lose a cancellation."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
