"""Naver Cloud SENS: text messages to Korean numbers (SMS API v2, signature v2)."""

import base64
import hashlib
import hmac

from clients.base import Upstream
from config.clock import Clock


def signature(method: str, path: str, timestamp_ms: int, access_key: str, secret: str) -> str:
    """Return the base64 HMAC-SHA-256 that a request is signed with (API Gateway, signature v2).

    Args:
        path: with its query, as it stands in the request.
    """
    message = f"{method} {path}\n{timestamp_ms}\n{access_key}"
    digest = hmac.new(secret.encode(), message.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


class Sens:
    """One SMS service of SENS."""

    def __init__(
        self,
        upstream: Upstream,
        service: str,
        sender: str,
        access_key: str,
        secret: str,
        clock: Clock,
    ) -> None:
        self._upstream = upstream
        self._path = f"/sms/v2/services/{service}/messages"
        self._sender = sender
        self._access_key = access_key
        self._secret = secret
        self._clock = clock

    async def close(self) -> None:
        """Close the connections."""
        await self._upstream.close()

    async def send(self, number: str, content: str) -> None:
        """Send a text to a Korean number in E.164 form.

        Raises:
            UpstreamError: SENS did not take it; whether a message went out is not known.
        """
        timestamp = self._clock.time_us() // 1000  # more than 5 min off is refused
        signed = signature("POST", self._path, timestamp, self._access_key, self._secret)
        await self._upstream.call(
            "POST",
            self._path,
            repeatable=False,  # SENS has no idempotency key
            headers={
                "x-ncp-apigw-timestamp": str(timestamp),
                "x-ncp-iam-access-key": self._access_key,
                "x-ncp-apigw-signature-v2": signed,
            },
            json={
                "type": "SMS",
                "contentType": "COMM",
                "countryCode": "82",
                "from": self._sender,
                "content": content,
                "messages": [{"to": f"0{number.removeprefix('+82')}"}],
            },
        )
