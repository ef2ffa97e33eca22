"""Limits of who sends how much and who may connect how often; all of them plain arithmetic."""

import ipaddress
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType

from config.settings import RateSettings
from models.errors import AppError, ErrorCode
from models.limits import Limit, Rate, Rates

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SITE_BITS = 64
"""An IPv6 client has a whole network of this length: its addresses count as one."""


class Budget:
    """What one connection may send: messages and bytes a second, with a burst.

    Two token buckets, each kept as the moment at which it will be full again, so that taking
    from both costs a few additions and no allocation.

    Args:
        messages_s: messages a second.
        bytes_s: bytes a second.
        burst_s: seconds of either that may come at once.
        now: monotonic seconds.
    """

    __slots__ = ("_burst", "_byte", "_bytes_at", "_message", "_messages_at")

    def __init__(self, messages_s: float, bytes_s: float, burst_s: float, now: float) -> None:
        self._message = 1.0 / messages_s
        self._byte = 1.0 / bytes_s
        self._burst = burst_s
        self._messages_at = self._bytes_at = now - burst_s

    def take(self, messages: int, size: int, now: float) -> float:
        """Spend; return by how many seconds it is overdrawn (negative: what is left)."""
        least = now - self._burst
        at = self._messages_at
        self._messages_at = at = (at if at > least else least) + messages * self._message
        by = self._bytes_at
        self._bytes_at = by = (by if by > least else least) + size * self._byte
        return (at if at > by else by) - now


class Seats:
    """How many places of each owner are taken, with a limit an owner and one for all together."""

    def __init__(self, each: int, total: int) -> None:
        self._each = each
        self._total = total
        self._taken: Counter[Hashable] = Counter()
        self.total = 0

    def full(self, owner: Hashable | None, times: int = 1) -> bool:
        """Tell whether no place is left for an owner; None is bound by the total alone.

        Args:
            times: of the limits.
        """
        return self.total >= self._total * times or (
            owner is not None and self._taken[owner] >= self._each * times
        )

    def take(self, owner: Hashable | None) -> None:
        """Take a place, whether there is one or not."""
        self.total += 1
        if owner is not None:
            self._taken[owner] += 1

    def leave(self, owner: Hashable | None) -> None:
        """Give a place back."""
        self.total -= 1
        if owner is not None:
            self._taken[owner] -= 1
            if self._taken[owner] <= 0:
                del self._taken[owner]


def rates_of(settings: RateSettings) -> Mapping[Limit, Rates]:
    """Return what each limit allows an address and an account in a minute."""

    def both(count: int) -> Rates:
        return Rates(address=Rate(count), account=Rate(count))

    return MappingProxyType(
        {
            Limit.SIGN_IN: Rates(Rate(settings.sign_in_address), Rate(settings.sign_in_account)),
            Limit.SIGN_UP: both(settings.sign_up),
            Limit.REFRESH: both(settings.refresh),
            Limit.CODE_SEND: both(settings.code_send),
            Limit.OTHERS: both(settings.others),
        }
    )


def full_error(what: str, retry_ms: int) -> AppError:
    """Return the refusal of a connect for which there is no room.

    Args:
        what: what is full, in words.
    """
    return AppError(
        ErrorCode.RATE_LIMITED, f"Too many connections of {what}; wait.", retry_ms=retry_ms
    )


def networks(names: Sequence[str]) -> tuple[Network, ...]:
    """Parse addresses and networks of proxies.

    Raises:
        ValueError: naming the one that is none.
    """
    return tuple(ipaddress.ip_network(name) for name in names)


def client_of(peer: str | None, forwarded: Sequence[str], proxies: Sequence[Network]) -> str | None:
    """Return who is counted for a connection; None for one that comes from this machine itself.

    `X-Forwarded-For` is believed only as far as our own proxies wrote it: from its end backwards
    to the first address that is not one of theirs.

    Args:
        peer: address of the TCP peer.
        forwarded: the `X-Forwarded-For` headers, as they came.
        proxies: the proxies that may set it.
    """
    address = _address(peer)
    if address is None:
        return peer
    hops = [hop for header in forwarded for hop in header.split(",")] if forwarded else []
    named = False
    while hops and any(address in network for network in proxies):
        before = _address(hops.pop().strip())
        if before is None:
            break
        address, named = before, True
    if address.is_loopback and not named:
        return None
    if address.version == 6:
        return str(ipaddress.ip_network((address, SITE_BITS), strict=False))
    return str(address)


def _address(text: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if address.version == 6 else None
    return mapped or address
