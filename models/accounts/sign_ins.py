"""Signing in and staying so: short access tokens, and refresh tokens that are good once.

The tokens of a sign-in form a chain (RFC 6819, 5.2.2.3). Presenting one that was used ends the
sign-in, since two are using it then, unless its own device asks again within seconds: its answer
was lost, and it gets the same successor again. The successor follows from the used token and a
stored salt, so that however many ask at once, the chain has one end.
"""

import hashlib
import hmac
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from redis.exceptions import RedisError

from config import metrics
from config.clock import Clock
from models.accounts.letters import reused_mail
from models.accounts.records import USABLE, Device, Role, SignIn, User
from models.accounts.repo import AccountRepo
from models.accounts.revocations import Revocations
from models.accounts.sign_in_repo import SignInRepo
from models.accounts.signing import Issuer
from models.errors import AppError, ErrorCode
from models.mails import Mails

log = logging.getLogger(__name__)

FOLLOWED = 5
"""Steps along the chain that one lost answer may have cost."""


@dataclass(frozen=True, slots=True)
class Lives:
    """How long sign-ins last."""

    idle: timedelta
    """A refresh token not used by then is over."""
    absolute: timedelta
    """A sign-in is over then, used or not."""
    reuse: timedelta
    """A device that lost an answer may ask for it again this long."""
    each: int
    """Sign-ins of an account, and devices of a child; the longest unused ends for a new one."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What somebody who signs in is given."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    access_seconds: int
    sign_in: SignIn


class SignIns:
    """Begins, continues, lists and ends sign-ins.

    Args:
        mails: posts mails.
        new_secret: makes refresh tokens and salts: 256 random bits as text.
        new_id: makes ids.
    """

    def __init__(
        self,
        *,
        repo: SignInRepo,
        accounts: AccountRepo,
        issuer: Issuer,
        revocations: Revocations,
        clock: Clock,
        lives: Lives,
        mails: Mails,
        new_secret: Callable[[], str],
        new_id: Callable[[], str],
    ) -> None:
        self._repo = repo
        self._accounts = accounts
        self._issuer = issuer
        self._revocations = revocations
        self._clock = clock
        self._lives = lives
        self._mails = mails
        self._new_secret = new_secret
        self._new_id = new_id

    async def begin(self, user: User, device: Device) -> Tokens:
        """Sign an account in on a device."""
        return await self._begin(user, device, user.roles, None)

    async def issue_child_device(self, user: User, child_id: str, device: Device) -> Tokens:
        """Sign a child's device in, in the name of the guardian who allows it.

        Whether the guardian may is the caller's to check. The device ends with the guardian's
        token version, and reaches the one child alone.
        """
        return await self._begin(user, device, (Role.CHILD,), child_id)

    async def _begin(
        self, user: User, device: Device, roles: tuple[Role, ...], child_id: str | None
    ) -> Tokens:
        now = self._clock.now()
        sign_in = SignIn(
            id=self._new_id(),
            user_id=user.id,
            roles=roles,
            device=device,
            version=user.version,
            signed_in_at=now,
            used_at=now,
            ends_at=now + self._lives.absolute,
            child_id=child_id,
        )
        refresh = self._new_secret()
        await self._repo.begin(sign_in, digest_of(refresh), self._idle_until(sign_in, now))
        await self._make_room(user.id, child_id, now)
        return self._tokens(sign_in, refresh)

    async def refresh(self, token: str, device_id: str) -> Tokens:
        """Return the next tokens of a sign-in, for a refresh token that was not used yet.

        Raises:
            AppError: `unauthenticated`: the token is unknown, over, or was used before.
        """
        now = self._clock.now()
        for _ in range(FOLLOWED):
            digest = digest_of(token)
            used = await self._repo.rotate(digest, self._new_secret(), now)
            fresh = used is not None
            if used is None:
                used = await self._repo.find_token(digest)
                if used is None or used["active"]:
                    raise _refused()  # unknown, or nobody used it in time
                if not self._is_lost_answer(used["rotated_at"], used, device_id, now):
                    await self._end_reused(used["sign_in"], digest, now)
                    raise _refused()
            sign_in = await self._holding(used["sign_in"], now)
            token = _successor(token, used["salt"])
            idle_until = self._idle_until(sign_in, now)
            await self._repo.add_token(sign_in, digest_of(token), idle_until, digest)
            if fresh or await self._is_unused(token):
                if "came_from" in used:
                    await self._repo.forget_salt(used["came_from"], now - self._lives.reuse)
                return self._tokens(sign_in, token)
        raise _refused()

    async def _is_unused(self, token: str) -> bool:
        found = await self._repo.find_token(digest_of(token))
        return found is not None and found["active"]

    def _is_lost_answer(
        self, rotated_at: datetime, used: dict[str, object], device_id: str, now: datetime
    ) -> bool:
        same = hmac.compare_digest(str(used["device_id"]).encode(), device_id.encode())
        return same and "salt" in used and now - rotated_at <= self._lives.reuse

    async def _holding(self, sign_in_id: str, now: datetime) -> SignIn:
        """Return a sign-in that holds, and whose account does.

        Raises:
            AppError: `unauthenticated`.
        """
        sign_in = await self._repo.use(sign_in_id, now)
        if sign_in is None:
            raise _refused()
        user = await self._accounts.find(sign_in.user_id)
        if user is None or user.status not in USABLE or user.version != sign_in.version:
            raise _refused()
        return sign_in

    async def _end_reused(self, sign_in_id: str, digest: str, now: datetime) -> None:
        found = await self._repo.find(sign_in_id)
        if found is None:
            return
        sign_in, active = found
        first = await self._accounts.add_event(
            {
                "_id": f"reuse:{digest}",
                "kind": "refresh_token_reused",
                "user_id": sign_in.user_id,
                "sign_in": sign_in.id,
                "at": now,
            }
        )
        if active:
            await self._warn(sign_in, digest)
        if first and active:  # a thief who asks fifty times at once is one piece of news
            metrics.FAMILIES_REVOKED.inc()
            log.warning("a refresh token came twice: sign-in %s ends", sign_in.id)
        await self.end(sign_in.user_id, sign_in.id, "reused")

    async def _warn(self, sign_in: SignIn, digest: str) -> None:
        user = await self._accounts.find(sign_in.user_id)
        if user is not None and user.email is not None and not user.is_test:
            mail = reused_mail(user.email, user.locale, sign_in.device.name)
            await self._mails.post(mail, key=f"reuse:{digest}", about=user.id)

    async def give_again(self, sign_in_id: str) -> tuple[str, SignIn]:
        """Return an access token that says credentials were given just now.

        Raises:
            AppError: `unauthenticated`, the sign-in has ended.
        """
        now = self._clock.now()
        sign_in = await self._repo.renew_credentials(sign_in_id, now)
        if sign_in is None:
            raise _refused()
        return self._access(sign_in), sign_in

    async def require(self, sign_in_id: str) -> SignIn:
        """Return a sign-in that holds by the database's word, for what must not wait for news.

        Raises:
            AppError: `unauthenticated`.
        """
        return await self._holding(sign_in_id, self._clock.now())

    async def end(self, user_id: str, sign_in_id: str, why: str = "signed_out") -> None:
        """End one sign-in of an account; one that is not theirs is `not_found`.

        Raises:
            AppError: `not_found`; `busy` where Redis cannot tell the workers: asking again is safe.
        """
        if not await self._repo.end(sign_in_id, user_id, why, self._clock.now()):
            raise AppError(ErrorCode.NOT_FOUND, "There is no such sign-in.")
        await self._tell([sign_in_id])

    async def end_all(self, user: User, why: str) -> None:
        """End every sign-in of an account that is older than its token version.

        Raises:
            AppError: `busy` where Redis cannot tell the workers: asking again is safe.
        """
        now = self._clock.now()
        ended = await self._repo.end_all(user.id, user.version, f"{why}:{user.version}", now)
        await self._tell(ended, user)

    async def end_everything(self, user_id: str, why: str = "signed_out_everywhere") -> None:
        """End every sign-in of an account, whatever is under way.

        Raises:
            AppError: `busy` where Redis cannot tell the workers: asking again is safe.
        """
        raised = await self._accounts.raise_version(user_id)
        if raised is not None:
            await self.end_all(raised, why)

    async def change_roles(self, user_id: str, roles: Sequence[Role]) -> bool:
        """Give an account other roles; everything signed in ends. Tell whether there is one.

        Raises:
            AppError: `busy` where Redis cannot tell the workers: asking again is safe.
        """
        changed = await self._accounts.change_roles(user_id, [role.value for role in roles])
        if changed is None:
            return False
        await self.end_all(changed, "roles_changed")
        return True

    async def list_of(self, user_id: str) -> list[SignIn]:
        """Return an account's sign-ins that hold, those of children's devices among them."""
        return await self._repo.list_active(user_id, self._clock.now())

    async def list_of_child(self, child_id: str) -> list[SignIn]:
        """Return the devices signed in for a child."""
        return await self._repo.list_of_child(child_id, self._clock.now())

    async def _make_room(self, user_id: str, child_id: str | None, now: datetime) -> None:
        held = await self._repo.list_active(user_id, now)
        alike = [one for one in held if one.child_id == child_id]
        for one in alike[self._lives.each :]:
            try:
                await self.end(user_id, one.id, "too_many")
            except AppError as error:
                # It has ended: only its last access token is taken until that ends by itself.
                log.warning("an old sign-in made room: %s", error.message)

    async def _tell(self, sign_ins: list[str], user: User | None = None) -> None:
        try:
            await self._revocations.withdraw(sign_ins)
            if user is not None:
                await self._revocations.raise_version(user.id, user.version)
        except (RedisError, OSError) as error:
            raise AppError(
                ErrorCode.BUSY, "Not known to every server yet; ask again.", retry_ms=1000
            ) from error

    def _idle_until(self, sign_in: SignIn, now: datetime) -> datetime:
        return min(now + self._lives.idle, sign_in.ends_at)

    def _tokens(self, sign_in: SignIn, refresh: str) -> Tokens:
        return Tokens(self._access(sign_in), refresh, self._issuer.seconds, sign_in)

    def _access(self, sign_in: SignIn) -> str:
        return self._issuer.issue(
            user_id=sign_in.user_id,
            sign_in=sign_in.id,
            roles=sign_in.roles,
            version=sign_in.version,
            signed_in_at=int(sign_in.signed_in_at.timestamp()),
            child_id=sign_in.child_id,
        )


def digest_of(token: str) -> str:
    """Return what is stored of a refresh token. It is random: a plain hash keeps it."""
    return hashlib.sha256(token.encode()).hexdigest()


def _successor(token: str, salt: str) -> str:
    """Return the token that follows one: unknown to who lacks the token or the stored salt."""
    return hmac.new(token.encode(), salt.encode(), hashlib.sha256).hexdigest()


def _refused() -> AppError:
    return AppError(ErrorCode.UNAUTHENTICATED, "The refresh token holds no longer; sign in again.")
