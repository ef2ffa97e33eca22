"""Google sign-in: its ID tokens (developers.google.com/identity/sign-in, "Verify the ID token")."""

from collections.abc import Collection

from clients.base import Upstream
from clients.idtoken import Identity, IdTokens, email_of
from clients.jwks import Jwks
from config.clock import Clock

CERTS = "/oauth2/v3/certs"
ISSUERS = ("https://accounts.google.com", "accounts.google.com")


class Google:
    """Google as a sign-in provider. Only ID tokens are taken, never access tokens."""

    def __init__(self, upstream: Upstream, client_ids: Collection[str], clock: Clock) -> None:
        jwks = Jwks(upstream, CERTS, "RS256", clock)
        self._tokens = IdTokens(jwks, ISSUERS, client_ids, clock)

    async def close(self) -> None:
        """Close the connections."""
        await self._tokens.close()

    async def identity(self, id_token: str, nonce: str | None) -> Identity:
        """Return whom an ID token names.

        Raises:
            IdTokenError: it is not valid for us.
            UpstreamError: Google's keys cannot be had.
        """
        claims = await self._tokens.verify(id_token, nonce)
        email, verified = email_of(claims)
        name = claims.get("name")
        return Identity(claims["sub"], email, verified, name if isinstance(name, str) else None)
