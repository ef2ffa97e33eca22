"""Alarms: what an operator must hear of, logged and posted to their channel if there is one."""

import asyncio
import logging

from pydantic import SecretStr

from clients.base import UpstreamError
from clients.discord import Discord

log = logging.getLogger(__name__)

WAITING = 100
"""Alarms that may wait to be posted; more say nothing new."""
QUIET_SECONDS = 2.0
"""Alarms raised within this time are posted as one note."""


class Alarms:
    """Collects alarms and posts them."""

    def __init__(self, webhook: SecretStr | None, quiet_seconds: float = QUIET_SECONDS) -> None:
        self._discord = Discord(webhook.get_secret_value()) if webhook is not None else None
        self._queue: asyncio.Queue[str] = asyncio.Queue(WAITING)
        self._quiet = quiet_seconds

    def raise_alarm(self, text: str) -> None:
        """Tell the operators; never waits."""
        log.error("alarm: %s", text)
        if self._discord is not None and not self._queue.full():
            self._queue.put_nowait(text)

    async def run(self) -> None:
        """Post for ever."""
        while True:
            notes = [await self._queue.get()]
            await asyncio.sleep(self._quiet)
            while not self._queue.empty():
                notes.append(self._queue.get_nowait())
            if self._discord is None:
                continue
            try:
                await self._discord.post("\n".join(notes))
            except UpstreamError as error:
                log.warning("%d alarms could not be posted: %s", len(notes), error)

    async def close(self) -> None:
        """Close the channel."""
        if self._discord is not None:
            await self._discord.close()
