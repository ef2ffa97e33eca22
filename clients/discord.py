"""Discord: notes to the operators' channel through its webhook (Execute Webhook)."""

from clients.base import Upstream

CONTENT_MAX = 2000
"""Characters Discord takes in one message."""


class Discord:
    """One channel. The webhook's URL is a secret: it is never logged."""

    def __init__(self, webhook: str, upstream: Upstream | None = None) -> None:
        self._webhook = webhook
        self._upstream = upstream or Upstream("discord")

    async def post(self, content: str) -> None:
        """Post a note; nobody is pinged by what stands in it.

        Raises:
            UpstreamError: Discord did not take it.
        """
        body = {"content": content[:CONTENT_MAX], "allowed_mentions": {"parse": []}}
        await self._upstream.post(self._webhook, body)

    async def close(self) -> None:
        """Close the connections."""
        await self._upstream.close()
