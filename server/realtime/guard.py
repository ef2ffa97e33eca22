"""What a connection may do, and what it has done: rate, parts under way, deadlines, places."""

import math

from config import metrics
from config.settings import SocketSettings
from handlers.places import Answer
from handlers.ratelimit import Budget
from models.accounts.presence import Place
from models.errors import AppError, ErrorCode
from server.realtime.packets import Packet

POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
RELIEF = 0.25
"""Part of the burst that must be there again before somebody counts as within the rate."""
TELL_SECONDS = 1.0
"""`slow_down` is not said more often."""


class Ended(Exception):  # noqa: N818 - no error: the way out of a connection that is over
    """The connection is over, for `why`.

    Args:
        limit: label of the metric.
        error: what the client is told.
        code: of the WebSocket close.
    """

    def __init__(self, limit: str, error: AppError, code: int = POLICY_VIOLATION) -> None:
        super().__init__(error.message)
        self.limit = limit
        self.error = error
        self.code = code


def invalid(why: str) -> Ended:
    """Return the end of a connection that does not speak the protocol."""
    return Ended("invalid_packet", AppError(ErrorCode.INVALID, f"Not understood: {why}."))


class Guard:
    """The account of one connection. It decides and counts; the transport acts.

    It knows no socket, so that every transport is held to the same limits.
    """

    __slots__ = (
        "_limits",
        "_over_since",
        "_tell_at",
        "accounts",
        "address",
        "asked",
        "budget",
        "clogged_since",
        "code",
        "crowded",
        "ended",
        "floor",
        "has_room",
        "idle_since",
        "packed",
        "packet",
        "packet_until",
        "places",
        "seq",
    )

    def __init__(self, limits: SocketSettings, now: float) -> None:
        self._limits = limits
        self._over_since: float | None = None
        self._tell_at = 0.0
        self.budget = Budget(limits.messages_s, limits.bytes_s, limits.burst_seconds, now)
        self.floor = 0.0
        """A debt above it is for `over` to judge: any debt, or, while it is slowed, anything."""
        self.packed: bool | None = None
        """Whether the client has the msgpack parser; None before its first packet."""
        self.accounts: list[str] = []
        self.places: list[Place] = []
        """Those it has asked for, over all workers."""
        self.has_room: Answer | None = None
        """Whether its address has room over all workers, asked when it came."""
        self.address: str | None = None
        """Who is counted for it: an IPv4 address or an IPv6 network; None from this machine."""
        self.crowded = False
        """Whether there was no room for it: it is let in only to be told so."""
        self.asked = 0
        """Namespaces it asked for."""
        self.idle_since: float | None = now
        """Since when it is in no namespace."""
        self.packet: Packet | None = None
        """The packet whose binary parts are under way."""
        self.packet_until = 0.0
        self.seq = -1
        """Number of a hot event whose bytes are under way."""
        self.clogged_since: float | None = None
        self.ended = False
        self.code = 1000
        """What the WebSocket is closed with."""

    def over(self, debt: float, now: float) -> int | None:
        """Judge a rate that is overdrawn, or was a moment ago.

        Args:
            debt: what the budget returned.

        Returns:
            The delay to tell, ms, if it is time to tell one.

        Raises:
            Ended: it did not slow down.
        """
        limits = self._limits
        if debt <= -RELIEF * limits.burst_seconds:
            self._over_since = None
            self.floor = 0.0
            return None
        if debt <= 0:
            return None
        if self._over_since is None:
            self._over_since = now
            self.floor = -math.inf
            metrics.LIMITED.labels("rate").inc()
        elif now - self._over_since > limits.over_seconds:
            error = AppError(ErrorCode.RATE_LIMITED, "Too fast for too long.", retry_ms=1000)
            raise Ended("rate_closed", error)
        if now < self._tell_at:
            return None
        self._tell_at = now + TELL_SECONDS
        return int((debt + limits.burst_seconds / 2) * 1000) + 1

    def expect(self, packet: Packet, now: float) -> None:
        """Wait for the binary parts of a packet."""
        self.packet = packet
        self.packet_until = now + self._limits.attachment_seconds

    @property
    def waits(self) -> bool:
        """Whether announced binary parts are under way."""
        return self.packet is not None or self.seq >= 0

    def expect_hot(self, seq: int, now: float) -> None:
        """Wait for the one binary part of a hot event."""
        self.seq = seq
        self.packet_until = now + self._limits.attachment_seconds

    def part(self, data: bytes) -> Packet | None:
        """Take a binary part; return the packet when it was the last.

        Raises:
            Ended: nobody announced it, or the parts are too large.
        """
        packet = self.packet
        if packet is None:
            raise invalid("a binary part that was not announced")
        packet.size += len(data)
        if packet.size > self._limits.attachment_bytes:
            error = AppError(ErrorCode.TOO_LARGE, "The binary parts of a packet are too large.")
            raise Ended("attachment_bytes", error)
        packet.parts.append(data)
        if len(packet.parts) < packet.due:
            return None
        self.packet = None
        return packet

    def check(self, joined: bool, now: float) -> None:
        """Look at the deadlines.

        Raises:
            Ended: one has passed.
        """
        limits = self._limits
        if joined:
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = now
        elif now - self.idle_since > limits.join_seconds:
            raise Ended(
                "join_seconds", AppError(ErrorCode.INVALID, "No namespace was joined in time.")
            )
        if self.waits and now > self.packet_until:
            raise Ended(
                "attachment_seconds",
                AppError(ErrorCode.INVALID, "Announced binary parts did not come in time."),
            )
        clogged = self.clogged_since
        if clogged is not None and now - clogged > limits.clogged_seconds:
            raise Ended("clogged_seconds", clogged_error())


def clogged_error() -> AppError:
    """Return what somebody is told who reads too slowly; it may never reach them."""
    return AppError(ErrorCode.BUSY, "You read too slowly; connect again.", retry_ms=1000)
