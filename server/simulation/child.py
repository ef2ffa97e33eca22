"""One simulated child: opens sessions, plays sets in real time, rests, closes, begins anew."""

import asyncio
import random
import uuid
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import aiohttp

from config.clock import Clock
from server.simulation.board import Row
from server.simulation.ledger import Ledger, Played
from server.simulation.link import Token
from server.simulation.outbox import Tally
from server.simulation.performance import Manner, Performance, rehearse
from server.simulation.player import Player
from server.simulation.reptimes import KEPT_SETS, Take
from server.simulation.watcher import Sightings
from sessions.synthetic import ChildParameters

SETS_A_SESSION = 6
REST_S = (0.8, 2.0)
"""Pause between two sets, seconds: at least, at most."""
LEAD_S = 0.2
"""From asking for a set to its first picture, seconds: time for the answer to come."""
APP_VERSION = "simulate-1"


@dataclass(frozen=True, slots=True)
class Casting:
    """Who a child is, and how it reaches the server."""

    child_id: str
    token: Token
    parameters: ChildParameters
    seed: int


@dataclass(slots=True)
class Stage:
    """What the children of one run share."""

    url: str
    manner: Manner
    clock: Clock
    tally: Tally
    stop: asyncio.Event
    """Set: everybody finishes the repetition at hand, closes and leaves."""
    executor: Executor
    """Where sets are rehearsed, off the loop."""
    http: aiohttp.ClientSession
    ledger: Ledger | None
    sightings: Sightings | None
    opened: Callable[[str, int], None]
    """Called with each session opened and its child's number."""
    takes: list[Take] | None
    """Where sets are kept to time their reps; None keeps none."""
    patience_s: float = 30.0
    parser: str = "default"
    """How long a lost connection is sought again."""
    ends_at: float | None = None
    """Monotonic seconds after which no repetition is begun; None plays for ever."""


