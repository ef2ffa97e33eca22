"""The feed: what watchers see of a session. Derived, may be thinned, the newest wins."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from config import metrics

RESNAPSHOT_S = 1.0
"""A reader that was thinned for longer than this gets a fresh snapshot when it is back."""
_NOTHING: Mapping[str, bytes] = {}


class FeedItem:
    """One step of a feed.

    Args:
        frames: a frame message as it came, empty when none belongs.
        extra: what came with it, msgpack each: `score`, `peak`, `rep`.
    """

    __slots__ = ("extra", "frames", "offset", "session_id", "telling", "wire")

    def __init__(
        self, session_id: str, offset: int, frames: bytes, extra: Mapping[str, bytes]
    ) -> None:
        self.session_id = session_id
        self.offset = offset
        self.frames = frames
        self.extra = extra
        self.telling = bool(extra) and ("rep" in extra or "peak" in extra)
        """Whether it tells a peak or a repetition, which are never thinned."""
        self.wire: Any = None
        """The item as the edge encoded it, shared by all its readers."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What a watcher starts from: the snapshot, the owner's token, the offset it stands at."""

    session_id: str
    snapshot: dict[str, Any]
    epoch: int
    offset: int


class Sink(Protocol):
    """A reader of one session's feed. None of these may wait."""

    def feed(self, item: FeedItem) -> None:
        """Take the next item."""
        ...

    def snapshot(self, joined: Joined) -> None:
        """Take a fresh start."""
        ...

    def ended(self, session_id: str, result: dict[str, Any]) -> None:
        """The session is sealed; nothing more comes."""
        ...


@dataclass(slots=True)
class _Feed:
    offset: int = 0
    sinks: tuple[Sink, ...] = ()
    """Made anew when one comes or goes, so that each item goes through them as they are."""


class FeedHub:
    """The feeds of the sessions this worker holds, made only while somebody watches."""

    def __init__(self) -> None:
        self._feeds: dict[str, _Feed] = {}
        self.changes = 0
        """How often a session began to be watched, or ceased to."""

    @property
    def sessions(self) -> Collection[str]:
        """Those that are watched."""
        return self._feeds

    def watched(self, session_id: str) -> bool:
        """Tell whether somebody watches the session."""
        return session_id in self._feeds

    def readers(self, session_id: str) -> int:
        """Return how many sinks a session has."""
        feed = self._feeds.get(session_id)
        return len(feed.sinks) if feed else 0

    def reads(self, session_id: str, sink: Sink) -> bool:
        """Tell whether a sink is one of a session's readers."""
        feed = self._feeds.get(session_id)
        return feed is not None and sink in feed.sinks

    def join(self, session_id: str, sink: Sink) -> int:
        """Add a reader; return the offset after which its items start."""
        feed = self._feeds.get(session_id)
        if feed is None:
            feed = self._feeds[session_id] = _Feed()
            self.changes += 1
        if sink not in feed.sinks:
            feed.sinks += (sink,)
        return feed.offset

    def leave(self, session_id: str, sink: Sink) -> None:
        """Take a reader away; the feed ends with its last one."""
        feed = self._feeds.get(session_id)
        if feed is not None and sink in feed.sinks:
            feed.sinks = tuple(one for one in feed.sinks if one is not sink)
            if not feed.sinks:
                del self._feeds[session_id]
                self.changes += 1

    def publish(
        self,
        session_id: str,
        frames: bytes,
        told: Sequence[Mapping[str, bytes]] = (),
        score: bytes = b"",
    ) -> None:
        """Send a frame message with the peaks and repetitions it completed.

        Args:
            told: what was told of each, as a `FeedItem` has it.
            score: the score at the message, msgpack; empty when there is none.
        """
        feed = self._feeds.get(session_id)
        if feed is None:
            return
        extra: Mapping[str, bytes] = {"score": score} if score else _NOTHING
        if told:
            extra = {**extra, **told[0]}
        feed.offset += 1
        item = FeedItem(session_id, feed.offset, frames, extra)
        for sink in feed.sinks:
            sink.feed(item)
        for extra in told[1:]:
            feed.offset += 1
            item = FeedItem(session_id, feed.offset, b"", extra)
            for sink in feed.sinks:
                sink.feed(item)

    def refresh(self, session_id: str, joined: Callable[[int], Joined]) -> None:
        """Send everybody a fresh snapshot, for instance when a set began."""
        feed = self._feeds.get(session_id)
        if feed is not None:
            start = joined(feed.offset)
            for sink in feed.sinks:
                sink.snapshot(start)

    def drop(self, session_id: str) -> None:
        """Forget a feed whose session is another worker's now; its readers find it there."""
        if self._feeds.pop(session_id, None) is not None:
            self.changes += 1

    def end(self, session_id: str, result: dict[str, Any]) -> None:
        """Tell everybody that the session is sealed, and forget its feed."""
        feed = self._feeds.pop(session_id, None)
        if feed is not None:
            self.changes += 1
            for sink in feed.sinks:
                sink.ended(session_id, result)


