"""What every outside service shares: one HTTP client with time-outs, retries and its own error."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import httpx

RETRIED = frozenset({429, 500, 502, 503, 504})
BASE_S = 0.5
CAP_S = 60.0


class UpstreamError(Exception):
    """An outside service did not do what it was asked."""

    def __init__(self, provider: str, reason: str, *, retryable: bool) -> None:
        super().__init__(f"{provider}: {reason}")
        self.provider = provider
        self.retryable = retryable


class Upstream:
    """An HTTP client for one provider.

    Args:
        provider: its name in errors.
        attempts: tries of a request that may be repeated.
        rng: source of the jitter.
        base_s: first waiting time; it doubles, and a random share of it is waited.
    """

    def __init__(
        self,
        provider: str,
        *,
        attempts: int = 4,
        rng: random.Random | None = None,
        base_s: float = BASE_S,
    ) -> None:
        self._provider = provider
        self._attempts = attempts
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._base_s = base_s
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(5.0, connect=2.0), follow_redirects=False, trust_env=False
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def post(self, url: str, body: Mapping[str, Any]) -> httpx.Response:
        """Send JSON until it is taken.

        Raises:
            UpstreamError: after the last attempt, or at once when trying again is pointless.
        """
        for attempt in range(self._attempts):
            reason, wait = "", None
            try:
                response = await self._http.post(url, json=dict(body))
            except httpx.TransportError as error:
                reason = type(error).__name__
            else:
                if response.is_success:
                    return response
                reason = f"status {response.status_code}"
                if response.status_code not in RETRIED:
                    raise UpstreamError(self._provider, reason, retryable=False)
                wait = _retry_after(response)
            if attempt + 1 < self._attempts:
                spread = self._rng.uniform(0, min(CAP_S, self._base_s * 2**attempt))
                await asyncio.sleep(min(CAP_S, wait) if wait is not None else spread)
        raise UpstreamError(self._provider, reason, retryable=True)


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None
