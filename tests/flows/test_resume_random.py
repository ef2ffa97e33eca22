"""Any order of opening, dropping, resuming, taking over and closing keeps every message."""

import random
from contextlib import AsyncExitStack
from typing import Any

import pytest

from config.settings import Settings
from models.play.repo import PlayRepo
from sessions.catalogue import catalogue
from sessions.rescore import rescore_session
from tests.flows.client import Client, connected
from tests.flows.test_play import fist, start_of
from tests.serving import Served, serving

PLAYED = fist(2, seed=11)
SENT = [m.payload for m in PLAYED.messages(3)]
LAST = len(SENT) + 2
"""Number of the closing message: the start is 0, the frames 1 to len(SENT), then the end."""


class Walk:
    """A client that does odd things in a random order, and knows what it must have sent."""

    def __init__(self, rng: random.Random, workers: list[Served]) -> None:
        self.rng = rng
        self.workers = workers
        self.next = 0
        """Number of the next message that was never sent."""
        self.opened: dict[str, Any] = {}
        self.lines: list[tuple[AsyncExitStack, Client]] = []
        self.closed = False

    async def dial(self) -> None:
        """Connect to some worker and take the session up there; older lines stay open or not."""
        worker = self.rng.choice(self.workers)
        stack = AsyncExitStack()
        client = await stack.enter_async_context(
            connected(worker.url, "/game", worker.token("guardian", "child-1"))
        )
        self.lines.append((stack, client))
        if not self.opened:
            self.opened = await client.open()
            return
        asked = {k: self.opened[k] for k in ("session_id", "resume_token")}
        answer = await client.ok("session:resume", asked)
        if answer["outcome"] == "sealed":
            self.closed = True
            return
        assert answer["expected"] <= self.next, "it expects what was never sent"
        for seq in range(answer["expected"], self.next):
            await self.send(client, seq)

    async def send(self, client: Client, seq: int) -> None:
        """Send message `seq`, the same each time."""
        if 1 <= seq <= len(SENT):
            await client.say("frames", seq, SENT[seq - 1])
        elif seq == 0:
            await client.ok("set:start", 0, start_of(PLAYED))
        elif seq == len(SENT) + 1:
            await client.ok("set:end", seq, {"set_no": 1})
        else:
            for _ in range(5):
                answer = await client.ask("session:close", seq, {"reason": "done"})
                if "ok" in answer:
                    self.closed = True
                    return

    async def step(self) -> None:
        """Do one thing."""
        if not self.lines:
            await self.dial()
        client = self.lines[-1][1]
        what = self.rng.choice(["play", "play", "play", "repeat", "skip", "drop", "take over"])
        if what == "play":
            for _ in range(self.rng.randint(1, 25)):
                if self.next <= LAST and not self.closed:
                    await self.send(client, self.next)
                    self.next += 1
        elif what == "repeat" and 1 <= self.next <= len(SENT):
            await self.send(client, self.rng.randint(0, self.next - 1))
        elif what == "skip" and self.next + 3 <= len(SENT):
            await client.say("frames", self.next + 3, SENT[self.next + 2])
        elif what == "drop":
            stack, _ = self.lines.pop()
            await stack.aclose()
            await self.hang_up()
        elif what == "take over":
            await self.dial()

    async def hang_up(self) -> None:
        """End every line."""
        while self.lines:
            stack, _ = self.lines.pop()
            await stack.aclose()


@pytest.mark.parametrize("seed", range(5))
async def test_nothing_is_lost_doubled_or_altered(
    settings: Settings, repo: PlayRepo, seed: int
) -> None:
    rng = random.Random(seed)
    async with serving(settings) as one, serving(settings) as two:
        walk = Walk(rng, [one, two])
        for _ in range(60):
            if walk.closed:
                break
            await walk.step()
        while not walk.closed:
            await walk.hang_up()
            await walk.dial()
            while walk.next <= LAST and not walk.closed:
                await walk.send(walk.lines[-1][1], walk.next)
                walk.next += 1
        await walk.hang_up()
    session_id = walk.opened["session_id"]
    stored = [(seq, payload) async for seq, payload in repo.iter_frames(session_id, merged=False)]
    assert [seq for seq, _ in stored] == list(range(1, len(SENT) + 1))
    assert [seq for seq, payload in stored if payload != SENT[seq - 1]] == []
    events = [(e["seq"], e["event"]) async for e in repo.iter_events(session_id)]
    assert events == [(0, "set:start"), (LAST - 1, "set:end"), (LAST, "session:close")]
    assert [one.equal for one in await rescore_session(repo, catalogue(), session_id)] == [True]
