"""Those who vouch for people: one interface over Google, Apple and Kakao."""

import logging
from dataclasses import dataclass, field

from clients.appleid import AppleId
from clients.base import UpstreamError
from clients.google import Google
from clients.idtoken import Identity, IdTokenError
from clients.kakao import Kakao
from models.accounts.records import Provider
from models.errors import AppError, ErrorCode

log = logging.getLogger(__name__)

RETRY_MS = 30_000


@dataclass(frozen=True, slots=True)
class Proof:
    """What somebody brings from a provider. All of it is secret."""

    id_token: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    """Kakao's, where the app has no ID token."""
    nonce: str | None = field(default=None, repr=False)
    code: str | None = field(default=None, repr=False)
    """Apple's authorization code."""
    name: str | None = field(default=None, repr=False)
    """Apple tells it to the app alone, and once."""


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whom a provider vouches for."""

    provider: Provider
    identity: Identity
    client_id: str | None = None
    """Of Apple: the app the token is for."""


class Vouchers:
    """The providers that are set up; None for one that is not."""

    def __init__(self, google: Google | None, apple: AppleId | None, kakao: Kakao | None) -> None:
        self.google = google
        self.apple = apple
        self.kakao = kakao

    async def close(self) -> None:
        """Close the connections."""
        for one in (self.google, self.apple, self.kakao):
            if one is not None:
                await one.close()

    async def identify(self, provider: Provider, proof: Proof) -> Vouched:
        """Return whom a proof names.

        Raises:
            AppError: `unauthenticated`, with the rule that failed; `provider_unavailable`.
        """
        try:
            return await self._identify(provider, proof)
        except IdTokenError as error:
            raise AppError(
                ErrorCode.UNAUTHENTICATED,
                f"The token of {provider.value} is not taken: {error}.",
            ) from error
        except UpstreamError as error:
            raise _unavailable(provider, error) from error

    async def _identify(self, provider: Provider, proof: Proof) -> Vouched:
        token = proof.id_token or ""
        if provider is Provider.GOOGLE and self.google is not None:
            return Vouched(provider, await self.google.identity(token, proof.nonce))
        if provider is Provider.APPLE and self.apple is not None:
            identity, client_id = await self.apple.identity(token, proof.nonce)
            return Vouched(provider, identity, client_id)
        if provider is Provider.KAKAO and self.kakao is not None:
            if proof.access_token is not None:
                identity = await self.kakao.identity_of_access_token(proof.access_token)
            else:
                identity = await self.kakao.identity(token, proof.nonce)
            return Vouched(provider, identity)
        raise AppError(
            ErrorCode.PROVIDER_UNAVAILABLE, f"Sign-in by {provider.value} is not set up here."
        )

    async def apple_grant(self, code: str, client_id: str) -> str | None:
        """Exchange Apple's code for a refresh token; None where that is not set up.

        Raises:
            AppError: `unauthenticated`, the code is not good; `provider_unavailable`.
        """
        if self.apple is None:
            return None
        try:
            return await self.apple.refresh_token(code, client_id)
        except IdTokenError as error:
            raise AppError(
                ErrorCode.UNAUTHENTICATED, f"The sign-in by apple is not taken: {error}."
            ) from error
        except UpstreamError as error:
            raise _unavailable(Provider.APPLE, error) from error

    async def withdraw_apple(self, refresh_token: str, client_id: str) -> None:
        """Give back what somebody granted us at Apple.

        Raises:
            AppError: `provider_unavailable`.
        """
        if self.apple is None:
            return
        try:
            await self.apple.revoke(refresh_token, client_id)
        except UpstreamError as error:
            raise _unavailable(Provider.APPLE, error) from error


def _unavailable(provider: Provider, error: UpstreamError) -> AppError:
    # One that refuses us, rather than being away, wants somebody to look at the settings.
    log.log(logging.WARNING if error.retryable else logging.ERROR, "sign-in: %s", error)
    return AppError(
        ErrorCode.PROVIDER_UNAVAILABLE,
        f"{provider.value} does not answer; try again, or sign in another way.",
        details={"provider": provider.value},
        retry_ms=RETRY_MS,
    )
