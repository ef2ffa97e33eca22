"""A crowd of simulated children and watchers against a running server, and what it measured."""

import asyncio
import contextlib
import functools
import time
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from config.clock import Clock
from models.accounts.records import Role
from models.accounts.tokens import mint
from models.children.records import alias_of
from server.simulation.board import Row, Totals
from server.simulation.child import Casting, Child, Stage
from server.simulation.latency import Latencies
from server.simulation.ledger import Ledger
from server.simulation.line import LineLostError, RefusedError
from server.simulation.link import Token
from server.simulation.outbox import Tally
from server.simulation.performance import Manner, cast
from server.simulation.reptimes import Take, rep_latencies
from server.simulation.watcher import Sightings, Views, Watcher

TOKEN_S = 30 * 86_400
"""Life of the tokens minted here: longer than anybody lets a demonstration run."""
STAGGER_S = 1.0
"""The children start evenly spread over this time."""
KNOCK = aiohttp.ClientTimeout(total=5.0)
"""How long the server may take to show that it is there."""
RETRY_S = 2.0
"""A child whose session failed begins a new one after this."""


@dataclass(frozen=True, slots=True)
class Kid:
    """A child that is there already, and the token it connects by."""

    child_id: str
    token: Token


@dataclass(frozen=True, slots=True)
class Script:
    """What a crowd is asked to do."""

    url: str
    key: Path | None
    """PEM file of the development key that mints every account's token, unless there are `kids`."""
    children: int
    seconds: float | None
    """How long repetitions are begun; None plays until `Crowd.stop`."""
    seed: int
    manner: Manner
    watchers: int = 0
    watch_all: bool = False
    """Every watcher watches every session; otherwise watcher w has child w mod N."""
    time_reps: bool = True
    patience_s: float = 30.0
    """How long a lost connection is sought again; 0 counts every loss as an error."""
    parser: str = "default"
    """Of everybody's packets; one of `line.PARSERS`."""
    kids: tuple[Kid, ...] = ()
    """These play, as many as `children`."""
    viewer: Token | None = None
    """By which watchers connect, where there are `kids`."""


