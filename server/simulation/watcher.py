"""The reference client of `/watch`, and how it measures what it sees against what was sent."""

import asyncio
import contextlib
import random
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from config.clock import Clock
from server.simulation.latency import Latencies
from server.simulation.line import Line, LineLostError, RefusedError
from server.simulation.link import PATIENCE_S, Backoff, Link, Token

HEADER = struct.Struct("<HBBHHQIHH")
"""Head of a frame message: magic, version, space, n, record size, t0, seq0, width, height."""
_RECORD = struct.Struct("<IHB")
"""What names a record: dt after t0, dseq after seq0, side."""

REJOINS = 12
"""Times a session that is not found is asked for again: about half a minute in all."""

Picture = tuple[int, int, int]
"""What names one hand of one picture: capture time in microseconds, frame counter, side."""


def pictures(payload: bytes) -> Iterator[tuple[Picture, bytes]]:
    """Yield each record of a frame message: its name, and its bytes after the name."""
    _, _, _, n, size, t0, seq0, _, _ = HEADER.unpack_from(payload)
    for start in range(HEADER.size, HEADER.size + n * size, size):
        dt, dseq, side = _RECORD.unpack_from(payload, start)
        yield (t0 + dt, seq0 + dseq, side), payload[start + _RECORD.size : start + size]


class Sightings:
    """What was sent lately, so that a watcher in the same process can recognise it.

    Holds the last `keep` records of each session; older ones are unknown.
    """

    def __init__(self, keep: int = 512) -> None:
        self._keep = keep
        self._sent: dict[str, OrderedDict[Picture, tuple[float, bytes]]] = {}

    def note(self, session_id: str, payload: bytes, at: float) -> None:
        """Remember a frame message handed to the socket at `at`, monotonic seconds."""
        sent = self._sent.setdefault(session_id, OrderedDict())
        for name, content in pictures(payload):
            sent[name] = (at, content)
        while len(sent) > self._keep:
            sent.popitem(last=False)

    def find(self, session_id: str, name: Picture) -> tuple[float, bytes] | None:
        """Return when a record was sent and its bytes; None if it is not known."""
        sent = self._sent.get(session_id)
        return None if sent is None else sent.get(name)

    def forget(self, session_id: str) -> None:
        """Drop a session that has ended."""
        self._sent.pop(session_id, None)


@dataclass(slots=True)
class Views:
    """What one or many watchers have seen."""

    feeds: int = 0
    frames: int = 0
    missed: int = 0
    """Offsets that never came: thinned, or lost."""
    disordered: int = 0
    """Feeds whose offset did not rise."""
    altered: int = 0
    """Records whose bytes are not those sent."""
    unknown: int = 0
    """Records nobody is known to have sent, or sent too long ago."""
    snapshots: int = 0
    ended: int = 0
    latency: Latencies = field(default_factory=Latencies)
    """From handing a frame message to the player's socket to its receipt here."""


