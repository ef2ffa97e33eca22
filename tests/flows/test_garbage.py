"""What ends is freed at once: nothing of a connection or a session waits for the collector."""

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from handlers.live.game import Player
from handlers.live.watch import Watcher
from server.realtime.guard import Guard
from server.realtime.lean import LeanLine
from server.realtime.sink import Sink
from sessions.answers import Answers
from sessions.session import Session
from tests.flows.client import OPEN
from tests.flows.raw import raw
from tests.serving import Served, serving, settings_of

FRAME = '451-/game,["frames",%d,{"_placeholder":true,"num":0}]'
OURS = (LeanLine, Sink, Guard, Player, Watcher, Session, Answers)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing is freed but what nobody refers to."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def living() -> dict[str, int]:
    """How many objects there are of what a connection or a session is made of."""
    kinds = Counter(type(one) for one in gc.get_objects())
    return {kind.__name__: kinds[kind] for kind in OURS if kinds[kind]}


async def play(served: Served) -> None:
    """Open a session, play and seal it, while somebody looks at the live list."""
    async with raw(served.url) as player, raw(served.url) as watcher:
        await player.join(served.token("guardian", "child-1"))
        await watcher.join(served.token("therapist", "child-1"), "/watch")
        asked = {**OPEN, "child_id": "child-1", "client_key": str(uuid4())}
        assert "ok" in await player.ask("session:open", asked)
        for seq in range(3):
            await player.say(FRAME % seq, b"x")
        await player.say('42/game,8["session:close",3,{"reason":"finished"}]')
        assert "ok" in await player.answer(8)
        assert living().keys() == {kind.__name__ for kind in OURS}


async def test_a_session_and_its_connections_leave_nothing_to_the_collector(
    mongo_url: str, redis_url: str, mongo_database: str, redis_prefix: str, tmp_path: Path,
    no_collector: None,
) -> None:  # fmt: skip
    settings = settings_of(
        mongo_url, redis_url, mongo_database, redis_prefix, tmp_path / "key.pem",
        live={"linger_seconds": 1, "snapshot_seconds": 1},
    )  # fmt: skip
    async with serving(settings) as served:
        before = living()
        await play(served)
        async with asyncio.timeout(10):
            while living() != before:
                await asyncio.sleep(0.2)
