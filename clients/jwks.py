"""Public keys of a sign-in provider: fetched without blocking, kept, stale ones during outages.

PyJWT's own client fetches with blocking `urllib`, which would stop every session of the process.
"""

import asyncio
import logging
import re
from collections.abc import Mapping
from typing import Any

import jwt

from clients.base import Upstream, UpstreamError
from config.clock import Clock

log = logging.getLogger(__name__)

TTL_SECONDS = 3600.0
"""How long keys are taken for fresh where the provider does not say."""
TTL_LEAST, TTL_MOST = 60.0, 24 * 3600.0
STALE_SECONDS = 24 * 3600.0
"""How long old keys serve while new ones cannot be had."""
UNKNOWN_SECONDS = 60.0
"""An unknown key asks for a new list at most this often."""
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=(\d{1,9})(?:$|[\s,])")


class Jwks:
    """The key set of one provider (RFC 7517)."""

    def __init__(self, upstream: Upstream, path: str, algorithm: str, clock: Clock) -> None:
        self._upstream = upstream
        self._path = path
        self._algorithm = algorithm
        self._clock = clock
        self._keys: dict[str, Any] = {}
        self._fetched_at = self._fresh_until = self._asked_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """End a fetch under way, close the connections."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
        await self._upstream.close()

    async def key(self, kid: str) -> Any:
        """Return the public key by its id; None where the provider has no such key.

        Raises:
            UpstreamError: no keys can be had, and none are recent enough.
        """
        now = self._clock.monotonic()
        is_new = kid not in self._keys and now - self._asked_at >= UNKNOWN_SECONDS
        failure = await self._refresh() if is_new or now >= self._fresh_until else None
        key = self._keys.get(kid)
        if key is None and failure is not None:
            raise failure  # it may be one of those that could not be fetched
        return key

    async def _refresh(self) -> UpstreamError | None:
        """Fetch once for all who wait; a failure is borne while the old keys are recent."""
        if self._fetching is None:
            self._asked_at = self._clock.monotonic()
            self._fetching = asyncio.create_task(self._fetch(), name=f"keys {self._path}")
            self._fetching.add_done_callback(self._fetched)
        task = self._fetching
        # Whoever hangs up does not take the fetch away from the others.
        try:
            await asyncio.shield(task)
        except UpstreamError as error:
            age = self._clock.monotonic() - self._fetched_at
            if age > STALE_SECONDS:
                raise
            # The next caller need not wait for the same outage again.
            self._fresh_until = self._clock.monotonic() + TTL_LEAST
            log.warning("keys of a provider are %d s old: %s", age, error)
            return error
        return None

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()

    async def _fetch(self) -> None:
        reply = await self._upstream.get(self._path)
        keys = _parse(reply.json(), self._algorithm)
        if not keys:
            raise UpstreamError(reply.provider, "the list holds no usable key", retryable=True)
        now = self._clock.monotonic()
        self._keys = keys
        self._fetched_at = now
        self._fresh_until = now + _max_age(reply.headers)


def _parse(document: Mapping[str, Any], algorithm: str) -> dict[str, Any]:
    """Return the signing keys of one algorithm by id; others, and what is none, are left out."""
    keys: dict[str, Any] = {}
    listed = document.get("keys")
    for entry in listed if isinstance(listed, list) else ():
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
            continue
        kid = entry.get("kid")
        if not isinstance(kid, str) or entry.get("alg", algorithm) != algorithm:
            continue
        try:
            key = jwt.PyJWK(entry, algorithm=algorithm)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        keys[kid] = key.key
    return keys


def _max_age(headers: Mapping[str, str]) -> float:
    found = _MAX_AGE.search(headers.get("Cache-Control", "").lower())
    ttl = TTL_SECONDS if found is None else float(found[1])
    return min(max(ttl, TTL_LEAST), TTL_MOST)
