"""Sign in with Apple: ID tokens, the code's exchange, revocation (Sign in with Apple REST API)."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import jwt

from clients.base import Reply, Upstream, UpstreamError
from clients.idtoken import Identity, IdTokenError, IdTokens, email_of
from clients.jwks import Jwks
from config.clock import Clock

KEYS = "/auth/keys"
ISSUER = "https://appleid.apple.com"
SECRET_SECONDS = 600
"""Life of a client secret; Apple takes up to six months, one request needs a minute."""


MILLISECONDS_FROM = 100_000_000_000
"""Apple's page shows `event_time` in seconds, its servers send milliseconds: told by the size."""


@dataclass(frozen=True, slots=True)
class AppleNotice:
    """What Apple tells of one of our people (Processing changes for Sign in with Apple)."""

    id: str
    """The same each time it is sent again."""
    kind: str
    """`consent-revoked`, `account-deleted`, `email-disabled`, `email-enabled`."""
    subject: str = field(repr=False)
    at_ms: int
    """When it happened; of a whole second its end."""


class AppleId:
    """Apple as a sign-in provider.

    Args:
        upstream: of the code's exchange; the keys have their own.
        client_ids: bundle and services ids.
        team_id, key_id, private_key: of the key that signs client secrets; None where codes are
            not exchanged.
    """

    def __init__(
        self,
        upstream: Upstream,
        keys: Upstream,
        client_ids: Collection[str],
        clock: Clock,
        *,
        team_id: str = "",
        key_id: str = "",
        private_key: Path | None = None,
    ) -> None:
        self._upstream = upstream
        self._tokens = IdTokens(Jwks(keys, KEYS, "RS256", clock), [ISSUER], client_ids, clock)
        self._clock = clock
        self._team_id = team_id
        self._key_id = key_id
        self._private_key = None if private_key is None else private_key.read_bytes()

    @property
    def can_revoke(self) -> bool:
        """Whether there is a key to sign client secrets with."""
        return self._private_key is not None

    async def close(self) -> None:
        """Close the connections."""
        await self._tokens.close()
        await self._upstream.close()

    async def identity(self, id_token: str, nonce: str | None) -> tuple[Identity, str]:
        """Return whom an ID token names, and the client id it is for.

        Args:
            nonce: the raw one; Apple's token holds its SHA-256 in hex.

        Raises:
            IdTokenError: it is not valid for us.
            UpstreamError: Apple's keys cannot be had.
        """
        hashed = None if nonce is None else hashlib.sha256(nonce.encode()).hexdigest()
        claims = await self._tokens.verify(id_token, hashed)
        email, verified = email_of(claims)
        audience = claims["aud"]
        client_id = audience[0] if isinstance(audience, list) else audience
        return Identity(claims["sub"], email, verified), client_id

    async def notice(self, payload: str) -> AppleNotice:
        """Return what a server-to-server notification tells.

        Raises:
            IdTokenError: Apple did not sign it, or not for us.
            UpstreamError: Apple's keys cannot be had.
        """
        claims = await self._tokens.verify_notice(payload)
        events = claims["events"]
        try:
            told = json.loads(events) if isinstance(events, str) else events
            at = told.get("event_time", claims["iat"])
            at_ms = int(at if at >= MILLISECONDS_FROM else at * 1000)
            at_ms += 0 if at_ms % 1000 else 999
            notice = AppleNotice(claims["jti"], told["type"], told["sub"], at_ms)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise IdTokenError("it tells nothing") from error
        texts = (notice.id, notice.kind, notice.subject)
        if not all(isinstance(text, str) and 0 < len(text) <= 255 for text in texts):
            raise IdTokenError("it names nobody")
        return notice

    async def refresh_token(self, code: str, client_id: str) -> str | None:
        """Exchange an authorization code, good once and for 5 min; None where no key is set.

        Raises:
            IdTokenError: Apple does not know the code.
            UpstreamError: Apple did not answer as it should.
        """
        if self._private_key is None:
            return None
        try:
            reply = await self._upstream.call(
                "POST",
                "/auth/token",
                repeatable=False,
                data={
                    "client_id": client_id,
                    "client_secret": self._client_secret(client_id),
                    "code": code,
                    "grant_type": "authorization_code",
                },
            )
        except UpstreamError as error:
            if error.reply is not None and error.reply.status == 400 and _is_spent(error.reply):
                raise IdTokenError("its code is not valid any more") from error
            raise
        token = reply.json().get("refresh_token")
        if not isinstance(token, str):
            raise UpstreamError("apple", "the answer holds no refresh token", retryable=False)
        return token

    async def revoke(self, refresh_token: str, client_id: str) -> None:
        """Withdraw what a person granted us; a token that is unknown is withdrawn already.

        Raises:
            UpstreamError: not known whether it was withdrawn; asking again is safe.
        """
        if self._private_key is None:
            return
        await self._upstream.call(
            "POST",
            "/auth/revoke",
            repeatable=True,
            data={
                "client_id": client_id,
                "client_secret": self._client_secret(client_id),
                "token": refresh_token,
                "token_type_hint": "refresh_token",
            },
        )

    def _client_secret(self, client_id: str) -> str:
        now = self._clock.time_us() // 1_000_000
        claims = {
            "iss": self._team_id,
            "sub": client_id,
            "aud": ISSUER,
            "iat": now,
            "exp": now + SECRET_SECONDS,
        }
        key = self._private_key or b""
        return jwt.encode(claims, key, algorithm="ES256", headers={"kid": self._key_id})


def _is_spent(reply: Reply) -> bool:
    return reply.json().get("error") == "invalid_grant"
