"""ID tokens of sign-in providers (OpenID Connect Core 1.0, 3.1.3.7): verified, never trusted."""

import hmac
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from clients.jwks import Jwks
from config.clock import Clock

ALGORITHM = "RS256"
LEEWAY_SECONDS = 60
TOKEN_CHARS = 8192


class IdTokenError(Exception):
    """The token is not one of this provider for us. The message says which rule failed."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a provider says somebody is."""

    subject: str
    """The provider's own id of the person: never an e-mail, since those change hands."""
    email: str | None = None
    email_verified: bool = False
    name: str | None = None


class IdTokens:
    """Verifies the ID tokens of one provider.

    Args:
        jwks: its keys.
        issuers: what `iss` may be.
        audiences: our ids with the provider; `aud` must be one of them.
    """

    def __init__(
        self, jwks: Jwks, issuers: Collection[str], audiences: Collection[str], clock: Clock
    ) -> None:
        self._jwks = jwks
        self._issuers = frozenset(issuers)
        self._audiences = frozenset(audiences)
        self._clock = clock

    async def close(self) -> None:
        """Close the connections."""
        await self._jwks.close()

    async def verify(self, token: str, nonce: str | None) -> Mapping[str, Any]:
        """Return the claims of a valid token.

        Args:
            nonce: as the token must repeat it. A token with a nonce is refused without one.

        Raises:
            IdTokenError: a rule failed.
            UpstreamError: the keys cannot be had.
        """
        claims = await self._signed(token, ["iss", "aud", "sub", "iat", "exp"])
        self._check(claims, nonce)
        return claims

    async def verify_notice(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a valid notice (RFC 8417): it names no person and may be old.

        A notice is sent again as it was signed until it is taken, so its age says nothing.

        Raises:
            IdTokenError: a rule failed.
            UpstreamError: the keys cannot be had.
        """
        claims = await self._signed(token, ["iss", "aud", "iat", "jti", "events"])
        self._refuse(self._origin_faults(claims))
        return claims

    async def _signed(self, token: str, required: list[str]) -> Mapping[str, Any]:
        """Return the claims of a token that one of the provider's keys signed."""
        if len(token) > TOKEN_CHARS:
            raise IdTokenError("it is too long")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise IdTokenError("it is no JWT") from error
        kid = header.get("kid")
        if header.get("alg") != ALGORITHM or not isinstance(kid, str):
            raise IdTokenError(f"it is not signed with {ALGORITHM}")
        key = await self._jwks.key(kid)
        if key is None:
            raise IdTokenError("it is signed with an unknown key")
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                # Issuer, audience and times are checked below, by lists and by our own clock.
                options={
                    "require": required,
                    "verify_aud": False,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.PyJWTError as error:
            raise IdTokenError("its signature or form is not valid") from error
        return claims

    def _check(self, claims: Mapping[str, Any], nonce: str | None) -> None:
        now = self._clock.time_us() / 1e6
        told, subject = claims.get("nonce"), claims["sub"]
        self._refuse(
            (
                *self._origin_faults(claims),
                (isinstance(subject, str) and 0 < len(subject) <= 255, "it names nobody"),
                (_number(claims["exp"]) > now - LEEWAY_SECONDS, "it has expired"),
                (_same(told, nonce), "its nonce is another one"),
            )
        )

    def _origin_faults(self, claims: Mapping[str, Any]) -> tuple[tuple[bool, str], ...]:
        audience = claims["aud"]
        if isinstance(audience, list) and len(audience) == 1:
            [audience] = audience
        now = self._clock.time_us() / 1e6
        return (
            (claims["iss"] in self._issuers, "it is of another issuer"),
            (isinstance(audience, str) and audience in self._audiences, "it is for another app"),
            (_number(claims["iat"]) < now + LEEWAY_SECONDS, "it is from the future"),
        )

    @staticmethod
    def _refuse(rules: Iterable[tuple[bool, str]]) -> None:
        for ok, fault in rules:
            if not ok:
                raise IdTokenError(fault)


def email_of(claims: Mapping[str, Any]) -> tuple[str | None, bool]:
    """Return the e-mail and whether the provider verified it; Apple says so in a string."""
    email = claims.get("email")
    if not isinstance(email, str):
        return None, False
    return email, claims.get("email_verified") in (True, "true")


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _same(told: object, wanted: str | None) -> bool:
    if told is None and wanted is None:
        return True
    if not isinstance(told, str) or wanted is None:
        return False
    return hmac.compare_digest(told.encode(), wanted.encode())
