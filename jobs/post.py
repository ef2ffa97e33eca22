"""Mail on its way: nobody waits for it, so no answer tells by its time whether one was sent."""

import asyncio
import logging

from clients.base import UpstreamError
from clients.mail import Mail, Mailer
from config import metrics

log = logging.getLogger(__name__)

QUEUED = 1000
"""Mails that may wait; whoever misses one asks for another code."""
SENDERS = 4
"""Mails sent at once: one that has to wait holds up few others."""
AGAIN_SECONDS = (1.0, 5.0, 30.0)
"""Waits between attempts at one mail that may pass later."""


class PostOffice:
    """Sends mails, a few at once. What waits is lost with the process: codes are asked for anew."""

    def __init__(self, mailer: Mailer | None, again_seconds: tuple[float, ...] = AGAIN_SECONDS):
        self._mailer = mailer
        self._again = again_seconds
        self._queue: asyncio.Queue[Mail] = asyncio.Queue(QUEUED)

    def post(self, mail: Mail) -> None:
        """Send a mail soon; never waits."""
        try:
            self._queue.put_nowait(mail)
        except asyncio.QueueFull:
            metrics.MAILS.labels("dropped").inc()
            log.error("mail does not keep up: one was dropped")

    async def run(self) -> None:
        """Send what was posted, for ever."""
        async with asyncio.TaskGroup() as senders:
            for _ in range(SENDERS):
                senders.create_task(self._work())

    async def _work(self) -> None:
        while not _is_cancelled():
            await self._send(await self._queue.get())

    async def _send(self, mail: Mail) -> None:
        if self._mailer is None:
            metrics.MAILS.labels("dropped").inc()
            log.warning("a mail was not sent: set mail.host or mail.folder")
            return
        for wait in (*self._again, None):
            try:
                await self._mailer.send(mail)
            except UpstreamError as error:
                if wait is None or not error.retryable or _is_cancelled():
                    log.error("a mail was not sent: %s", error)
                    return
                await asyncio.sleep(wait)
            else:
                return


def _is_cancelled() -> bool:
    """Tell whether the task was cancelled, heard or not.

    `asyncio.wait_for` of Python 3.11, through which SMTP answers come, loses a cancellation that
    meets its result; the task group waits for every sender.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
