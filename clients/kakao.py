"""Kakao sign-in (Kakao Login REST API): ID tokens, or access tokens whose app is checked first."""

import hmac
from collections.abc import Collection

from clients.base import Upstream, UpstreamError
from clients.idtoken import Identity, IdTokenError, IdTokens, email_of
from clients.jwks import Jwks
from config.clock import Clock

KEYS = "/.well-known/jwks.json"
ISSUER = "https://kauth.kakao.com"
NOT_LINKED = -101
"""Code of an error: the person is not linked to our app (Kakao REST API, error codes)."""


class Kakao:
    """Kakao as a sign-in provider.

    Args:
        auth: upstream of kauth, which has the keys.
        api: upstream of kapi.
        app_keys: what `aud` may be: the app's native, JavaScript and REST keys.
        app_id: the number of our app, which every access token must belong to.
        admin_key: unlinks people from our app; None where nobody is unlinked.
    """

    def __init__(
        self,
        auth: Upstream,
        api: Upstream,
        app_keys: Collection[str],
        app_id: int,
        clock: Clock,
        admin_key: str | None = None,
    ) -> None:
        self._tokens = IdTokens(Jwks(auth, KEYS, "RS256", clock), [ISSUER], app_keys, clock)
        self._api = api
        self._app_id = app_id
        self._admin_key = admin_key

    @property
    def can_unlink(self) -> bool:
        """Whether there is a key to unlink people with."""
        return self._admin_key is not None

    def is_caller(self, authorization: str | None) -> bool:
        """Tell whether a call bears the admin key, as Kakao's own do (Kakao Login, webhooks)."""
        if self._admin_key is None:
            return False
        wanted = f"KakaoAK {self._admin_key}"
        return hmac.compare_digest(wanted.encode(), (authorization or "").encode())

    def is_own_app(self, app_id: str) -> bool:
        """Tell whether a number is that of our app."""
        return app_id == str(self._app_id)

    async def close(self) -> None:
        """Close the connections."""
        await self._tokens.close()
        await self._api.close()

    async def identity(self, id_token: str, nonce: str | None) -> Identity:
        """Return whom an ID token names.

        Raises:
            IdTokenError: it is not valid for us.
            UpstreamError: Kakao's keys cannot be had.
        """
        claims = await self._tokens.verify(id_token, nonce)
        email, verified = email_of(claims)
        name = claims.get("nickname")
        return Identity(claims["sub"], email, verified, name if isinstance(name, str) else None)

    async def identity_of_access_token(self, access_token: str) -> Identity:
        """Return whom an access token speaks for.

        The app it was given to is asked for first: a token that another app was given would
        otherwise sign its people in here.

        Raises:
            IdTokenError: it is of another app, or not valid.
            UpstreamError: Kakao did not answer as it should.
        """
        headers = {"Authorization": f"Bearer {access_token}"}
        told = await self._ask("/v1/user/access_token_info", headers)
        if told.get("app_id") != self._app_id:
            raise IdTokenError("it is for another app")
        user = await self._ask("/v2/user/me", headers)
        subject = user.get("id")
        if not isinstance(subject, int) or subject != told.get("id"):
            raise IdTokenError("it names nobody")
        account = user.get("kakao_account")
        account = account if isinstance(account, dict) else {}
        email = account.get("email")
        verified = (
            account.get("is_email_valid") is True and account.get("is_email_verified") is True
        )
        profile = account.get("profile")
        name = profile.get("nickname") if isinstance(profile, dict) else None
        return Identity(
            str(subject),
            email if isinstance(email, str) else None,
            verified and isinstance(email, str),
            name if isinstance(name, str) else None,
        )

    async def unlink(self, subject: str) -> None:
        """Cut the link between a person and our app; one that is not linked is done already.

        Raises:
            UpstreamError: not known whether it was cut; asking again is safe.
        """
        try:
            await self._api.call(
                "POST",
                "/v1/user/unlink",
                repeatable=True,
                headers={"Authorization": f"KakaoAK {self._admin_key}"},
                data={"target_id_type": "user_id", "target_id": subject},
            )
        except UpstreamError as error:
            if error.reply is None or error.reply.status != 400:
                raise
            if error.reply.json().get("code") != NOT_LINKED:
                raise

    async def _ask(self, path: str, headers: dict[str, str]) -> dict[str, object]:
        try:
            return (await self._api.get(path, headers=headers)).json()
        except UpstreamError as error:
            if error.reply is not None and error.reply.status in (400, 401):
                raise IdTokenError("Kakao does not take it") from error
            raise