class Crowd:
    """Plays a script. `run` returns when everybody has left."""

    def __init__(self, script: Script, clock: Clock, ledger: Ledger | None = None) -> None:
        """Prepare a crowd; `ledger` is told of every message sent and acknowledged."""
        self.rows = [Row(alias="") for _ in range(script.children)]
        self.tally = Tally()
        self.views = Views()
        self.sessions: list[str] = []
        """Ids of all sessions opened, in order."""
        self.errors = 0
        self.faults: deque[str] = deque(maxlen=20)
        """The last errors in words."""
        self._script = script
        self._clock = clock
        self._ledger = ledger
        self._stop = asyncio.Event()
        self._children: list[Child] = []
        self._players: dict[str, int] = {}
        self._leaving = False
        self._watchers: list[Watcher] = []
        self._takes: list[Take] | None = [] if script.time_reps else None
        self._began = clock.monotonic()

    def stop(self) -> None:
        """Let every child finish the repetition at hand, close its session and leave."""
        self._stop.set()

    async def run(self) -> None:
        """Play until the script is over or `stop` was called.

        Raises:
            RefusedError, LineLostError: nobody answers, or not even a watcher is let in.
        """
        async with self._resources() as stage:
            await self._knock(stage.http)
            await self._gather_children(stage)
            await self._seat_watchers(stage)
            try:
                await self._play(stage)
            finally:
                self._leaving = True
                for watcher in self._watchers:
                    await watcher.disconnect()

    async def _knock(self, http: aiohttp.ClientSession) -> None:
        """See whether there is a server at all, before every child finds out for itself."""
        try:
            async with http.get(f"{self._script.url}/live", timeout=KNOCK) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError) as failure:
            raise LineLostError(f"nobody answers at {self._script.url}") from failure

    async def _gather_children(self, stage: Stage) -> None:
        """Cast every child and let it rehearse its first set."""
        for n, row in enumerate(self.rows):
            child = Child(n, self._cast(n), stage, row)
            self._children.append(child)
            await child.prepare(self._script.seconds)

    async def _play(self, stage: Stage) -> None:
        script = self._script
        self._began = self._clock.monotonic()
        if script.seconds is not None:
            stage.ends_at = self._began + script.seconds
        async with asyncio.TaskGroup() as watching:
            for watcher in self._watchers:
                watching.create_task(self._keep_watching(watcher))
            try:
                async with asyncio.TaskGroup() as playing:
                    for n, child in enumerate(self._children):
                        delay = STAGGER_S * n / script.children
                        playing.create_task(self._keep_playing(child, delay, stage))
            finally:
                self._leaving = True
                for watcher in self._watchers:
                    watcher.live.put_nowait(None)

    @property
    def playing(self) -> list[str]:
        """Ids of the sessions being played now."""
        return [child.session_id for child in self._children if child.session_id is not None]

    def totals(self) -> Totals:
        """Return what stands at the top of the live table."""
        return Totals(
            sessions=sum(child.playing for child in self._children),
            seconds=self._clock.monotonic() - self._began,
            sent=self.tally.sent,
            buffered=self.tally.buffered,
            stored=self.tally.stored,
            reps_true=sum(row.reps_true for row in self.rows),
            reps_scored=sum(row.reps_scored for row in self.rows),
            errors=self.errors,
            grade=self._grade_mean(),
            frames_ack=self.tally.frames_ack,
            ack=self.tally.events_ack,
            feed=self.views.latency,
        )

    def report(self) -> dict[str, Any]:
        """Return what was measured, once `run` has returned."""
        tally, views = self.tally, self.views
        reps = rep_latencies(self._takes) if self._takes else Latencies()
        return {
            "children": self._script.children,
            "sessions": len(self.sessions),
            "sent": tally.sent,
            "buffered": tally.buffered,
            "stored": tally.stored,
            "frames": tally.frames,
            "reps_true": sum(child.reps_true for child in self._children),
            "reps_scored": sum(child.reps_scored for child in self._children),
            "ack_p50_ms": tally.events_ack.percentile_ms(0.5),
            "ack_p99_ms": tally.events_ack.percentile_ms(0.99),
            "frames_ack_p50_ms": tally.frames_ack.percentile_ms(0.5),
            "frames_ack_p99_ms": tally.frames_ack.percentile_ms(0.99),
            "stored_p50_ms": tally.stored_ack.percentile_ms(0.5),
            "stored_p99_ms": tally.stored_ack.percentile_ms(0.99),
            "rep_p99_ms": reps.percentile_ms(0.99),
            "feed_p50_ms": views.latency.percentile_ms(0.5),
            "feed_p99_ms": views.latency.percentile_ms(0.99),
            "feeds": views.feeds,
            "feed_missed": views.missed,
            "feed_disordered": views.disordered,
            "feed_altered": views.altered,
            "resumes": tally.resumes,
            "resent": tally.resent,
            "refused": tally.refused,
            "gaps": tally.gaps,
            "errors": self.errors,
            "grade_mean": self._grade_mean(),
        }

    def _grade_mean(self) -> float | None:
        grades = [grade for child in self._children for grade in child.grades]
        return round(sum(grades) / len(grades), 1) if grades else None

    @contextlib.asynccontextmanager
    async def _resources(self) -> AsyncIterator[Stage]:
        script = self._script
        with ThreadPoolExecutor(1, "rehearsal") as executor:
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as http:
                stage = Stage(
                    url=script.url,
                    manner=script.manner,
                    clock=self._clock,
                    tally=self.tally,
                    stop=self._stop,
                    executor=executor,
                    http=http,
                    ledger=self._ledger,
                    sightings=Sightings() if script.watchers else None,
                    opened=self._opened,
                    takes=self._takes,
                    patience_s=script.patience_s,
                    parser=script.parser,
                )
                yield stage

    def _cast(self, n: int) -> Casting:
        # Ids are of this run alone: a child has one session, and runs may overlap.
        if self._script.kids:
            kid = self._script.kids[n]
        else:
            child_id = f"sim-{time.time_ns() // 1_000_000:x}-{n}"
            kid = Kid(child_id, self._mint(f"guardian-{child_id}", Role.GUARDIAN, child_id))
        self.rows[n].alias = alias_of(kid.child_id)
        seed = self._script.seed * 100_003 + n
        return Casting(kid.child_id, kid.token, cast(self._script.manner, seed), seed)

    def _mint(self, sub: str, role: Role, child_id: str) -> str:
        if self._script.key is None:
            raise ValueError("a script has a key, or kids and a viewer")
        return mint(
            self._script.key,
            sub=sub,
            roles=[role],
            children=[child_id],
            ttl_s=TOKEN_S,
            clock=self._clock,
        )

    async def _keep_playing(self, child: Child, delay: float, stage: Stage) -> None:
        """Play; after a failure count it and begin anew, as a child would."""
        await asyncio.sleep(delay)
        while True:
            try:
                await child.play()
            except (RefusedError, LineLostError) as failure:
                self._fault(f"{child.row.alias}: {failure}")
                child.row.state = "failed"
            else:
                return
            try:
                async with asyncio.timeout(RETRY_S):
                    await stage.stop.wait()
            except TimeoutError:
                continue

    async def _seat_watchers(self, stage: Stage) -> None:
        if stage.sightings is None:
            return
        for n in range(self._script.watchers):
            viewer = self._script.viewer
            token = viewer or self._mint(f"therapist-{n}", Role.THERAPIST, "*")
            watcher = Watcher(
                self._script.url,
                token,
                clock=self._clock,
                sightings=stage.sightings,
                views=self.views,
                http=stage.http,
                patience_s=self._script.patience_s,
                parser=self._script.parser,
                ended=functools.partial(self._watcher_left, n),
            )
            self._watchers.append(watcher)
            await watcher.connect()

    def _watcher_left(self, place: int, why: str) -> None:
        if not self._leaving:
            self._fault(f"watcher {place}: {why}")

    async def _keep_watching(self, watcher: Watcher) -> None:
        """Join the sessions this watcher is for, as the server tells that they are live."""
        place = self._watchers.index(watcher)
        try:
            await watcher.list_live()
            while (session_id := await watcher.live.get()) is not None:
                if self._is_for(place, session_id) and session_id not in watcher.joined:
                    await self._join(watcher, session_id)
        except (RefusedError, LineLostError) as failure:
            self._fault(f"watcher {place}: {failure}")

    def _is_for(self, place: int, session_id: str) -> bool:
        child = self._players.get(session_id)
        if child is None:
            return False  # somebody else's, on the same server
        return self._script.watch_all or place % self._script.children == child

    async def _join(self, watcher: Watcher, session_id: str) -> None:
        try:
            await watcher.join(session_id)
        except RefusedError:
            child = self._children[self._players[session_id]]
            if child.session_id != session_id:
                return  # it is over
            if not child.away:
                raise  # it is being played: it has to be there
            watcher.rejoin(session_id)

    def _opened(self, session_id: str, n: int) -> None:
        self.sessions.append(session_id)
        self._players[session_id] = n

    def _fault(self, words: str) -> None:
        self.errors += 1
        self.faults.append(words)