class Watcher:
    """Watches over as many connections to `/watch` as it takes; checks every feed.

    After a lost line it lists and joins again what it had joined; each join answers with a
    snapshot, and offsets count from there. A session that is not found may be on its way from
    one server to another: it is asked for again, a few times.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        token: Token,
        *,
        clock: Clock,
        sightings: Sightings,
        views: Views | None = None,
        rng: random.Random | None = None,
        http: aiohttp.ClientSession | None = None,
        patience_s: float = PATIENCE_S,
        ended: Callable[[str], None] | None = None,
        parser: str = "default",
    ) -> None:
        """Prepare a watcher; nothing is sent before `connect`.

        Args:
            sightings: filled by the players of this process.
            views: where to count; a new one by default.
            ended: told, once, when there will be no other connection, and why.
            parser: of the packets; one of `line.PARSERS`.
        """
        self._clock = clock
        self._sightings = sightings
        self.views = Views() if views is None else views
        self.results: OrderedDict[str, dict[str, Any] | None] = OrderedDict()
        """What `ended` said of the last sessions."""
        self.reps: dict[str, int] = {}
        """`rep` events seen in the feed of each joined session."""
        self.live: asyncio.Queue[str | None] = asyncio.Queue()
        """Ids of sessions as they go live, once `list_live` was asked; None ends the reading."""
        self.joined: dict[str, int] = {}
        """The pictures per second asked of each session that is watched."""
        self._listing = False
        self._offsets: dict[str, int] = {}
        self._rng = random.Random() if rng is None else rng  # noqa: S311 - jitter, not a secret
        self._rejoining: dict[str, asyncio.Task[None]] = {}
        self._ended = ended
        self.link = Link(
            [urls] if isinstance(urls, str) else list(urls),
            token,
            "/watch",
            clock=clock,
            rng=self._rng,
            http=http,
            wire=self._wire,
            resume=self._resume,
            up=_nothing,
            down=_nothing,
            given_up=self._on_given_up,
            patience_s=patience_s,
            parser=parser,
        )

    @property
    def line(self) -> Line:
        """The connection in use, or the last one."""
        return self.link.line

    def _wire(self, line: Line) -> None:
        line.on("feed", self._on_feed)
        line.on("snapshot", self._on_snapshot)
        line.on("ended", self._on_ended)
        line.on("live", self._on_live)

    async def connect(self, patience_s: float = 0.0) -> dict[str, Any]:
        """Connect and return the content of `welcome`; errors as `Link.connect`."""
        return await self.link.connect(patience_s)

    async def disconnect(self) -> None:
        """Leave; safe at any time and twice."""
        await self.link.disconnect()
        for task in list(self._rejoining.values()):
            task.cancel()
        await asyncio.gather(*self._rejoining.values(), return_exceptions=True)

    async def _resume(self, line: Line) -> None:
        """Watch on a new line what was watched on the old one."""
        self._offsets.clear()
        if self._listing:
            await self._list(line)
        for session_id, max_fps in list(self.joined.items()):
            try:
                await self._join(line, session_id, max_fps)
            except RefusedError:
                self.rejoin(session_id, max_fps)

    def rejoin(self, session_id: str, max_fps: int = 30) -> None:
        """Ask for a session again until it is there, or does not come back."""
        self.joined.pop(session_id, None)
        self._offsets.pop(session_id, None)
        if session_id not in self._rejoining and self.link.over is None:
            task = asyncio.create_task(self._try_again(session_id, max_fps))
            self._rejoining[session_id] = task

    async def _try_again(self, session_id: str, max_fps: int) -> None:
        backoff = Backoff(self._rng)
        try:
            for _ in range(REJOINS):
                await asyncio.sleep(backoff.next_s())
                with contextlib.suppress(RefusedError, LineLostError):
                    await self.join(session_id, max_fps)
                    return
        finally:
            self._rejoining.pop(session_id, None)

    def _on_given_up(self, why: Exception) -> None:
        if self._ended is not None:
            self._ended(str(why))

    async def list_live(self) -> list[dict[str, Any]]:
        """Return the sessions live now; those that come later are told once a second."""
        self._listing = True
        return await self._list(self.line)

    async def _list(self, line: Line) -> list[dict[str, Any]]:
        answer = await line.call("live:list", {})
        sessions: list[dict[str, Any]] = answer["sessions"]
        for summary in sessions:
            self.live.put_nowait(summary["session_id"])
        return sessions

    async def join(self, session_id: str, max_fps: int = 30) -> dict[str, Any]:
        """Join a session; return its snapshot. Its `feed` is checked from here on."""
        await self.link.until_up()
        return await self._join(self.line, session_id, max_fps)

    async def _join(self, line: Line, session_id: str, max_fps: int) -> dict[str, Any]:
        answer = await line.call("watch:join", {"session_id": session_id, "max_fps": max_fps})
        # A feed may have overtaken the answer: it knows better.
        self._offsets[session_id] = max(answer["offset"], self._offsets.get(session_id, -1))
        self.joined[session_id] = max_fps
        self.reps.setdefault(session_id, 0)
        self.views.snapshots += 1
        return answer

    async def leave(self, session_id: str) -> None:
        """Stop watching a session."""
        await self.line.call("watch:leave", {"session_id": session_id})
        self._offsets.pop(session_id, None)
        self.joined.pop(session_id, None)

    def _on_feed(
        self, session_id: str, offset: int, payload: bytes, seen: dict[str, Any] | None = None
    ) -> None:
        now = self._clock.monotonic()
        views = self.views
        views.feeds += 1
        last = self._offsets.get(session_id)
        if last is not None:
            if offset <= last:
                views.disordered += 1
            else:
                views.missed += offset - last - 1
        self._offsets[session_id] = offset
        if seen and "rep" in seen:
            self.reps[session_id] = self.reps.get(session_id, 0) + 1
        sent_at: float | None = None
        for name, content in pictures(payload) if payload else ():
            views.frames += 1
            sent = self._sightings.find(session_id, name)
            if sent is None:
                views.unknown += 1
                continue
            sent_at = sent[0]
            views.altered += content != sent[1]
        if sent_at is not None:
            views.latency.add(now - sent_at)

    def _on_live(self, changes: dict[str, Any]) -> None:
        for summary in changes["added"]:
            self.live.put_nowait(summary["session_id"])

    def _on_snapshot(self, content: dict[str, Any]) -> None:
        self.views.snapshots += 1
        self._offsets[content["session_id"]] = content["offset"]

    def _on_ended(self, content: dict[str, Any]) -> None:
        session_id = content["session_id"]
        if content.get("result") is None and session_id in self.joined:
            # Its server went away and it has no result: somebody may be playing on elsewhere.
            self.rejoin(session_id, self.joined[session_id])
            return
        self.views.ended += 1
        self.joined.pop(session_id, None)
        self._offsets.pop(session_id, None)
        self.reps.pop(session_id, None)
        self.results[session_id] = content.get("result")
        while len(self.results) > 64:
            self.results.popitem(last=False)


def _nothing() -> None:
    """A watcher sends nothing that would have to wait for a line."""
