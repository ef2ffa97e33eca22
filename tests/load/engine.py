"""What the live engine costs a frame: run by `scripts/bench engine [--sessions N --json]`.

The real engine and appender play sessions of simulated motion against a real Valkey, everything
but the sockets: who is told only counts. Time is virtual: ticks and messages follow their
schedule, 30 messages a second of one frame each with the sessions' phases spread evenly, but as
fast as they are done. Figures are CPU time of this thread.
"""

import argparse
import gc
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from statistics import median
from typing import Any, cast

import msgpack
import numpy as np
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from config import metrics
from config.settings import load_settings
from models.bus import Bus
from models.errors import AppError
from models.play.buffer import PlayBuffer
from models.play.keys import PlayKeys
from models.play.ownership import Ownership
from models.play.records import session_item
from models.redis import connect_redis
from models.therapy.rules import Therapy
from server.embedded import embedded
from server.loop import run_loop
from sessions.appender import Appender
from sessions.catalogue import catalogue
from sessions.engine import Engine
from sessions.feed import FeedHub, FeedItem, Joined
from sessions.opened import opened_of
from sessions.session import Session
from sessions.synthetic import ChildParameters, play_set
from sessions.terms import Message

SIZES = (10, 100, 1000)
MESSAGES_S = 30
WATCHED = 5
"""One session in so many is watched."""
CHILDREN = 24
STEPS = ("offer", "tick", "append", "marks", "snapshots")
STAGES = ("decode", "score", "tell", "feed", "control", "append", "ack", "snapshot")


class _Clock:
    """Virtual time, moved by the schedule."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def time_us(self) -> int:
        return int(self.at * 1e6)

    def monotonic(self) -> float:
        return self.at


class _Ear:
    """A player and a watcher of every session; counts what it is told."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()

    def send(self, event: str, *_: object) -> None:
        self.told[event] += 1

    def tell(self, event: str, _: bytes) -> None:
        self.told[event] += 1

    def end(self, event: str, error: AppError) -> None:
        raise AssertionError(f"{event}: {error}")

    def feed(self, _: FeedItem) -> None:
        self.told["feed"] += 1

    def snapshot(self, _: Joined) -> None:
        self.told["snapshot"] += 1

    def ended(self, _: str, result: dict[str, Any]) -> None:
        raise AssertionError(f"ended: {result}")


class _Bus:
    """Hands what is published straight to who listens."""

    def __init__(self) -> None:
        self.ears: dict[str, Callable[[bytes], None]] = {}

    async def subscribe(self, channel: str, ear: Callable[[bytes], None]) -> None:
        self.ears[channel] = ear


def _stages() -> dict[str, float]:
    """Return the seconds of each stage so far, as the server's metrics tell them."""
    name = "gemgem_stage_seconds_total"
    return {
        stage: metrics.REGISTRY.get_sample_value(name, {"stage": stage}) or 0.0 for stage in STAGES
    }


def motion_of(seconds: float) -> list[list[bytes]]:
    """Return the messages of some children who play `fist`, one frame each, 30 a second."""
    fist = catalogue().motion("fist")
    assert fist is not None
    made = []
    for seed in range(CHILDREN):
        child = ChildParameters(side="right", landmark_noise_mm=0.5)
        one = play_set(child, fist.definition, seconds=seconds + 8.0, seed=seed)
        made.append([message.payload for message in one.messages(1)])
    return made


