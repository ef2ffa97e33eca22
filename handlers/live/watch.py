"""`/watch`: those who may look at live sessions."""

import asyncio
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from config import metrics
from handlers.deps import Deps
from handlers.live.base import Connection, Event, LiveNamespace, Wire
from handlers.live.protocol import Nothing, WatchJoin, WatchLeave
from handlers.live.sight import Sight, shown
from models.accounts.records import Principal, Role
from models.children.access import Visit
from models.errors import AppError, ErrorCode
from sessions.answers import busy_error
from sessions.feed import FeedItem, Joined, Thinner
from sessions.packing import pack, packed_feed

LIST_SECONDS = 1.0
PULSE_SECONDS = 0.02
AWAY_SECONDS = 5.0
"""Who sees what is not asked for that long after the database did not answer."""
JOINED_MAX = 50
"""Sessions one connection may watch at a time."""


class Watcher(Connection):
    """A watching client: the sessions it has joined, and the live list it was told last."""

    __slots__ = ("listed", "sight", "sinks")

    def __init__(self, sight: Sight, *args: Any) -> None:
        super().__init__(*args)
        self.sight = sight
        self.sinks: dict[str, WatchSink] = {}
        self.listed: dict[str, dict[str, Any]] | None = None


class WatchSink(Thinner):
    """One watcher's reading of one session."""

    __slots__ = (
        "_name",
        "_namespace",
        "_watcher",
        "child_id",
        "missing",
        "moving",
        "node",
        "over",
        "session_id",
    )

    def __init__(
        self,
        watcher: Watcher,
        summary: dict[str, Any],
        max_fps: float,
        namespace: "WatchNamespace",
    ) -> None:
        deps = namespace.deps
        limit = deps.settings.socket.watcher_packets
        super().__init__(watcher.line, limit, max_fps, deps.clock.monotonic)
        self.session_id = summary["session_id"]
        self._name = pack(self.session_id)
        self._watcher = watcher
        self.child_id = summary["child_id"]
        self._namespace = namespace
        self.node = ""
        """The worker that holds the session, as far as this reader knows."""
        self.missing = 0
        """Looks at the live list in a row that did not show the session."""
        self.moving = False
        """Whether it is on the way to another worker."""
        self.over = False
        """Whether the session is sealed."""

    def late(self) -> None:
        """Look again whether the reader can take what was not sent."""
        self._namespace.pulsed[self] = None

    def snapshot(self, joined: Joined) -> None:
        """Send a fresh start."""
        self.restart()
        self._watcher.send(
            "snapshot",
            {
                "session_id": joined.session_id,
                "snapshot": joined.snapshot,
                "epoch": joined.epoch,
                "offset": joined.offset,
            },
        )

    def ended(self, session_id: str, result: dict[str, Any]) -> None:
        """Tell that the session is sealed."""
        self.over = True
        if self._watcher.sinks.get(session_id) is not self:
            return  # its join is under way and will say so, or it was left
        self.flush()
        del self._watcher.sinks[session_id]
        metrics.WATCHERS.dec()
        self._watcher.send("ended", {"session_id": session_id, "result": result})

    def pulse(self) -> bool:
        """Send what was held back, if the reader is free again; True when nothing is left."""
        left = self._watcher.sinks.get(self.session_id) is not self
        return left or super().pulse()

    def renew(self) -> None:
        """Ask for a fresh snapshot."""
        self._namespace.deps.relay.renew(self.session_id, self)

    def send(self, item: FeedItem) -> None:
        """Send an item as it is."""
        wire = item.wire
        if wire is None:
            # Encoded once for all readers of this worker.
            namespace = self._namespace
            sent_us = namespace.deps.clock.time_us()
            args = packed_feed(self._name, item.offset, item.frames, item.extra, sent_us)
            wire = item.wire = namespace.wire.enclose(namespace.name, "feed", 4, args)
        if self._watcher.open:
            self._line.post(wire, lossy=not item.telling)


def _too_many() -> AppError:
    return AppError(ErrorCode.BUSY, "Leave a session before you join another.")


