"""`/watch`: those who may look at live sessions."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from config import metrics
from handlers.live.base import Connection, Event, LiveNamespace
from handlers.live.protocol import Nothing, WatchJoin, WatchLeave
from models.accounts.records import Principal, Role
from models.children.access import access_child, may_reach
from models.errors import AppError, ErrorCode
from sessions.answers import busy_error
from sessions.feed import FeedItem, Joined, Thinner

LIST_SECONDS = 1.0
PULSE_SECONDS = 0.02
JOINED_MAX = 50
"""Sessions one connection may watch at a time."""


class Watcher(Connection):
    """A watching client: the sessions it has joined, and the live list it was told last."""

    lossy = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.sinks: dict[str, WatchSink] = {}
        self.listed: dict[str, dict[str, Any]] | None = None


class WatchSink:
    """One watcher's reading of one session."""

    def __init__(
        self, watcher: Watcher, session_id: str, max_fps: float, namespace: "WatchNamespace"
    ) -> None:
        self._watcher = watcher
        self._session_id = session_id
        self._namespace = namespace
        self.node = ""
        """The worker that holds the session, as far as this reader knows."""
        self.missing = 0
        """Looks at the live list in a row that did not show the session."""
        self._thinner = Thinner(
            self._send,
            lambda: watcher.backlog,
            namespace.deps.settings.socket.watcher_packets,
            max_fps,
            lambda: namespace.deps.relay.renew(session_id, self),
        )

    def feed(self, item: FeedItem) -> None:
        """Send an item, thinned to what the reader can take."""
        self._thinner.offer(item)

    def snapshot(self, joined: Joined) -> None:
        """Send a fresh start."""
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
        self._watcher.sinks.pop(session_id, None)
        metrics.WATCHERS.dec()
        self._watcher.send("ended", {"session_id": session_id, "result": result})

    def pulse(self, now: float) -> None:
        """Time has passed: send what was held back, if the reader is free again."""
        self._thinner.pulse(now)

    def _send(self, item: FeedItem) -> None:
        if item.wire is None:
            # Encoded once for all readers of this worker.
            extra = {**item.extra, "sent_us": self._namespace.deps.clock.time_us()}
            args = (item.session_id, item.offset, item.frames, extra)
            item.wire = self._watcher.wire.encode(self._namespace.name, "feed", args)
        self._watcher.post(item.wire)


class WatchNamespace(LiveNamespace[Watcher]):
    """Dispatches `/watch`."""

    name = "/watch"
    roles = frozenset({Role.THERAPIST, Role.GUARDIAN, Role.ADMIN})

    def events(self) -> dict[str, Event]:
        """The events a watcher may send."""
        return {
            "live:list": Event(Nothing, self._list),
            "watch:join": Event(WatchJoin, self._join),
            "watch:leave": Event(WatchLeave, self._leave),
        }

    def joined(self, eio_sid: str, who: Principal) -> Watcher:
        """Make the connection."""
        return Watcher(self.wire, self.name, eio_sid, who)

    async def left(self, connection: Watcher) -> None:
        """Stop its feeds."""
        for session_id, sink in list(connection.sinks.items()):
            metrics.WATCHERS.dec()
            await self.deps.relay.leave(session_id, sink)
        connection.sinks.clear()

    def _list(self, watcher: Watcher, _: Nothing, reply: Callable[..., None]) -> None:
        self.later(self._listed(watcher), "live:list", reply)

    async def _listed(self, watcher: Watcher) -> dict[str, Any]:
        live = await self._live()
        watcher.listed = _visible(live, watcher.who)
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
        try:
            access_child(who, summary["child_id"])
        except AppError:
            raise AppError(ErrorCode.NOT_FOUND, "There is no such live session.") from None
        if asked.session_id in watcher.sinks:
            await self._dismiss(watcher, asked.session_id)
        if len(watcher.sinks) >= JOINED_MAX:
            raise AppError(ErrorCode.BUSY, "Leave a session before you join another.")
        sink = WatchSink(watcher, asked.session_id, asked.max_fps, self)
        joined = await self.deps.relay.join(asked.session_id, summary["node"], sink)
        sink.node = summary["node"]
        watcher.sinks[asked.session_id] = sink
        metrics.WATCHERS.inc()
        if not watcher.open:
            await self.left(watcher)
        return {"snapshot": joined.snapshot, "epoch": joined.epoch, "offset": joined.offset}

    def _leave(self, watcher: Watcher, asked: WatchLeave, reply: Callable[..., None]) -> None:
        async def leave() -> dict[str, Any]:
            await self._dismiss(watcher, asked.session_id)
            return {}

        self.later(leave(), "watch:leave", reply)

    async def _dismiss(self, watcher: Watcher, session_id: str) -> None:
        sink = watcher.sinks.pop(session_id, None)
        if sink is not None:
            metrics.WATCHERS.dec()
            await self.deps.relay.leave(session_id, sink)

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
            if not any(w.listed is not None or w.sinks for w in self.connections.values()):
                continue
            live = await self.deps.directory.read()
            for watcher in list(self.connections.values()):
                if watcher.listed is not None:
                    self._tell_changes(watcher, _visible(live, watcher.who))
                for session_id, sink in list(watcher.sinks.items()):
                    await self._follow(sink, session_id, live.get(session_id))

    async def _follow(self, sink: WatchSink, session_id: str, now: dict[str, Any] | None) -> None:
        """Stay with a session that another worker took over; give up one that is gone for good."""
        if now is None:
            sink.missing += 1
            if sink.missing * LIST_SECONDS > self.deps.settings.live.grace_seconds:
                sink.ended(session_id, {})
            return
        sink.missing = 0
        if now["node"] == sink.node:
            return
        await self.deps.relay.leave(session_id, sink)
        with contextlib.suppress(AppError):  # the next look tries again
            joined = await self.deps.relay.join(session_id, now["node"], sink)
            sink.node = now["node"]
            sink.snapshot(joined)

    async def run_pulse(self) -> None:
        """Let the readers send what they held back, for ever."""
        while True:
            await asyncio.sleep(PULSE_SECONDS)
            now = self.deps.clock.monotonic()
            for watcher in self.connections.values():
                for sink in list(watcher.sinks.values()):
                    sink.pulse(now)

    def _tell_changes(self, watcher: Watcher, now: dict[str, dict[str, Any]]) -> None:
        before = watcher.listed or {}
        added = [s for key, s in now.items() if key not in before]
        changed = [s for key, s in now.items() if key in before and before[key] != s]
        removed = [key for key in before if key not in now]
        watcher.listed = now
        if added or changed or removed:
            watcher.send("live", {"added": added, "changed": changed, "removed": removed})


def _visible(live: dict[str, dict[str, Any]], who: Principal) -> dict[str, dict[str, Any]]:
    """Return the summaries `who` may see, without what is the server's own."""
    return {
        session_id: {k: v for k, v in summary.items() if k not in ("child_id", "node")}
        for session_id, summary in live.items()
        if may_reach(who, summary["child_id"])
    }
