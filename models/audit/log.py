"""Writing down who looks at a child's data and what admins do, before it happens."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from config import metrics
from models.audit.records import CHAINS, Entry, chain_of
from models.audit.repo import AuditRepo
from models.db import DatabaseError
from models.errors import AppError, ErrorCode

log = logging.getLogger(__name__)

WAIT_SECONDS: Final = 3.0
"""A look that is not in the log by then is refused."""


class AuditLog:
    """The access log as the product writes it.

    Whatever is not written down is not shown, to therapists as to admins: the log lies in the
    same database as the data, so a time in which only the log is away does not exist.
    """

    def __init__(self, repo: AuditRepo) -> None:
        self._repo = repo
        # One transaction a chain at a time: those of one worker need not run into each other.
        self._locks = [asyncio.Lock() for _ in range(CHAINS)]

    async def record(self, looks: Sequence[Entry]) -> None:
        """Write entries down; they are in MongoDB when this returns.

        Raises:
            AppError: `busy`; it is not known whether they were written, so nothing may be shown.
        """
        chains: dict[int, list[Entry]] = defaultdict(list)
        for look in looks:
            chains[chain_of(look.subject)].append(look)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                for chain, part in chains.items():
                    async with self._locks[chain]:
                        await self._repo.append(chain, part)
        except (DatabaseError, LookupError, OSError, TimeoutError) as error:
            metrics.LOOKS_REFUSED.inc(len(looks))
            log.error("access log: not written: %s: %s", type(error).__name__, error)
            raise AppError(
                ErrorCode.BUSY,
                "The access log cannot be written now, so nothing is shown; try again.",
                retry_ms=2000,
            ) from error
        for look in looks:
            metrics.LOOKS.labels(look.role).inc()
