"""Feeds across workers: a watcher on one, the session on another, Redis pub/sub between.

The watcher's worker asks the owner's node channel again and again while it has readers; the
owner publishes for as long as it was asked lately. A dead asker thus stops its feed by itself.
"""

import asyncio
import contextlib
import functools
from typing import Any

import msgpack

from config.clock import Clock
from models.bus import Bus
from models.errors import AppError, ErrorCode
from models.play.keys import PlayKeys
from sessions.engine import Engine
from sessions.feed import FeedHub, FeedItem, Joined, Sink

ASK_S = 3.0
LEASE_S = 10.0
ANSWER_S = 3.0


class _Published:
    """The owner's end: a sink that publishes, for as long as it is asked for."""

    def __init__(self, bus: Bus, channel: str, until: float) -> None:
        self._bus = bus
        self._channel = channel
        self.until = until

    def feed(self, item: FeedItem) -> None:
        self._say(["feed", item.offset, item.frames, item.extra])

    def snapshot(self, joined: Joined) -> None:
        self._say(["snapshot", joined.snapshot, joined.epoch, joined.offset])

    def ended(self, session_id: str, result: dict[str, Any]) -> None:  # noqa: ARG002 - a Sink
        self._say(["ended", result])

    def _say(self, message: list[Any]) -> None:
        self._bus.publish(self._channel, msgpack.packb(message))


class _Remote:
    """The watcher's end: a feed heard from another worker, shared by its local sinks."""

    def __init__(self, session_id: str, node: str) -> None:
        self.session_id = session_id
        self.node = node
        self.sinks: list[Sink] = []
        self.first: list[tuple[Sink, asyncio.Future[Joined]]] = []


class Relay:
    """Joins a session wherever it is held."""

    def __init__(
        self, *, node: str, engine: Engine, hub: FeedHub, bus: Bus, keys: PlayKeys, clock: Clock
    ) -> None:
        self._node = node
        self._engine = engine
        self._hub = hub
        self._bus = bus
        self._keys = keys
        self._clock = clock
        self._published: dict[str, _Published] = {}
        self._remote: dict[str, _Remote] = {}

    async def start(self) -> None:
        """Listen for askers."""
        await self._bus.subscribe(self._keys.node(self._node), self._asked)

    async def join(self, session_id: str, node: str, sink: Sink) -> Joined:
        """Let `sink` see a session that `node` holds.

        Raises:
            AppError: `not_found` when the session is not live, `busy` when its worker is silent.
        """
        if node == self._node:
            return self._engine.watch(session_id, sink)
        remote = self._remote.get(session_id)
        if remote is None:
            remote = self._remote[session_id] = _Remote(session_id, node)
            channel = self._keys.feed(session_id)
            await self._bus.subscribe(channel, functools.partial(self._heard, remote))
        answer: asyncio.Future[Joined] = asyncio.get_running_loop().create_future()
        remote.first.append((sink, answer))
        self._ask(remote)
        try:
            return await asyncio.wait_for(answer, ANSWER_S)
        except TimeoutError:
            raise AppError(
                ErrorCode.BUSY, "The session's worker does not answer; try again.", retry_ms=1000
            ) from None
        finally:
            remote.first = [pair for pair in remote.first if pair[1] is not answer]
            await self._drop_unread(remote)

    async def leave(self, session_id: str, sink: Sink) -> None:
        """Take a reader away."""
        self._hub.leave(session_id, sink)
        remote = self._remote.get(session_id)
        if remote is not None and sink in remote.sinks:
            remote.sinks.remove(sink)
            await self._drop_unread(remote)

    def renew(self, session_id: str, sink: Sink) -> None:
        """Send `sink` a fresh snapshot: it missed too much."""
        remote = self._remote.get(session_id)
        if remote is not None:
            self._ask(remote)
            return
        with contextlib.suppress(AppError):  # the session just ended: `ended` is on its way
            sink.snapshot(self._engine.watch(session_id, sink))

    async def run(self) -> None:
        """Keep asking for the feeds that are read here, and stop those nobody asks for."""
        while True:
            await asyncio.sleep(ASK_S)
            for remote in self._remote.values():
                self._bus.publish(self._keys.node(remote.node), self._question(remote, False))
            now = self._clock.monotonic()
            for session_id, published in list(self._published.items()):
                if now > published.until:
                    self._hub.leave(session_id, published)
                    del self._published[session_id]

    async def _drop_unread(self, remote: _Remote) -> None:
        if not remote.sinks and not remote.first:
            self._remote.pop(remote.session_id, None)
            await self._bus.unsubscribe(self._keys.feed(remote.session_id))

    def _question(self, remote: _Remote, fresh: bool) -> bytes:
        packed: bytes = msgpack.packb([remote.session_id, fresh])
        return packed

    def _ask(self, remote: _Remote) -> None:
        self._bus.publish(self._keys.node(remote.node), self._question(remote, True))

    def _asked(self, raw: bytes) -> None:
        session_id, fresh = msgpack.unpackb(raw)
        until = self._clock.monotonic() + LEASE_S
        published = self._published.get(session_id)
        if published is None:
            channel = self._keys.feed(session_id)
            published = self._published[session_id] = _Published(self._bus, channel, until)
            fresh = True
        published.until = until
        try:
            joined = self._engine.watch(session_id, published)
        except AppError:
            published.ended(session_id, {})
            self._published.pop(session_id, None)
            return
        if fresh:
            published.snapshot(joined)

    def _heard(self, remote: _Remote, raw: bytes) -> None:
        kind, *rest = msgpack.unpackb(raw)
        session_id = remote.session_id
        if kind == "feed":
            item = FeedItem(session_id, rest[0], rest[1], rest[2])
            for sink in list(remote.sinks):
                sink.feed(item)
        elif kind == "snapshot":
            self._heard_snapshot(remote, Joined(session_id, rest[0], rest[1], rest[2]))
        elif kind == "ended":
            for sink in list(remote.sinks):
                sink.ended(session_id, rest[0])
            remote.sinks.clear()
            error = AppError(ErrorCode.NOT_FOUND, "There is no such live session.")
            for _, answer in remote.first:
                if not answer.done():
                    answer.set_exception(error)

    def _heard_snapshot(self, remote: _Remote, joined: Joined) -> None:
        for sink in list(remote.sinks):
            sink.snapshot(joined)
        for sink, answer in remote.first:
            if not answer.done():
                remote.sinks.append(sink)
                answer.set_result(joined)