class WatchNamespace(LiveNamespace[Watcher]):
    """Dispatches `/watch`."""

    name = "/watch"
    roles = frozenset({Role.THERAPIST, Role.GUARDIAN, Role.ADMIN})
    _away_until = float("-inf")
    _changes = 0
    """Counts the news of access: a join that was under way meanwhile is looked at again."""

    def __init__(self, deps: Deps, wire: Wire) -> None:
        super().__init__(deps, wire)
        self.pulsed: dict[WatchSink, None] = {}
        """Those that were not sent all there was."""

    def events(self) -> dict[str, Event]:
        """The events a watcher may send."""
        return {
            "live:list": Event(Nothing, self._list),
            "watch:join": Event(WatchJoin, self._join),
            "watch:leave": Event(WatchLeave, self._leave),
        }

    def joined(self, eio_sid: str, who: Principal) -> Watcher:
        """Make the connection."""
        sight = Sight(self.deps.access, self.deps.clock)
        return Watcher(sight, self.wire, self.name, eio_sid, who)

    async def left(self, connection: Watcher) -> None:
        """Stop its feeds."""
        for session_id, sink in list(connection.sinks.items()):
            metrics.WATCHERS.dec()
            self.deps.relay.leave(session_id, sink)
        connection.sinks.clear()

    def _list(self, watcher: Watcher, _: Nothing, reply: Callable[..., None]) -> None:
        self.later(self._listed(watcher), "live:list", reply)

    async def _listed(self, watcher: Watcher) -> dict[str, Any]:
        live = await self._live()
        children = {summary["child_id"] for summary in live.values()}
        watcher.listed = shown(live, await watcher.sight.look(watcher.who, children))
        return {"sessions": list(watcher.listed.values())}

    def _join(self, watcher: Watcher, asked: WatchJoin, reply: Callable[..., None]) -> None:
        self.later(self._joined(watcher, asked), "watch:join", reply)

    async def _joined(self, watcher: Watcher, asked: WatchJoin) -> dict[str, Any]:
        who = watcher.who
        if who.roles == {Role.ADMIN} and not asked.reason:
            raise AppError(ErrorCode.FORBIDDEN, "watch:join: an admin gives a `reason`.")
        summary = await self._find(asked.session_id)
        if summary is None:
            raise AppError(ErrorCode.NOT_FOUND, "There is no such live session.")
        changes = self._changes
        await self._let_in(watcher, summary["child_id"], asked.reason)
        self._dismiss(watcher, asked.session_id)
        if len(watcher.sinks) >= JOINED_MAX:
            raise _too_many()
        sink = WatchSink(watcher, summary, asked.max_fps, self)
        joined = await self.deps.relay.join(asked.session_id, summary["node"], sink)
        sink.node = summary["node"]
        self._take(watcher, asked.session_id, sink)
        if not watcher.open:
            await self.left(watcher)
        elif changes != self._changes:
            await self._look_again(watcher, sink.child_id)
        return {"snapshot": joined.snapshot, "epoch": joined.epoch, "offset": joined.offset}

    def _take(self, watcher: Watcher, session_id: str, sink: WatchSink) -> None:
        """Let a watcher have a feed that was joined: other joins may have been under way."""
        if sink.over:
            raise AppError(ErrorCode.NOT_FOUND, "There is no such live session.")
        self._dismiss(watcher, session_id)
        if len(watcher.sinks) >= JOINED_MAX:
            self.deps.relay.leave(session_id, sink)
            raise _too_many()
        watcher.sinks[session_id] = sink
        metrics.WATCHERS.inc()

    async def _let_in(self, watcher: Watcher, child_id: str, reason: str | None) -> None:
        visit = Visit(
            "watch",
            "watch:join",
            reason,
            self.wire.address(watcher.eio_sid),
            None,
            self.deps.clock.now(),
            via="live",
        )
        try:
            await self.deps.access.child(watcher.who, child_id, visit)
        except AppError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
            raise AppError(ErrorCode.NOT_FOUND, "There is no such live session.") from None

    def access_changed(self, child_id: str) -> None:
        """Somebody's way to a child may have ended: look again, and stop what is not theirs."""
        self._changes += 1
        for watcher in self.connections.values():
            watcher.sight.forget(child_id)
            if any(sink.child_id == child_id for sink in watcher.sinks.values()):
                self.later(self._look_again(watcher, child_id), "access", lambda _: None)

    async def _look_again(self, watcher: Watcher, child_id: str) -> dict[str, Any]:
        if not await self.deps.access.reachable(watcher.who, {child_id}, "watch"):
            await self._lose(watcher, child_id)
        return {}

    async def _lose(self, watcher: Watcher, child_id: str) -> None:
        """End the feeds of a child that is not the watcher's to see any more."""
        for session_id, sink in list(watcher.sinks.items()):
            if sink.child_id == child_id:
                self._dismiss(watcher, session_id)
                watcher.send("ended", {"session_id": session_id, "result": {}})

    def _leave(self, watcher: Watcher, asked: WatchLeave, reply: Callable[..., None]) -> None:
        async def leave() -> dict[str, Any]:
            self._dismiss(watcher, asked.session_id)
            return {}

        self.later(leave(), "watch:leave", reply)

    def _dismiss(self, watcher: Watcher, session_id: str) -> None:
        sink = watcher.sinks.pop(session_id, None)
        if sink is not None:
            metrics.WATCHERS.dec()
            self.deps.relay.leave(session_id, sink)

    async def _find(self, session_id: str) -> dict[str, Any] | None:
        try:
            return await self.deps.directory.find(session_id)
        except (RedisError, OSError, TimeoutError) as error:
            raise busy_error() from error

    async def _live(self) -> dict[str, dict[str, Any]]:
        try:
            return await self.deps.directory.read()
        except (RedisError, OSError, TimeoutError) as error:
            raise busy_error() from error

    async def run_lists(self) -> None:
        """Tell what changed in the live lists and follow sessions that moved, for ever."""
        while True:
            await asyncio.sleep(LIST_SECONDS)
            watchers = self.connections.values()
            watched = {session_id for watcher in watchers for session_id in watcher.sinks}
            listed = any(watcher.listed is not None for watcher in watchers)
            if not listed and not watched:
                continue
            # All of this worker's sessions are gone through for nobody but who sees the list.
            live = await self.deps.directory.read(None if listed else watched)
            for watcher in list(self.connections.values()):
                await self._tell_list(watcher, live)
                for session_id, sink in list(watcher.sinks.items()):
                    self._follow(watcher, sink, live.get(session_id))

    def _follow(self, watcher: Watcher, sink: WatchSink, now: dict[str, Any] | None) -> None:
        """Stay with a session that another worker took over; give up one that is gone for good."""
        session_id = sink.session_id
        if now is None:
            sink.missing += 1
            if sink.missing * LIST_SECONDS > self.deps.settings.live.grace_seconds:
                self.deps.relay.leave(session_id, sink)
                sink.ended(session_id, {})
            return
        sink.missing = 0
        if now["node"] != sink.node and not sink.moving:
            # Side by side: one silent worker keeps nobody else waiting.
            sink.moving = True
            self.later(self._move(watcher, sink, now["node"]), "follow", lambda _: None)

    async def _move(self, watcher: Watcher, sink: WatchSink, node: str) -> dict[str, Any]:
        relay, session_id = self.deps.relay, sink.session_id
        relay.leave(session_id, sink)
        try:
            joined = await relay.join(session_id, node, sink)
        except AppError:
            return {}  # the next look tries again
        finally:
            sink.moving = False
        if watcher.sinks.get(session_id) is not sink:
            relay.leave(session_id, sink)  # it was left meanwhile
            return {}
        sink.node = node
        sink.snapshot(joined)
        return {}

    async def run_pulse(self) -> None:
        """Let the readers send what they held back, for ever."""
        while True:
            await asyncio.sleep(PULSE_SECONDS)
            for sink in [sink for sink in self.pulsed if sink.pulse()]:
                self.pulsed.pop(sink, None)

    async def _tell_list(self, watcher: Watcher, live: dict[str, dict[str, Any]]) -> None:
        """Tell a watcher what changed in its list, and end what is not theirs any more."""
        watched = {sink.child_id for sink in watcher.sinks.values()}
        listed = {s["child_id"] for s in live.values()} if watcher.listed is not None else set()
        visible = await self._look(watcher, watched, watched | listed)
        for child_id in watched - visible:
            await self._lose(watcher, child_id)
        if watcher.listed is not None:
            self._tell_changes(watcher, shown(live, visible))

    async def _look(self, watcher: Watcher, watched: set[str], all_: set[str]) -> set[str]:
        now = self.deps.clock.monotonic()
        if now >= self._away_until:
            try:
                return await watcher.sight.look(watcher.who, all_)
            except AppError:
                self._away_until = now + AWAY_SECONDS
        # Nobody loses what they watch because the database is away.
        return watcher.sight.known(all_) | watched

    def _tell_changes(self, watcher: Watcher, now: dict[str, dict[str, Any]]) -> None:
        before = watcher.listed or {}
        added = [s for key, s in now.items() if key not in before]
        changed = [s for key, s in now.items() if key in before and before[key] != s]
        removed = [key for key in before if key not in now]
        watcher.listed = now
        if added or changed or removed:
            watcher.send("live", {"added": added, "changed": changed, "removed": removed})
