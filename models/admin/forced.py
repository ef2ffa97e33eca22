"""Forced tokens: an admin sees, or does, what somebody sees and does; openly, and not for long."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from redis.exceptions import RedisError

from config.clock import Clock
from models.accounts.records import USABLE, Actor, Principal, Role
from models.accounts.repo import AccountRepo
from models.accounts.revocations import Revocations
from models.accounts.signing import Issuer
from models.admin.forced_repo import ForcedTokenRepo
from models.admin.records import ForcedToken, Scope
from models.errors import AppError, ErrorCode

FORCED_SECONDS: Final = 900
"""Life of a forced token. There is no refresh token with it."""


class ForcedTokens:
    """Makes, lists and revokes tokens in somebody else's name.

    Args:
        alarm: tells the operators.
    """

    def __init__(
        self,
        repo: ForcedTokenRepo,
        accounts: AccountRepo,
        issuer: Issuer,
        revocations: Revocations,
        clock: Clock,
        alarm: Callable[[str], None],
    ) -> None:
        self._repo = repo
        self._accounts = accounts
        self._issuer = issuer
        self._revocations = revocations
        self._clock = clock
        self._alarm = alarm

    async def issue(
        self, token_id: str, user_id: str, admin: Principal, scope: Scope, reason: str
    ) -> tuple[str, ForcedToken]:
        """Return an access token in somebody's name, and what is kept of it.

        Raises:
            AppError: `not_found`; `forbidden` for the account of an admin or a service; `conflict`
                for one that is being erased.
        """
        user = await self._accounts.find(user_id)
        if user is None:
            raise AppError(ErrorCode.NOT_FOUND, "There is no such account.")
        if {Role.ADMIN, Role.SERVICE} & set(user.roles):
            raise AppError(ErrorCode.FORBIDDEN, "Nobody acts in the name of an admin.")
        if user.status not in USABLE:
            raise AppError(ErrorCode.CONFLICT, "The account is being erased.")
        now = self._clock.now()
        ends_at = now + timedelta(seconds=FORCED_SECONDS)
        kept = ForcedToken(
            token_id, user.id, admin.user_id, admin.sign_in, scope, reason, now, ends_at
        )
        await self._repo.insert(kept)
        # The reason may name somebody: it stays in the log and out of the channel.
        self._alarm(f"admin {admin.user_id} may {scope} in the name of {user.id} until {ends_at}")
        token = self._issuer.issue(
            user_id=user.id,
            sign_in=kept.id,
            roles=user.roles,
            version=user.version,
            signed_in_at=0,  # nobody gave this person's credentials
            actor=Actor(admin.user_id, admin.sign_in, admin.version, reason),
            scope=scope.value,
        )
        return token, kept

    async def revoke(self, user_id: str, token_id: str, by: str) -> None:
        """Let a token hold no longer; its connections end within 2 s. Doing it again is safe.

        Raises:
            AppError: `not_found`; `busy` where Redis cannot tell the workers.
        """
        if not await self._repo.revoke(user_id, token_id, by, self._clock.now()):
            raise AppError(ErrorCode.NOT_FOUND, "There is no such token of this account.")
        try:
            await self._revocations.withdraw([token_id])
        except (RedisError, OSError) as error:
            raise AppError(
                ErrorCode.BUSY, "Not known to every server yet; ask again.", retry_ms=1000
            ) from error

    async def list_of(
        self, user_id: str, limit: int, before: tuple[datetime, str] | None
    ) -> list[ForcedToken]:
        """Return the tokens in somebody's name, the newest first."""
        return await self._repo.list_of(user_id, limit, before)
