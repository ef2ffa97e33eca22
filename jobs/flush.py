"""The flush: play records from the streams to MongoDB, each once, nothing dropped in silence."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable

from config import metrics
from config.clock import Clock
from config.settings import StoreSettings
from models.db import UNREACHABLE
from models.play.records import Item, UnknownSchemaError, read_item
from models.play.repo import PlayRepo, marks_of
from models.play.stream import PlayStream, StreamEntry

log = logging.getLogger(__name__)

Alarm = Callable[[str], None]

TELL_S = 0.2
"""Marks wait no longer for those of other shards: a database that is slow keeps nobody waiting."""


class Flusher:
    """Holds shards by lease, writes what is in them, then acknowledges and deletes it.

    The order per shard is: read, write to MongoDB (majority, journal), settle. A crash between
    any two repeats the write, which changes nothing. The owners of the sessions are told of a
    round's shards together; what they miss they read.
    """

    def __init__(
        self,
        *,
        stream: PlayStream,
        repo: PlayRepo,
        clock: Clock,
        settings: StoreSettings,
        alarm: Alarm,
    ) -> None:
        self._stream = stream
        self._repo = repo
        self._clock = clock
        self._settings = settings
        self._alarm = alarm
        self._held: set[int] = set()
        self._hold_at = 0.0
        self._left: dict[int, list[StreamEntry]] = {}
        self._attempts: Counter[bytes] = Counter()
        self._dead: set[bytes] = set()
        """Items buried already whose entry waits for its other items."""

    async def run(self) -> None:
        """Flush for ever."""
        await self._repo.ensure_indexes()
        self._held.clear()
        self._left.clear()
        self._hold_at = 0.0
        pause = self._settings.flush_ms / 1000
        while True:
            if not await self.flush_once():
                await asyncio.sleep(pause)

    async def flush_once(self) -> bool:
        """Do one round over the held shards; True if a stream had more than one round takes."""
        now = self._clock.monotonic()
        if now >= self._hold_at:
            self._hold_at = now + self._settings.lease_ms / 3000
            await self._renew()
        count = self._settings.flush_entries
        fresh = [shard for shard in self._held if shard not in self._left]
        found = dict(self._left)
        self._left = {}
        for shard, entries in (await self._stream.read(fresh, count) if fresh else {}).items():
            if entries is None:
                self._held.discard(shard)  # frozen for too long: somebody else has it
            else:
                found[shard] = entries
        full = any(len(entries) >= count for entries in found.values())
        marks: dict[str, int] = {}
        told_at = self._clock.monotonic()
        for shard, entries in found.items():
            marks |= await self._flush(shard, entries)
            if self._clock.monotonic() - told_at > TELL_S:
                await self._tell(marks)
                marks, told_at = {}, self._clock.monotonic()
        await self._tell(marks)
        return full and not self._left

    async def drain(self, seconds: float) -> None:
        """Flush until the held streams are empty or the time is over, then give them back."""
        try:
            async with asyncio.timeout(seconds):
                self._hold_at = 0.0
                for _ in range(10_000):
                    if not await self.flush_once() and not self._left:
                        break
        finally:
            for shard in list(self._held):
                await self._stream.release(shard)
            self._held.clear()

    async def _renew(self) -> None:
        for shard in range(self._stream.shards):
            held = await self._stream.hold(shard, self._settings.lease_ms)
            if held is None:
                self._held.discard(shard)
                self._left.pop(shard, None)
                continue
            if held or shard not in self._held:
                await self._stream.ensure_group(shard)
                claimed = await self._stream.claim(shard, self._settings.flush_entries)
                if claimed:
                    self._left[shard] = claimed
            self._held.add(shard)

    async def _tell(self, marks: dict[str, int]) -> None:
        if marks:
            await self._stream.tell(marks)

    async def _flush(self, shard: int, entries: list[StreamEntry]) -> dict[str, int]:
        """Store what a shard held; return the marks of its sessions as far as that is settled."""
        blobs: dict[str, tuple[bytes, bytes]] = {}
        try:
            items = await self._read_items(entries, blobs)
        except UnknownSchemaError as error:
            log.warning("shard %d: schema %s is newer than this worker", shard, error)
            await self._stream.release(shard)
            self._held.discard(shard)
            return {}
        try:
            failures = await self._repo.store(items)
        except UNREACHABLE as error:
            metrics.FLUSH_ERRORS.inc()
            log.warning("MongoDB does not take the flush (%s); trying again", type(error).__name__)
            self._left[shard] = entries
            return {}
        retry = False
        for failure in failures:
            field, blob = blobs[failure.item.document["_id"]]
            self._attempts[field] += 1
            if self._attempts[field] < self._settings.attempts:
                retry = True
                continue
            await self._bury(field, blob, failure.reason)
            items.remove(failure.item)
        if retry:
            self._left[shard] = entries
            return {}
        marks = marks_of([*items, *self._passed(entries)])
        if not await self._stream.settle(shard, [entry.id for entry in entries], marks):
            self._held.discard(shard)
            marks = {}
        settled = [field for entry in entries for field, _ in entry.fields]
        self._dead.difference_update(settled)
        for field in settled:
            self._attempts.pop(field, None)
        metrics.FLUSHED.inc(len(items))
        return marks

    async def _read_items(
        self, entries: list[StreamEntry], blobs: dict[str, tuple[bytes, bytes]]
    ) -> list[Item]:
        """Return the items of entries, bury the damaged ones, and note in `blobs` how each lay."""
        items = []
        for entry in entries:
            for field, blob in entry.fields:
                if field in self._dead:
                    continue
                try:
                    item = read_item(field, blob)
                except ValueError as error:
                    await self._bury(field, blob, f"{type(error).__name__}: {error}")
                    continue
                items.append(item)
                blobs[item.document["_id"]] = (field, blob)
        return items

    def _passed(self, entries: list[StreamEntry]) -> list[Item]:
        """The buried items of these entries as far as they can be read: the marks pass them."""
        passed = []
        for entry in entries:
            for field, blob in entry.fields:
                if field in self._dead:
                    with contextlib.suppress(ValueError, UnknownSchemaError):
                        passed.append(read_item(field, blob))
        return passed

    async def _bury(self, field: bytes, blob: bytes, reason: str) -> None:
        await self._repo.bury(field, blob, reason, self._clock.now())
        self._attempts.pop(field, None)
        self._dead.add(field)
        metrics.DEAD_LETTERS.inc()
        log.error("dead letter %s: %s", field.decode("utf-8", "replace"), reason)
        self._alarm(f"A play record could not be stored: {reason}")