class Child:
    """Plays sets until the run ends. Its `row` shows how it is doing."""

    def __init__(self, number: int, casting: Casting, stage: Stage, row: Row) -> None:
        self.row = row
        self.playing = False
        self.session_id: str | None = None
        """The session being played."""
        self.reps_true = 0
        self.reps_scored = 0
        self.grades: list[float] = []
        self._number = number
        self._casting = casting
        self._stage = stage
        self._random = random.Random(casting.seed)  # noqa: S311 - a simulation, not a secret
        # Every device counts its own microseconds from its own start.
        self._device_epoch_us = self._random.randrange(3_600_000_000)
        self._sets = 0
        self._done = False
        self._next: Performance | None = None
        self._pictures = 0
        self._take: Take | None = None
        self._reps: dict[str, int] = {}
        self._player: Player | None = None
        self._noted_us = -1

    @property
    def away(self) -> bool:
        """Whether the child's session has moved, or is on its way from server to server."""
        return self._player is None or self._player.link.lines > 1 or not self._player.link.up

    async def prepare(self, left_s: float | None) -> None:
        """Make the first set before the run begins, so that the start costs nobody time."""
        self._next = await self._rehearse(left_s)

    async def play(self) -> None:
        """Play until the run ends.

        Raises:
            RefusedError, LineLostError: something went wrong that may not go wrong here.
        """
        while not self._over():
            player = Player(
                self._stage.url,
                self._casting.token,
                clock=self._stage.clock,
                tally=self._stage.tally,
                ledger=self._stage.ledger,
                observer=self._observe,
                transmitted=self._transmitted,
                ack_latency=self.row.ack,
                http=self._stage.http,
                patience_s=self._stage.patience_s,
                parser=self._stage.parser,
            )
            self._player = player
            try:
                self.playing = True
                await self._sit(player)
            finally:
                self.playing = False
                self.session_id = None
                await player.disconnect()
            await self._rest()
        self.row.state = "done"

    async def _sit(self, player: Player) -> None:
        """Play one session from its opening to its result."""
        stage = self._stage
        await player.connect(stage.patience_s)
        await player.open_session(
            child_id=self._casting.child_id,
            kind="therapy",
            space=stage.manner.space,
            fps=stage.manner.fps,
            app_version=APP_VERSION,
            tz="Asia/Seoul",
            client_key=str(uuid.uuid4()),
        )
        self.session_id = player.session_id
        stage.opened(player.session_id, self._number)
        for set_no in range(1, SETS_A_SESSION + 1):
            if set_no > 1:
                await self._rest()
            performance = None if self._over() else await self._next_set()
            if performance is None:
                break
            await self._play_set(player, set_no, performance)
        self.row.state = "closing"
        await player.close_session(reason="finished", pain=0, effort=self._random.randint(2, 6))
        if stage.sightings is not None:
            stage.sightings.forget(player.session_id)

    async def _next_set(self) -> Performance | None:
        """Return the next set to play; None when no further one fits into the run."""
        performance, self._next = self._next, None
        if performance is None:
            ends_at = self._stage.ends_at
            left_s = None if ends_at is None else ends_at - self._stage.clock.monotonic()
            performance = await self._rehearse(left_s)
        self._done = performance is None
        return performance

    async def _rehearse(self, left_s: float | None) -> Performance | None:
        stage = self._stage
        performance = await asyncio.get_running_loop().run_in_executor(
            stage.executor,
            rehearse,
            self._casting.parameters,
            stage.manner,
            self._casting.seed,
            self._sets,
            left_s,
        )
        self._sets += 1
        return performance

    async def _play_set(self, player: Player, set_no: int, performance: Performance) -> None:
        stage, row = self._stage, self.row
        row.side, row.motion, row.state = performance.side, performance.motion, "playing"
        row.signal.clear()
        self._reps = {}
        begins = stage.clock.monotonic() + LEAD_S
        t0_us = self._device_epoch_us + round(begins * 1e6)
        started = await player.start_set(
            set_no=set_no,
            motion=performance.motion,
            side=performance.side,
            asked_reps=performance.asked_reps,
            asked_hold_s=performance.asked_hold_s,
            guide_t0_us=t0_us + performance.lead_us,
        )
        if stage.takes is not None and len(stage.takes) < KEPT_SETS:
            self._take = Take(performance.plan(t0_us, started))
            stage.takes.append(self._take)
        reps_before = row.reps_true, row.reps_scored
        reps_true = await self._perform(player, performance, begins, t0_us)
        record = await player.end_set(set_no)
        self._take = None
        reps_scored = record["metrics"]["reps_full"] + record["metrics"]["reps_partial"]
        self.reps_true += reps_true
        self.reps_scored += reps_scored
        row.reps_true = reps_before[0] + reps_true
        row.reps_scored = reps_before[1] + reps_scored
        row.grade, row.stars = record["grade"], record["stars"]
        if record["grade"] is not None:
            self.grades.append(record["grade"])
        if stage.ledger is not None:
            stage.ledger.played(
                player.session_id,
                Played(
                    set_no=set_no,
                    motion=performance.motion,
                    side=performance.side,
                    reps_true=reps_true,
                    reps=self._reps,
                    record=record,
                ),
            )

    async def _perform(
        self, player: Player, performance: Performance, begins: float, t0_us: int
    ) -> int:
        """Send the set's messages, each when its last picture is taken; return the true reps.

        When everybody is asked to leave, the set ends after the repetition at hand.
        """
        stage, row = self._stage, self.row
        reps_before, done, ends_s = row.reps_true, 0, None
        rep_ends_s = performance.rep_ends_s
        for shot in performance.shots(t0_us, self._pictures):
            while done < len(rep_ends_s) and rep_ends_s[done] <= shot.s:
                done += 1
                row.reps_true = reps_before + done
            if ends_s is None and stage.stop.is_set():
                ends_s = performance.cut_after(shot.s)
            if ends_s is not None and shot.s > ends_s:
                break
            wait = begins + shot.s - stage.clock.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            await player.send_frames(shot.payload)
            row.frames += shot.frames
            self._pictures += shot.frames
        return done

    def _transmitted(self, payload: bytes, at: float) -> None:
        """Note what is handed to the socket, so that who sees it can tell how long it took."""
        if self._stage.sightings is not None and self._player is not None:
            self._stage.sightings.note(self._player.session_id, payload, at)
        t0_us = int.from_bytes(payload[8:16], "little")
        if self._take is not None and t0_us > self._noted_us:  # a repetition is no new picture
            self._noted_us = t0_us
            self._take.note(payload, at)

    async def _rest(self) -> None:
        """Rest between two sets, unless the run ends meanwhile."""
        self.row.state = "resting"
        try:
            async with asyncio.timeout(self._random.uniform(*REST_S)):
                await self._stage.stop.wait()
        except TimeoutError:
            return

    def _over(self) -> bool:
        stage = self._stage
        if self._done or stage.stop.is_set():
            return True
        return stage.ends_at is not None and stage.clock.monotonic() >= stage.ends_at

    def _observe(self, event: str, content: dict[str, Any]) -> None:
        if event == "score":
            if content["z"] is not None:
                self.row.signal.append(content["z"])
        elif event == "rep":
            kind = content["class"]
            self._reps[kind] = self._reps.get(kind, 0) + 1
            self.row.reps_scored += kind in ("full", "partial")
            if self._take is not None:
                self._take.told_at[content["rep_no"]] = self._stage.clock.monotonic()
