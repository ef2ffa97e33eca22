"""Telling the providers that somebody leaves: Apple's grant is given back, Kakao's link is cut."""

import logging
from datetime import datetime, timedelta
from typing import Final

from clients.appleid import AppleId
from clients.base import UpstreamError
from clients.kakao import Kakao
from config import metrics
from models.accounts.records import Provider, User
from models.cipher import Context, FieldCipher, UnsealError
from models.withdrawal.records import Outside, OutsideState, Withdrawal
from models.withdrawal.repo import WithdrawalRepo

log = logging.getLogger(__name__)

FIRST_WAIT: Final = timedelta(minutes=1)
LONGEST_WAIT: Final = timedelta(hours=24)


class Farewells:
    """What is given back outside. None of it ever keeps us from erasing.

    Args:
        apple, kakao: None where they are not set up, or where we have no key to tell them with.
        attempts: after so many the operators are told, and the person is asked to do it.
    """

    def __init__(
        self,
        repo: WithdrawalRepo,
        cipher: FieldCipher,
        apple: AppleId | None,
        kakao: Kakao | None,
        attempts: int,
    ) -> None:
        self._repo = repo
        self._cipher = cipher
        self._apple = apple
        self._kakao = kakao
        self._attempts = attempts

    async def prepare(self, withdrawal: Withdrawal, user: User) -> int:
        """Keep what they are told, sealed, since the account is erased; return how many."""
        kept = 0
        for method in user.methods:
            told: str | None = None
            if method.provider is Provider.APPLE:
                told = self._apple_token(method.refresh_sealed, user.id)
            elif method.provider is Provider.KAKAO:
                told = self._kakao_id(method.subject)
            else:
                continue
            place = _place(withdrawal.id, method.provider)
            one = Outside(
                method.provider,
                OutsideState.BY_HAND if told is None else OutsideState.PENDING,
                sealed=None if told is None else self._cipher.seal(told, place),
                client_id=method.client_id,
            )
            await self._repo.add_outside(withdrawal.id, one)
            kept += 1
        return kept

    def _apple_token(self, sealed: str | None, user_id: str) -> str | None:
        if sealed is None or self._apple is None or not self._apple.can_revoke:
            return None
        try:
            return self._cipher.open(sealed, Context("users", "refresh_sealed", user_id))
        except UnsealError as error:
            log.error("withdrawal: a grant of Apple is lost: %s", error)
            return None

    def _kakao_id(self, subject: str) -> str | None:
        return subject if self._kakao is not None and self._kakao.can_unlink else None

    async def tell(self, withdrawal: Withdrawal, now: datetime) -> list[Provider]:
        """Tell those who are due; return those that were told for the last time in vain."""
        given_up = []
        for one in withdrawal.due_outside(now):
            try:
                await self._tell(withdrawal.id, one)
            except (UpstreamError, UnsealError) as error:
                log.warning("withdrawal %s: %s", withdrawal.id, error)
                if one.attempts + 1 < self._attempts and not isinstance(error, UnsealError):
                    wait = min(FIRST_WAIT * (1 << min(one.attempts, 12)), LONGEST_WAIT)
                    await self._repo.put_off_outside(withdrawal.id, one.provider, now + wait)
                    continue
                state = OutsideState.FAILED
                given_up.append(one.provider)
            else:
                state = OutsideState.DONE
            metrics.FAREWELLS.labels(one.provider.value, state.value).inc()
            await self._repo.settle_outside(withdrawal.id, one.provider, state.value)
        return given_up

    async def _tell(self, withdrawal_id: str, one: Outside) -> None:
        told = self._cipher.open(one.sealed or "", _place(withdrawal_id, one.provider))
        if one.provider is Provider.APPLE and self._apple is not None:
            await self._apple.revoke(told, one.client_id or "")
        elif one.provider is Provider.KAKAO and self._kakao is not None:
            await self._kakao.unlink(told)
        else:
            raise UpstreamError(one.provider.value, "it is not set up here", retryable=True)


def _place(withdrawal_id: str, provider: Provider) -> Context:
    return Context("withdrawals", f"outside.{provider.value}", withdrawal_id)
