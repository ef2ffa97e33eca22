"""Breached passwords: the range API of Pwned Passwords (k-anonymity: five hex digits go out)."""

import hashlib

from clients.base import Upstream

PREFIX = 5


class PwnedPasswords:
    """Asks how often a password was seen in breaches, without telling it."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def close(self) -> None:
        """Close the connections."""
        await self._upstream.close()

    async def count(self, password: str) -> int:
        """Return how often it was seen; 0 for never.

        Raises:
            UpstreamError: the service did not answer as it should.
        """
        # The API's own key, not a way of storing anything.
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        reply = await self._upstream.get(
            f"/range/{digest[:PREFIX]}", headers={"Add-Padding": "true"}
        )
        for line in reply.body.decode("ascii", "replace").splitlines():
            suffix, _, times = line.strip().partition(":")
            if suffix == digest[PREFIX:] and times.isdigit():
                return int(times)  # 0 is padding
        return 0
