"""What a handler is told of the request it answers, besides its parameters."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from handlers.deps import Deps
from handlers.languages import Language
from models.accounts.records import Principal
from models.children.access import Visit
from models.children.records import Child
from models.limits import Limit


@dataclass(frozen=True, slots=True)
class PublicCall:
    """A request that needs no sign-in."""

    deps: Deps
    route: str
    """Method and path template: `POST /v1/children`."""
    request_id: str
    address: str | None
    """Who is counted for it: an IPv4 address or an IPv6 network; None from this machine itself."""
    language: Language
    """What the client prefers to read."""
    now: datetime
    key: str | None
    """The request's `Idempotency-Key`, digested with the route and the caller."""
    limit: Limit
    device: str
    """The client's `User-Agent`, cut."""
    told: Any
    """What a call that another company signed tells, as its policy read it; None elsewhere."""

    def new_id(self, prefix: str) -> str:
        """Return an id for what this request makes.

        With an `Idempotency-Key` the same request has the same ids each time: what a crash left
        half done is written over, not doubled. Call it once for each prefix.
        """
        if self.key is None:
            return f"{prefix}_{secrets.token_urlsafe(15)}"
        digest = hashlib.sha256(f"{self.key}:{prefix}".encode()).hexdigest()
        return f"{prefix}_{digest[:24]}"

    async def count(self, whom: str) -> None:
        """Count this request against somebody whom only its content names, an e-mail for instance.

        Args:
            whom: digested before it becomes part of a key.

        Raises:
            AppError: `rate_limited`.
        """
        digest = hashlib.sha256(whom.encode()).hexdigest()[:32]
        await self.deps.gate.pass_or_refuse(self.route, self.limit, named=digest)


@dataclass(frozen=True, slots=True)
class Call(PublicCall):
    """A request of somebody who is signed in."""

    who: Principal
    reason: str | None
    """Why, in the caller's words: the header `X-Reason`."""
    reached: Child | None = None
    """The child the guarded door let the caller through to."""

    @property
    def child(self) -> Child:
        """The child of a route whose policy names one."""
        if self.reached is None:
            raise LookupError(f"{self.route}: its policy names no child")
        return self.reached

    def visit(self, purpose: str) -> Visit:
        """Return how the caller comes to a child's data."""
        return Visit(purpose, self.route, self.reason, self.address, self.request_id, self.now)
