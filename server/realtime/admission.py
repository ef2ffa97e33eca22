"""Who may connect: places of addresses and of accounts, on this worker and on all together."""

from aiohttp import web

from config import metrics
from config.settings import HttpSettings, SocketSettings
from handlers.places import Answer, Places
from handlers.ratelimit import Seats, client_of, full_error, networks
from server.realtime.guard import Guard

CROWDED = web.RequestKey("crowded", bool)
ADDRESS = web.RequestKey("address", str)
HARD = 2
"""Times the limit of connections at which an upgrade is refused, before anything is kept of it."""


class Admission:
    """Counts connections and says for whom there is room."""

    def __init__(
        self, http: HttpSettings, limits: SocketSettings, places: Places | None = None
    ) -> None:
        """Prepare.

        Args:
            places: counts over all workers; without, this one counts its own alone.
        """
        self._limits = limits
        self._proxies = networks(http.proxies)
        self._addresses = Seats(limits.address_connections, limits.connections)
        self._accounts = Seats(limits.account_connections, limits.connections)
        self._places = places

    def enter(self, request: web.Request) -> str | None:
        """Let a request in and return who is counted for it; `leave` when it is over.

        Raises:
            AppError: it is far over the limit, and nothing is to be kept of it.
        """
        address = self._address(request)
        if self._addresses.full(address, HARD):
            metrics.LIMITED.labels("connections_hard").inc()
            raise full_error("this address or server", self._limits.retry_ms)
        # Below that it is let in to be told why, in the one way that a Socket.IO client hears.
        request[CROWDED] = self._addresses.full(address)
        if address is not None:
            request[ADDRESS] = address
        self._addresses.take(address)
        return address

    def leave(self, address: str | None) -> None:
        """Take note that a request is over."""
        self._addresses.leave(address)

    def begin(self, eio_sid: str, request: web.Request, guard: Guard) -> None:
        """Ask for the place of a new connection's address; never waits."""
        guard.crowded = request.get(CROWDED, False)
        guard.address = request.get(ADDRESS)
        if ADDRESS in request and not guard.crowded:
            # Answered while the client is still asking for its namespace.
            owner, limit = f"address:{request[ADDRESS]}", self._limits.address_connections
            guard.has_room = self._ask(eio_sid, guard, owner, limit)

    async def is_crowded(self, guard: Guard) -> bool:
        """Tell whether there is no room for a connection that has begun."""
        if not guard.crowded:
            guard.crowded = not await self._has_room(guard.has_room)
        if guard.crowded:
            metrics.LIMITED.labels("connections").inc()
        return guard.crowded

    async def seat(self, eio_sid: str, guard: Guard, account: str) -> None:
        """Give a connection of an account its place, once.

        Raises:
            AppError: the account has too many already.
        """
        if account in guard.accounts:
            return
        if not self._accounts.full(account):
            self._accounts.take(account)
            guard.accounts.append(account)
            limit = self._limits.account_connections
            if await self._has_room(self._ask(eio_sid, guard, f"account:{account}", limit)):
                return
            if account in guard.accounts:  # else the connection went meanwhile
                guard.accounts.remove(account)
                self._accounts.leave(account)
        metrics.LIMITED.labels("account_connections").inc()
        raise full_error("this account", self._limits.retry_ms)

    def end(self, guard: Guard) -> None:
        """Give back the places of a connection that is gone."""
        while guard.accounts:
            self._accounts.leave(guard.accounts.pop())
        if self._places is not None:
            for place in guard.places:
                self._places.leave(place)

    def _ask(self, eio_sid: str, guard: Guard, owner: str, limit: int) -> Answer | None:
        if self._places is None:
            return None
        place, answer = self._places.ask(owner, eio_sid, limit)
        guard.places.append(place)
        return answer

    async def _has_room(self, answer: Answer | None) -> bool:
        return self._places is None or answer is None or await self._places.has_room(answer)

    def _address(self, request: web.Request) -> str | None:
        transport = request.transport
        peer = transport.get_extra_info("peername") if transport is not None else None
        forwarded = request.headers.getall("X-Forwarded-For", [])
        return client_of(peer[0] if peer else None, forwarded, self._proxies)
