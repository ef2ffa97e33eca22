"""Taking up a session where its messages left it: the scoring state made again, off the loop.

Scoring is a pure function of the messages, so what is rebuilt is what an uninterrupted session
would be, to the last bit. Finished sets are read from their records; only the open set is scored
again, from its newest snapshot or from its start.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack

from models.errors import AppError, ErrorCode
from models.play.history import History
from sessions.catalogue import Catalogue
from sessions.frames import FrameMessage, decode
from sessions.record import code_version
from sessions.scoring.batch import Batch
from sessions.scoring.marks import Rep
from sessions.scoring.plan import SetPlan
from sessions.scoring.snapshot import SnapshotError
from sessions.sets import plan_of, start_answer

_pack: Callable[[Any], bytes] = msgpack.Packer().pack


@dataclass(slots=True)
class OpenNow:
    """The set that is open: how it began, what was told of it, its scoring state."""

    start: dict[str, Any]
    context: dict[str, Any]
    reps: list[dict[str, Any]]
    saved: bytes


@dataclass(slots=True)
class Rebuilt:
    """A session as its messages up to `last` left it."""

    last: int
    records: list[dict[str, Any]] = field(default_factory=list)
    last_set_no: int = 0
    paused: bool = False
    open: OpenNow | None = None
    answers: dict[int, dict[str, Any] | AppError] = field(default_factory=dict)


@dataclass(slots=True)
class Story:
    """What the events of a history tell, before any frame is scored."""

    rebuilt: Rebuilt
    start: dict[str, Any] | None = None
    """The stored `set:start` of the open set."""
    pauses: list[tuple[int, bool]] = field(default_factory=list)
    """Numbers at which pausing changed since the open set began, the state at its start first."""

    @property
    def first(self) -> int:
        """The number from which frames matter."""
        return self.rebuilt.last + 1 if self.start is None else self.start["seq"] + 1


def read_story(history: History, last: int) -> Story:
    """Follow the events of a session up to message `last`."""
    story = Story(Rebuilt(last))
    rebuilt = story.rebuilt
    for seq in sorted(seq for seq in history.events if seq <= last):
        event = history.events[seq]
        rebuilt.answers[seq] = _answer(history, event)
        if "code" in event:
            continue
        name, payload = event["event"], event["payload"]
        if name == "set:start":
            story.start = event
            story.pauses = [(seq, rebuilt.paused)]
            rebuilt.last_set_no = payload["set_no"]
        elif name == "set:end":
            story.start = None
            rebuilt.records.append(_bare(history.records[payload["set_no"]]))
        elif name == "session:pause":
            rebuilt.paused = payload["paused"]
            story.pauses.append((seq, rebuilt.paused))
    return story


def _answer(history: History, event: Mapping[str, Any]) -> dict[str, Any] | AppError:
    if "code" in event:
        return AppError(ErrorCode(event["code"]), f"{event['event']} was refused before.")
    if event["event"] == "set:start":
        return start_answer(event["payload"], event["context"])
    if event["event"] == "set:end":
        return {"record": _bare(history.records[event["payload"]["set_no"]])}
    return {}


def _bare(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in ("_id", "at")}


@dataclass(slots=True)
class Job:
    """One session to rebuild: its story, its frames from `story.first` on, a snapshot."""

    space: Any
    fps: float
    story: Story
    frames: list[tuple[int, bytes]]
    snapshot: bytes | None = None


def rebuild_all(catalogue: Catalogue, jobs: Sequence[Job]) -> list[Rebuilt]:
    """Rebuild several sessions side by side, in one batch."""
    batch = Batch()
    running: list[tuple[Job, SetPlan, int, list[dict[str, Any]], list[FrameMessage]]] = []
    for job in jobs:
        start = job.story.start
        if start is None:
            continue
        plan = plan_of(catalogue, start["payload"], start["context"], job.space, job.fps)
        slot, reps, after = _begin(batch, plan, job, start)
        running.append((job, plan, slot, reps, _scored(job, after)))
    told = {slot: (reps, job) for job, _, slot, reps, _ in running}
    for n in range(max((len(messages) for *_, messages in running), default=0)):
        work = [(slot, messages[n]) for _, _, slot, _, messages in running if n < len(messages)]
        for mark in batch.step(work):
            if isinstance(mark, Rep):
                told[mark.slot][0].append(mark.values)
    for job, _, slot, reps, _ in running:
        begun = job.story.start or {}
        set_no = begun["payload"]["set_no"]
        job.story.rebuilt.open = OpenNow(
            begun["payload"],
            begun["context"],
            [{"set_no": set_no, **rep} for rep in reps],
            batch.save(slot),
        )
    return [job.story.rebuilt for job in jobs]


def _begin(
    batch: Batch, plan: SetPlan, job: Job, start: Mapping[str, Any]
) -> tuple[int, list[dict[str, Any]], int]:
    """Open the set from its snapshot if there is a fitting one; return the number it stands at."""
    if job.snapshot is not None:
        kept = msgpack.unpackb(job.snapshot)
        if (
            kept["code"] == dict(code_version())
            and kept["set_no"] == start["payload"]["set_no"]
            and kept["seq"] <= job.story.rebuilt.last
        ):
            try:
                slot = batch.load(plan, kept["saved"])
                return slot, batch.reps(slot), kept["seq"]
            except SnapshotError:
                pass  # from its start, then
    return batch.open(plan), [], start["seq"]


def _scored(job: Job, after: int) -> list[FrameMessage]:
    """Return the frame messages after number `after` that came while the set was not paused."""
    messages = []
    for seq, payload in job.frames:
        paused = [state for at, state in job.story.pauses if at < seq]
        if after < seq <= job.story.rebuilt.last and not (paused and paused[-1]):
            messages.append(decode(payload, job.space))
    return messages


def pack_snapshot(seq: int, set_no: int, saved: bytes) -> bytes:
    """Return what `rebuild_all` can start from: the set's state after message `seq`."""
    return _pack({"code": dict(code_version()), "seq": seq, "set_no": set_no, "saved": saved})


class Rebuilder:
    """Rebuilds what is asked for at about the same time together, in a thread."""

    def __init__(self, catalogue: Catalogue, gather_seconds: float = 0.01) -> None:
        self._catalogue = catalogue
        self._gather = gather_seconds
        self._waiting: list[tuple[Job, asyncio.Future[Rebuilt]]] = []
        self._running: asyncio.Task[None] | None = None

    async def rebuild(self, job: Job) -> Rebuilt:
        """Return the session as its messages left it.

        Raises:
            AppError: `not_found`: the catalogue no longer holds what the set is played with.
        """
        future: asyncio.Future[Rebuilt] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._gather)
            taken, self._waiting = self._waiting, []
            await self._rebuild(taken)

    async def _rebuild(self, taken: list[tuple[Job, "asyncio.Future[Rebuilt]"]]) -> None:
        try:
            done = await asyncio.to_thread(rebuild_all, self._catalogue, [job for job, _ in taken])
        except Exception as error:
            if len(taken) > 1:  # one of them spoils it: each alone, then
                for pair in taken:
                    await self._rebuild([pair])
                return
            if not taken[0][1].done():
                taken[0][1].set_exception(error)
            return
        for (_, future), rebuilt in zip(taken, done, strict=True):
            if not future.done():
                future.set_result(rebuilt)

    async def close(self) -> None:
        """Wait for what is under way."""
        if self._running is not None:
            await asyncio.wait([self._running])
