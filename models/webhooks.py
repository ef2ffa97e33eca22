"""Taking news from providers in: whether they are theirs, what they tell, kept before answered."""

import asyncio
import json
import logging
import re
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from clients.appleid import AppleId, AppleNotice
from clients.base import UpstreamError
from clients.idtoken import IdTokenError
from clients.kakao import Kakao
from config import metrics
from config.clock import Clock
from models.accounts.records import Provider
from models.db import DatabaseError
from models.errors import AppError, ErrorCode
from models.inbox import Inbox, Kind, News

log = logging.getLogger(__name__)

APPLE: Final = {
    "consent-revoked": Kind.CUT,
    "account-delete": Kind.CUT,
    "account-deleted": Kind.CUT,
    "email-disabled": Kind.MAIL_OFF,
    "email-enabled": Kind.MAIL_ON,
}
REFERRERS: Final = frozenset(
    {
        "ACCOUNT_DELETE",
        "FORCED_ACCOUNT_DELETE",
        "UNLINK_FROM_ADMIN",
        "UNLINK_FROM_APPS",
        "INCOMPLETE_SIGN_UP",
    }
)
"""Why Kakao says that somebody was unlinked; all of it comes to the same here."""
KEEP_SECONDS: Final = 2.0
"""Kakao wants its answer within three seconds."""
AT_ONCE: Final = 64
LATE: Final = 1000
"""News that a process holds itself while the database is away."""
RETRY_MS: Final = 5000
_PERSON = re.compile(r"[0-9]{1,20}")


class Webhooks:
    """What providers tell us.

    Args:
        apple, kakao: None where they are not set up.
        alarm: tells the operators.
    """

    def __init__(
        self,
        inbox: Inbox,
        apple: AppleId | None,
        kakao: Kakao | None,
        clock: Clock,
        alarm: Callable[[str], None],
    ) -> None:
        self._inbox = inbox
        self._apple = apple
        self._kakao = kakao
        self._clock = clock
        self._alarm = alarm
        self._places = asyncio.Semaphore(AT_ONCE)
        self._late: deque[News] = deque()

    async def read_apple(self, raw: bytes) -> AppleNotice:
        """Return what a call of Apple tells.

        Raises:
            AppError: `unauthenticated`, Apple did not sign it for us; `busy`, its keys cannot be
                had.
        """
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            body = None
        payload = body.get("payload") if isinstance(body, dict) else None
        if self._apple is None or not isinstance(payload, str):
            raise _refused()
        try:
            return await self._apple.notice(payload)
        except IdTokenError as error:
            log.warning("a call in Apple's name was refused: %s", error)
            raise _refused() from error
        except UpstreamError as error:
            raise _busy() from error

    def check_kakao(self, authorization: str | None) -> None:
        """Refuse a call that does not bear Kakao's admin key.

        Raises:
            AppError: `unauthenticated`.
        """
        if self._kakao is None or not self._kakao.is_caller(authorization):
            raise _refused()

    async def take_apple(self, notice: AppleNotice) -> None:
        """Keep what Apple tells; of a kind that means nothing here nothing is kept.

        Raises:
            AppError: `busy`: it is not kept, and Apple sends it again.
        """
        kind = APPLE.get(notice.kind)
        if kind is None:
            self._count(Provider.APPLE, "ignored")
            return
        try:
            at = datetime.fromtimestamp(notice.at_ms / 1000, UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise _refused() from error
        news = News(f"apple:{notice.id}", Provider.APPLE, kind, notice.subject, at)
        try:
            await self._keep(news)
        except (DatabaseError, OSError, TimeoutError) as error:
            raise _busy() from error

    async def take_kakao(self, event_id: str, app_id: str, user_id: str, referrer: str) -> None:
        """Keep that Kakao unlinked somebody; never fails, since Kakao does not ask again.

        While the database is away this process holds it, see `keep_late`.
        """
        own = self._kakao is not None and self._kakao.is_own_app(app_id)
        if not own or not _PERSON.fullmatch(user_id) or referrer not in REFERRERS:
            log.warning("a call of Kakao's was of another app, person or kind than there is")
            self._count(Provider.KAKAO, "ignored")
            return
        news = News(f"kakao:{event_id}", Provider.KAKAO, Kind.CUT, user_id, self._clock.now())
        try:
            await self._keep(news)
        except (AppError, DatabaseError, OSError, TimeoutError):
            if len(self._late) >= LATE:
                self._count(Provider.KAKAO, "lost")
                self._alarm("News of Kakao were lost: the database is away for too long.")
                return
            self._late.append(news)

    async def keep_late(self) -> None:
        """Keep what was held while the database was away.

        Raises:
            models.db.DatabaseError, TimeoutError: it still is.
        """
        while self._late:
            await self._keep(self._late[0])
            self._late.popleft()

    async def _keep(self, news: News) -> None:
        if self._places.locked():
            raise _busy()
        async with self._places, asyncio.timeout(KEEP_SECONDS):
            fresh = await self._inbox.put(news, self._clock.now())
        self._count(news.source, "received" if fresh else "repeated")

    @staticmethod
    def _count(source: Provider, outcome: str) -> None:
        metrics.WEBHOOKS.labels(source.value, outcome).inc()


def _refused() -> AppError:
    return AppError(ErrorCode.UNAUTHENTICATED, "The call is not signed by whom it should be.")


def _busy() -> AppError:
    return AppError(
        ErrorCode.BUSY, "It cannot be kept right now; send it again.", retry_ms=RETRY_MS
    )