class Line(Protocol):
    """The way to a reader."""

    @property
    def backlog(self) -> int:
        """How many packets wait for it now."""
        ...

    def post(self, encoded: Any, *, lossy: bool = False) -> None:
        """Queue an encoded event, or leave it out if it is `lossy` and too much waits."""
        ...


class Thinner(ABC):
    """Keeps one reader's feed to what it can take: the newest frame, and every repetition.

    Args:
        line: the way to the reader.
        limit: packets waiting at which frames are held back.
        max_fps: highest rate of frame messages, 1/s.
        monotonic: the clock, seconds.
    """

    __slots__ = ("_choked_since", "_gap", "_held", "_limit", "_line", "_monotonic", "_next_at")

    def __init__(
        self, line: Line, limit: int, max_fps: float, monotonic: Callable[[], float]
    ) -> None:
        self._line = line
        self._limit = limit
        self._gap = 1.0 / max_fps
        self._held: FeedItem | None = None
        self._next_at = 0.0
        self._monotonic = monotonic
        self._choked_since: float | None = None

    @abstractmethod
    def send(self, item: FeedItem) -> None:
        """Pass an item on."""

    @abstractmethod
    def late(self) -> None:
        """Call `pulse` from now on, until it says True: an item was not sent as it is."""

    @abstractmethod
    def renew(self) -> None:
        """Ask for a fresh snapshot."""

    def feed(self, item: FeedItem) -> None:
        """Send the item, hold it back in place of an older one, or strip its frames.

        Of an item that tells something only a reader that is behind misses the frames.
        """
        if self._held is not None:
            self.restart()
        now, telling = self._monotonic(), item.telling
        if (telling or now >= self._next_at) and self._line.backlog < self._limit:
            if item.frames:
                # The next slot is counted from this one, so that a rate of 30 is not halved by
                # jitter.
                records = item.frames[4] | item.frames[5] << 8  # where the message counts them
                next_at = self._next_at + self._gap * (records or 1)
                self._next_at = next_at if next_at > now else now
            self.send(item)
            return
        if telling:
            self.send(FeedItem(item.session_id, item.offset, b"", item.extra))
        else:
            self._held = item
        self.late()

    def pulse(self) -> bool:
        """Send what was held back when the reader is free again; True when all is sent."""
        now = self._monotonic()
        if self._line.backlog >= self._limit:
            self._choked_since = self._choked_since or now
            return False
        if self._choked_since is not None and now - self._choked_since > RESNAPSHOT_S:
            self.renew()
        self._choked_since = None
        if self._held is not None and now >= self._next_at:
            held, self._held = self._held, None
            self.feed(held)
        return self._held is None

    def restart(self) -> None:
        """Leave out what is held back: something newer is sent."""
        if self._held is not None:  # its offset is lower: sent later it would go back
            self._held = None
            metrics.FEED_THINNED.inc()

    def flush(self) -> None:
        """Send what is held back at once: nothing comes after it."""
        held, self._held = self._held, None
        if held is not None:
            self.send(held)
