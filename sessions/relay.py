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
        self.start(joined, everybody=True)

    def start(self, joined: Joined, *, everybody: bool) -> None:
        """Give a start to every reader, or to those that wait for one."""
        self._say(["snapshot", everybody, joined.snapshot, joined.epoch, joined.offset])

    def absent(self, asker: str) -> None:
        """Tell who asked for a start that the session is not here."""
        self._say(["absent", asker])

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
        """Those that wait for the start of their feed."""
        self.renewing: set[Sink] = set()
        """Those of the sinks that asked for a fresh start."""

    def refuse(self) -> None:
        """Tell who waits for a start that there is none."""
        for _, answer in self.first:
            if not answer.done():
                answer.set_exception(
                    AppError(ErrorCode.NOT_FOUND, "There is no such live session.")
                )


class Relay:
    """Joins a session wherever it is held.

    Args:
        watchers: how many may watch one session through this worker.
    """

    def __init__(
        self,
        *,
        node: str,
        engine: Engine,
        hub: FeedHub,
        bus: Bus,
        keys: PlayKeys,
        clock: Clock,
        watchers: int,
    ) -> None:
        self._node = node
        self._engine = engine
        self._hub = hub
        self._bus = bus
        self._keys = keys
        self._clock = clock
        self._published: dict[str, _Published] = {}
        self._remote: dict[str, _Remote] = {}
        self._unread: set[str] = set()
        """Sessions whose channel is to be left, unless somebody joins them meanwhile."""
        self._watchers = watchers

    async def start(self) -> None:
        """Listen for askers."""
        await self._bus.subscribe(self._keys.node(self._node), self._asked)

    async def join(self, session_id: str, node: str, sink: Sink) -> Joined:
        """Let `sink` see a session that `node` holds.

        Raises:
            AppError: `not_found` when the session is not live, `busy` when its worker is silent or
                as many as may already watch the session through this worker.
        """
        if node == self._node:
            return self._join_here(session_id, sink)
        remote = self._remote.get(session_id)
        heard_already = remote is not None
        if remote is None:
            remote = self._remote[session_id] = _Remote(session_id, node)
        self._check_room(len(remote.sinks) + len(remote.first))
        remote.node = node
        answer: asyncio.Future[Joined] = asyncio.get_running_loop().create_future()
        remote.first.append((sink, answer))
        try:
            if not heard_already:
                channel = self._keys.feed(session_id)
                await self._bus.subscribe(channel, functools.partial(self._heard, remote))
            self._ask(remote, fresh=True)
            return await asyncio.wait_for(answer, ANSWER_S)
        except TimeoutError:
            self.leave(session_id, sink)  # the answer may have come that very moment
            raise AppError(
                ErrorCode.BUSY, "The session's worker does not answer; try again.", retry_ms=1000
            ) from None
        finally:
            remote.first = [pair for pair in remote.first if pair[1] is not answer]
            self._drop_unread(remote)

    def leave(self, session_id: str, sink: Sink) -> None:
        """Take a reader away."""
        self._hub.leave(session_id, sink)
        remote = self._remote.get(session_id)
        if remote is not None and sink in remote.sinks:
            remote.sinks.remove(sink)
            remote.renewing.discard(sink)
            self._drop_unread(remote)

    def renew(self, session_id: str, sink: Sink) -> None:
        """Send `sink` a fresh snapshot: it missed too much."""
        remote = self._remote.get(session_id)
        if remote is not None and sink in remote.sinks:
            remote.renewing.add(sink)
            self._ask(remote, fresh=True)
            return
        with contextlib.suppress(AppError):  # the session just ended: `ended` is on its way
            sink.snapshot(self._engine.watch(session_id, sink))

    async def run(self) -> None:
        """Keep asking for the feeds that are read here, and stop those nobody asks for."""
        while True:
            await asyncio.sleep(ASK_S)
            await self.keep()

    async def keep(self) -> None:
        """Ask once for the feeds that are read here; stop what nobody reads or asks for."""
        for remote in self._remote.values():
            self._ask(remote, fresh=False)
        now = self._clock.monotonic()
        for session_id, published in list(self._published.items()):
            if now > published.until:
                self._hub.leave(session_id, published)
                del self._published[session_id]
        while self._unread:
            session_id = self._unread.pop()
            if session_id not in self._remote:
                await self._bus.unsubscribe(self._keys.feed(session_id))

    def _join_here(self, session_id: str, sink: Sink) -> Joined:
        published = self._published.get(session_id)
        workers = published is not None and self._hub.reads(session_id, published)
        self._check_room(self._hub.readers(session_id) - workers)
        return self._engine.watch(session_id, sink)

    def _check_room(self, readers: int) -> None:
        if readers >= self._watchers:
            raise AppError(
                ErrorCode.BUSY, "As many as may already watch this session.", retry_ms=5000
            )

    def _drop_unread(self, remote: _Remote) -> None:
        if not remote.sinks and not remote.first:
            self._forget(remote)

    def _forget(self, remote: _Remote) -> None:
        # What still comes for it until `keep` unsubscribes finds nobody.
        if self._remote.get(remote.session_id) is remote:
            del self._remote[remote.session_id]
            self._unread.add(remote.session_id)

    def _ask(self, remote: _Remote, *, fresh: bool) -> None:
        question: bytes = msgpack.packb([remote.session_id, self._node, fresh])
        self._bus.publish(self._keys.node(remote.node), question)

    def _asked(self, raw: bytes) -> None:
        """Go on publishing a feed; start anew when asked afresh, or when it was broken off.

        Who only keeps a feed going hears nothing of a session that is not here: it moved, and its
        readers find it, or it ended and they were told.
        """
        session_id, asker, fresh = msgpack.unpackb(raw)
        until = self._clock.monotonic() + LEASE_S
        published = self._published.get(session_id)
        if published is None:
            published = _Published(self._bus, self._keys.feed(session_id), until)
        broken = not self._hub.reads(session_id, published)
        if not broken and not fresh:
            published.until = until
            return
        try:
            joined = self._engine.watch(session_id, published)
        except AppError:
            if fresh:
                published.absent(asker)
            return
        published.until = until
        self._published[session_id] = published
        published.start(joined, everybody=broken)

    def _heard(self, remote: _Remote, raw: bytes) -> None:
        kind, *rest = msgpack.unpackb(raw)
        session_id = remote.session_id
        if kind == "feed":
            item = FeedItem(session_id, rest[0], rest[1], rest[2])
            for sink in list(remote.sinks):
                sink.feed(item)
        elif kind == "snapshot":
            self._heard_start(remote, Joined(session_id, *rest[1:]), everybody=rest[0])
        elif kind == "absent":
            if rest[0] == self._node:
                remote.refuse()
        elif kind == "ended":
            self._forget(remote)
            for sink in list(remote.sinks):
                sink.ended(session_id, rest[0])
            remote.sinks.clear()
            remote.refuse()

    def _heard_start(self, remote: _Remote, joined: Joined, *, everybody: bool) -> None:
        # One that another worker asked for serves whoever waits here as well.
        for sink in list(remote.sinks if everybody else remote.renewing):
            sink.snapshot(joined)
        remote.renewing.clear()
        for sink, answer in remote.first:
            if not answer.done():
                remote.sinks.append(sink)
                answer.set_result(joined)
