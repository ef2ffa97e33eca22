"""What every outside service shares: one HTTP client with time-outs, retries and its own error."""

import asyncio
import functools
import json
import random
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from clients.breaker import Breaker, BreakerState
from config import metrics
from config.clock import Clock, SystemClock

RETRIED = frozenset({429, 500, 502, 503, 504})
BASE_S = 0.5
CAP_S = 60.0
CONNECT_S = 2.0
READ_S = 5.0
BODY_BYTES = 1 << 20
"""Longest answer that is read."""
CONNECTIONS = 20


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read whole."""

    provider: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        Raises:
            UpstreamError: it is none, for instance because it was cut short.
        """
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise UpstreamError(self.provider, "the answer is no JSON object", retryable=True)
        return found


class UpstreamError(Exception):
    """An outside service did not do what it was asked.

    Args:
        provider: its name.
        reason: why, without any value that was sent or received.
        retryable: whether the same call may work later.
        maybe_done: whether it may have been carried out all the same.
        reply: what it answered; None where it did not.
    """

    def __init__(
        self,
        provider: str,
        reason: str,
        *,
        retryable: bool,
        maybe_done: bool = True,
        reply: Reply | None = None,
    ) -> None:
        super().__init__(f"{provider}: {reason}")
        self.provider = provider
        self.retryable = retryable
        self.maybe_done = maybe_done
        self.reply = reply


@functools.cache
def _trusted() -> ssl.SSLContext:
    # Reading the authorities takes 50 ms; every provider is held to the same ones.
    return httpx.create_ssl_context(trust_env=False)


class Upstream:
    """An HTTP client for one provider: bounded in time and size, with retries and a breaker.

    Args:
        provider: its name in errors and metrics.
        base_url: what paths are put behind; empty where every call names a whole URL.
        attempts: tries of a call, where it may be tried again.
        rng: source of the jitter.
        base_s: first waiting time; it doubles, and a random share of it is waited.
        patience_s: tries and waits of one call together, for callers somebody waits for.
        clock: of the breaker.
    """

    def __init__(
        self,
        provider: str,
        base_url: str = "",
        *,
        attempts: int = 4,
        rng: random.Random | None = None,
        base_s: float = BASE_S,
        patience_s: float = 180.0,
        clock: Clock | None = None,
    ) -> None:
        self._provider = provider
        self._base_url = base_url.rstrip("/")
        self._attempts = attempts
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._base_s = base_s
        self._patience_s = patience_s
        self._breaker = Breaker(clock or SystemClock())
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=5),
            follow_redirects=False,
            trust_env=False,
            verify=_trusted(),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @property
    def state(self) -> BreakerState:
        """Where the circuit stands."""
        return self._breaker.state

    async def get(self, path: str, **more: Any) -> Reply:
        """Ask until it is answered; see `call`."""
        return await self.call("GET", path, repeatable=True, **more)

    async def post(self, url: str, body: Mapping[str, Any]) -> Reply:
        """Send JSON until it is taken; being taken twice must do no harm. See `call`."""
        return await self.call("POST", url, repeatable=True, json=dict(body))

    async def call(self, method: str, path: str, *, repeatable: bool, **more: Any) -> Reply:
        """Return the first answer that says yes (2xx).

        Args:
            path: behind the base URL.
            repeatable: whether it may be sent again after it may have been carried out.
            more: as httpx takes them: `json`, `data`, `params`, `headers`, `auth`.

        Raises:
            UpstreamError: after the last attempt, when patience is over, while the circuit is open,
                or at once when trying again is pointless.
        """
        started = time.monotonic()
        outcome = "failed"
        try:
            reply = await self._until_answered(method, path, repeatable, more)
            outcome = "answered"
        except UpstreamError as error:
            outcome = "failed" if error.retryable else "refused"
            raise
        finally:
            metrics.UPSTREAM.labels(self._provider, outcome).inc()
            metrics.UPSTREAM_SECONDS.labels(self._provider).observe(time.monotonic() - started)
            is_open = self._breaker.state is not BreakerState.CLOSED
            metrics.UPSTREAM_OPEN.labels(self._provider).set(is_open)
        return reply

    async def _until_answered(
        self, method: str, path: str, repeatable: bool, more: Mapping[str, Any]
    ) -> Reply:
        ends = time.monotonic() + self._patience_s
        for attempt in range(self._attempts):
            if not self._breaker.admits():
                raise UpstreamError(
                    self._provider, "left alone for a while", retryable=True, maybe_done=False
                )
            try:
                reply = await self._once(method, path, ends - time.monotonic(), more)
            except UpstreamError as error:
                if error.retryable:
                    self._breaker.failed()
                else:
                    self._breaker.worked()
                wait = self._wait(attempt, error.reply)
                last = attempt + 1 == self._attempts or time.monotonic() + wait >= ends
                if last or not error.retryable or (error.maybe_done and not repeatable):
                    raise
                await asyncio.sleep(wait)
            else:
                self._breaker.worked()
                return reply
        raise AssertionError("the last attempt raises")

    async def _once(self, method: str, path: str, left: float, more: Mapping[str, Any]) -> Reply:
        try:
            async with (
                asyncio.timeout(left),
                self._http.stream(method, self._base_url + path, **more) as response,
            ):
                body = await self._read(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise UpstreamError(
                self._provider, type(error).__name__, retryable=True, maybe_done=False
            ) from error
        except (httpx.TransportError, httpx.DecodingError, TimeoutError) as error:
            raise UpstreamError(self._provider, type(error).__name__, retryable=True) from error
        reply = Reply(self._provider, response.status_code, response.headers, body)
        if response.is_success:
            return reply
        raise UpstreamError(
            self._provider,
            f"status {reply.status}",
            retryable=reply.status in RETRIED,
            maybe_done=reply.status != 429,
            reply=reply,
        )

    async def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for part in response.aiter_bytes():
            body += part
            if len(body) > BODY_BYTES:
                raise UpstreamError(self._provider, "the answer is too long", retryable=False)
        return bytes(body)

    def _wait(self, attempt: int, reply: Reply | None) -> float:
        asked = None if reply is None else _retry_after(reply.headers)
        if asked is not None:
            return min(CAP_S, asked)
        return self._rng.uniform(0, min(CAP_S, self._base_s * 2**attempt))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of `Retry-After`, a number or a date (RFC 9110, 10.2.3)."""
    text = headers.get("Retry-After")
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
