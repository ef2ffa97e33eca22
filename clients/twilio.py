"""Twilio Verify: codes to telephone numbers, kept and checked by Twilio (Verify API v2)."""

import httpx

from clients.base import Upstream, UpstreamError


class TwilioVerify:
    """One Verify service. Twilio owns senders, registration and pumping protection."""

    def __init__(self, upstream: Upstream, service: str, account: str, secret: str) -> None:
        self._upstream = upstream
        self._path = f"/v2/Services/{service}"
        self._auth = httpx.BasicAuth(account, secret)

    async def close(self) -> None:
        """Close the connections."""
        await self._upstream.close()

    async def send(self, number: str, locale: str) -> None:
        """Let Twilio send a code to a number in E.164 form.

        Raises:
            UpstreamError: it did not take it; whether a message went out is not known.
        """
        await self._upstream.call(
            "POST",
            f"{self._path}/Verifications",
            repeatable=False,
            data={"To": number, "Channel": "sms", "Locale": locale},
            auth=self._auth,
        )

    async def check(self, number: str, code: str) -> bool:
        """Tell whether a code is the one sent; no for one that is used, over or guessed too often.

        Raises:
            UpstreamError: Twilio did not answer as it should.
        """
        try:
            reply = await self._upstream.call(
                "POST",
                f"{self._path}/VerificationCheck",
                repeatable=False,
                data={"To": number, "Code": code},
                auth=self._auth,
            )
        except UpstreamError as error:
            # 404: no verification waits for this number. 60202: five wrong codes.
            if error.reply is not None and (
                error.reply.status == 404 or _code(error) == MAX_CHECKS
            ):
                return False
            raise
        return reply.json().get("status") == "approved"


MAX_CHECKS = 60202


def _code(error: UpstreamError) -> object:
    try:
        return None if error.reply is None else error.reply.json().get("code")
    except UpstreamError:
        return None