class Play:
    """Some sessions in the middle of a set, driven tick by tick."""

    def __init__(self, redis: Redis, prefix: str, sessions: int) -> None:
        live, store = load_settings().live, load_settings().store
        self.clock = _Clock()
        self.ear = _Ear()
        self.keys = PlayKeys(prefix, store.shards)
        self._bus = _Bus()
        self._redis = redis
        self._limits = live
        self.hub = FeedHub()
        self.engine = Engine(
            catalogue=catalogue(), hub=self.hub, clock=self.clock, limits=live, keys=self.keys
        )
        ttl = store.session_ttl_seconds
        self.ownership = Ownership(redis, self.keys, ttl, self.clock)
        self.appender = Appender(
            engine=self.engine,
            buffer=PlayBuffer(redis, self.keys, ttl, self.clock),
            ownership=self.ownership,
            bus=cast("Bus", self._bus),
            keys=self.keys,
            clock=self.clock,
        )
        self.sessions = sessions
        self.playing: list[Session] = []
        self._seqs: dict[Session, int] = {}
        """The number of each session's next message."""
        self.spent = dict.fromkeys(STEPS, 0.0)
        self.ticks: list[float] = []
        self.stages: dict[str, float] = {}
        self.frames = 0

    async def open(self) -> None:
        """Open the sessions and start their sets."""
        await self.appender.start()
        for n in range(self.sessions):
            document = {
                "_id": f"s_{n:020d}", "child_id": f"child-{n}", "opened_by": "bench",
                "kind": "free", "schedule_id": None, "space": "world", "fps": 30.0, "opened_us": 0,
            }  # fmt: skip
            opened = opened_of(document, Therapy(), "")
            item = session_item(opened.session_id, document)
            token = await self.ownership.open(opened.session_id, opened.child_id, item)
            assert token is not None
            session = Session(opened, self._limits, token)
            session.player = self.ear
            self.engine.add(session)
            self.playing.append(session)
            self._seqs[session] = 1
            start = {"set_no": 1, "motion": "fist", "side": "right", "asked_reps": 20}
            start |= {"asked_hold_s": None, "guide_t0_us": 300_000, "difficulty": None}
            session.offer(Message(0, "set:start", start), 256, None, 0.0)
            if n % WATCHED == 0:
                self.engine.watch(session.id, self.ear)
        self.engine.tick()
        await self.appender.append_due()

    async def run(self, made: list[list[bytes]], seconds: float, warm: float = 2.0) -> None:
        """Play; the first `warm` seconds are not counted."""
        period = self._limits.tick_ms / 1000
        ticks = round((warm + seconds) / period)
        due = [n / self.sessions / MESSAGES_S for n in range(self.sessions)]
        at = [(n // CHILDREN) * 7 % 180 for n in range(self.sessions)]
        stored_at = 0.25
        begun = _stages()
        for tick in range(ticks):
            if tick == round(warm / period):
                self.spent = dict.fromkeys(STEPS, 0.0)
                self.ticks.clear()
                self.ear.told.clear()
                self.frames = 0
                begun = _stages()
            until = (tick + 1) * period
            batch = []
            for n, when in enumerate(due):
                if when < until:
                    due[n] += 1 / MESSAGES_S
                    batch.append((self.playing[n], made[n % CHILDREN][at[n]]))
                    at[n] += 1
            self.clock.at += period
            self._offer(batch)
            self._timed("tick", self.engine.tick)
            await self._awaited("append", self.appender.append_due)
            if tick % 3 == 0:  # every 50 ms or so
                await self._awaited("snapshots", self.appender.keep_snapshots)
            if tick * period >= stored_at:
                stored_at += 0.25
                await self._store()
        self.stages = {name: spent - begun[name] for name, spent in _stages().items()}

    def _offer(self, batch: list[tuple[Session, bytes]]) -> None:
        if not batch:
            return
        # As the sockets of many are read: numbers and messages lie in arrays.
        berths = np.array([session.berth() for session, _ in batch])
        seqs = np.array([self._seqs[session] for session, _ in batch])
        self._seqs.update({session: seq + 1 for (session, _), seq in zip(batch, seqs, strict=True)})
        joined = np.frombuffer(b"".join([payload for _, payload in batch]), np.uint8)
        parts = joined.reshape(len(batch), -1)
        begin = time.thread_time()
        taken = self.engine.take_frames(berths[:, 0], berths[:, 1], seqs, parts)
        for n in np.flatnonzero(~taken).tolist():
            batch[n][0].offer_frames(int(seqs[n]), batch[n][1])
        self.spent["offer"] += time.thread_time() - begin
        self.frames += len(batch)

    async def _store(self) -> None:
        """Say that everything buffered is stored, as the flusher does; the streams are emptied."""
        marks: dict[int, dict[str, int]] = {}
        for session in self.playing:
            shard = marks.setdefault(self.keys.shard_of(session.id), {})
            shard[session.id] = session.buffered
        for shard, said in marks.items():
            ear = self._bus.ears[self.keys.stored(shard)]
            raw = msgpack.packb(said)
            self._timed("marks", lambda ear=ear, raw=raw: ear(raw))
            await self._redis.delete(self.keys.stream(shard))

    def _timed(self, stage: str, step: Callable[[], object]) -> None:
        begin = time.thread_time()
        step()
        spent = time.thread_time() - begin
        self.spent[stage] += spent
        if stage == "tick":
            self.ticks.append(spent)

    async def _awaited(self, stage: str, step: Callable[[], Awaitable[None]]) -> None:
        begin = time.thread_time()
        await step()
        self.spent[stage] += time.thread_time() - begin

    def told(self) -> dict[str, Any]:
        """Return microseconds a frame by stage, and what the ticks took."""
        us = {stage: 1e6 * spent / self.frames for stage, spent in self.spent.items()}
        milli = 1e3 * np.array(self.ticks)
        return {
            "us_per_frame": {**us, "all": sum(us.values())},
            "stages_us": {name: 1e6 * spent / self.frames for name, spent in self.stages.items()},
            "tick_ms": {
                "median": float(median(milli)),
                "p99": float(np.percentile(milli, 99)),
                "max": float(milli.max()),
            },
            "told": dict(self.ear.told),
            "frames": self.frames,
        }


@asynccontextmanager
async def _redis() -> Any:
    async with embedded(mongo_url="none is started") as servers:
        redis = connect_redis(servers.redis_url, 3.0, cluster=False)
        try:
            yield redis
        finally:
            await redis.aclose()


async def measured(sizes: tuple[int, ...] = SIZES, seconds: float = 6.0) -> dict[str, Any]:
    """Everything the command tells, by number of sessions."""
    made = motion_of(seconds + 10.0)
    found: dict[str, Any] = {}
    async with _redis() as redis:
        for size in sizes:
            play = Play(redis, f"bench{size}", size)
            await play.open()
            gc.collect()
            await play.run(made, seconds)
            found[str(size)] = play.told()
    return found


def show(found: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console()
    for title, key in (
        ("engine: CPU microseconds a frame", "us_per_frame"),
        ("of these by stage of the server's own metrics, wall time", "stages_us"),
        ("ticks, milliseconds of CPU", "tick_ms"),
    ):
        table = Table(title=title)
        for name in ("sessions", *next(iter(found.values()))[key]):
            table.add_column(name, justify="right")
        for size, one in found.items():
            table.add_row(size, *(f"{value:.2f}" for value in one[key].values()))
        console.print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench engine", description=__doc__)
    parser.add_argument("--sessions", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--seconds", type=float, default=6.0, help="of play at each level")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    args = parser.parse_args()
    found = run_loop(measured(tuple(args.sessions), args.seconds))
    if args.json:
        print(json.dumps(found))
    else:
        show(found)


if __name__ == "__main__":
    main()
