"""Telephone numbers, verified by a code: Twilio's for +1, our own by text message for +82."""

import logging
from datetime import timedelta
from typing import Protocol

from clients.base import UpstreamError
from clients.mail import FolderMailer, Mail
from clients.sens import Sens
from config.clock import Clock
from models.accounts.codes import DIGITS, OneTimeCodes, code_refused
from models.accounts.letters import text_of_code
from models.accounts.phone_numbers import Country, canonical_number, masked_number
from models.accounts.profiles import WasHere
from models.accounts.records import User, phone_key
from models.accounts.repo import AccountRepo, TakenError
from models.cipher import Context, FieldCipher
from models.errors import AppError, ErrorCode
from models.limits import Rate

log = logging.getLogger(__name__)

CODE_LENGTH = 6
CODE_LIFE = timedelta(minutes=3)
NUMBER_RATES = (Rate(1, 60), Rate(5, 86_400))
"""Codes to one number."""
ADDRESS_RATES = (Rate(10, 3600),)
"""Codes asked for from one address."""


class PhoneVerifier(Protocol):
    """Whoever sends codes to numbers and tells whether they are right."""

    async def send(self, number: str, locale: str) -> None:
        """Send a code to a number in E.164 form.

        Raises:
            UpstreamError: it was not taken.
        """
        ...

    async def check(self, number: str, code: str) -> bool:
        """Tell whether it is the code; of many who ask at once, one is told yes."""
        ...


class OwnCodes:
    """Codes of our own, sent as text messages."""

    def __init__(self, codes: OneTimeCodes, sender: "Sens | TextFolder") -> None:
        self._codes = codes
        self._sender = sender

    async def send(self, number: str, locale: str) -> None:
        """Send a code; the one before it is good no more."""
        code = await self._codes.issue(
            f"phone:{number}",
            alphabet=DIGITS,
            length=CODE_LENGTH,
            seconds=int(CODE_LIFE.total_seconds()),
        )
        await self._sender.send(number, text_of_code(code, locale))

    async def check(self, number: str, code: str) -> bool:
        """Tell whether it is the code."""
        return await self._codes.check(f"phone:{number}", code)


class TextFolder:
    """Text messages as files beside the mails, for development."""

    def __init__(self, folder: FolderMailer) -> None:
        self._folder = folder

    async def send(self, number: str, content: str) -> None:
        """Write a message."""
        await self._folder.send(Mail(number, "SMS", content))


class Nobody:
    """The verifier of test accounts: reaches nobody outside, and no code is right."""

    async def send(self, number: str, locale: str) -> None:
        """Send nothing."""

    async def check(self, number: str, code: str) -> bool:
        """Tell that it is not the code."""
        del number, code
        return False


_NOBODY = Nobody()


class Phones:
    """The telephone numbers of accounts: sealed, looked up by a keyed digest."""

    def __init__(
        self,
        accounts: AccountRepo,
        codes: OneTimeCodes,
        cipher: FieldCipher,
        verifiers: dict[Country, PhoneVerifier],
        was_here: WasHere,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._codes = codes
        self._cipher = cipher
        self._verifiers = verifiers
        self._was_here = was_here
        self._clock = clock

    async def send_code(self, user: User, number: str, address: str | None) -> None:
        """Send a code, alike for numbers that are known and unknown.

        Args:
            address: who is counted for it; None for this machine itself.

        Raises:
            AppError: `invalid`, `rate_limited`, `provider_unavailable`.
        """
        canonical, country = canonical_number(number)
        counted: dict[str, tuple[Rate, ...]] = {f"number:{canonical}": NUMBER_RATES}
        if address is not None:
            counted[f"address:{address}"] = ADDRESS_RATES
        verifier = self._verifier(user, country)
        await self._codes.allow(counted, self._clock.time_us())
        try:
            await verifier.send(canonical, user.locale)
        except UpstreamError as error:
            raise _unavailable(error) from error

    async def confirm(self, user: User, number: str, code: str) -> User:
        """Store the number if the code is the one that was sent to it.

        Raises:
            AppError: `invalid`, `code_refused`, `provider_unavailable`; `conflict` where another
                account has the number.
        """
        canonical, country = canonical_number(number)
        try:
            right = await self._verifier(user, country).check(canonical, code)
        except UpstreamError as error:
            raise _unavailable(error) from error
        if not right:
            raise code_refused()
        if await self._was_here([phone_key(canonical)]):
            await self._accounts.mark_returning(user.id)
        try:
            changed = await self._accounts.set_phone(
                user.id,
                sealed=self._cipher.seal(canonical, _place(user.id)),
                index=self._cipher.index(canonical, "phone"),
                verified_at=self._clock.now(),
            )
        except TakenError as error:
            raise AppError(ErrorCode.CONFLICT, "The number belongs to another account.") from error
        return changed or user

    async def forget(self, user: User) -> None:
        """Remove the number of an account."""
        await self._accounts.remove_phone(user.id)

    def masked(self, user: User) -> str | None:
        """Return the number as its owner knows it."""
        if user.phone_sealed is None:
            return None
        return masked_number(self._cipher.open(user.phone_sealed, _place(user.id)))

    def _verifier(self, user: User, country: Country) -> PhoneVerifier:
        if user.is_test:
            return _NOBODY
        verifier = self._verifiers.get(country)
        if verifier is None:
            raise AppError(
                ErrorCode.PROVIDER_UNAVAILABLE, f"Codes to {country} are not set up here."
            )
        return verifier


def _place(user_id: str) -> Context:
    return Context("users", "phone", user_id)


def _unavailable(error: UpstreamError) -> AppError:
    log.log(logging.WARNING if error.retryable else logging.ERROR, "phone codes: %s", error)
    return AppError(
        ErrorCode.PROVIDER_UNAVAILABLE,
        "Codes cannot be sent right now; try later.",
        retry_ms=60_000,
    )
