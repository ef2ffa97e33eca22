"""A session without room: its connection is not read, and stays alive, closable and answered."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from config.metrics import REGISTRY
from models.errors import AppError, ErrorCode
from server.embedded import ValkeyServer
from server.lifespan import PARTS
from tests.flows.client import OPEN
from tests.flows.raw import Raw, raw
from tests.serving import Served, serving, settings_of

ROOM = 16
PART = '451-/game,["frames",%d,{"_placeholder":true,"num":0}]'


def stopped() -> float:
    """Return how often a connection was not read for want of room."""
    return REGISTRY.get_sample_value("gemgem_limited_total", {"limit": "unacked"}) or 0.0


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[ValkeyServer]:
    """Run a Valkey that the test may freeze."""
    server = ValkeyServer(tmp_path / "valkey", temporary=False)
    await server.start()
    yield server
    await server.stop()


@asynccontextmanager
async def playing(
    mongo_url: str, database: str, home: Path, valkey: ValkeyServer, transport: str
) -> AsyncIterator[tuple[Served, Raw]]:
    """A client with an open session, of a server that pings each second."""
    settings = settings_of(
        mongo_url,
        valkey.url,
        database,
        "room",
        home / "key.pem",
        socket={"transport": transport, "ping_interval": 1, "ping_timeout": 1},
        live={"unacked_messages": ROOM},
    )
    async with serving(settings) as served, raw(served.url) as client:
        await client.join(served.token("guardian", "child-1"))
        asked = {**OPEN, "child_id": "child-1", "client_key": str(uuid4())}
        assert "ok" in await client.ask("session:open", asked)
        yield served, client


async def fill(client: Raw, first: int, count: int) -> None:
    """Send messages; what is in them is of no matter."""
    for n in range(first, first + count):
        await client.say(PART % n, b"x")


async def pings(client: Raw, count: int) -> None:
    """Hear so many pings."""
    for _ in range(count):
        await client.until("2")


@pytest.mark.parametrize("transport", ["lean", "stock"])
async def test_a_session_without_room_is_not_read_and_loses_nothing(
    mongo_url: str, mongo_database: str, tmp_path: Path, valkey: ValkeyServer, transport: str
) -> None:
    before = stopped()
    async with playing(mongo_url, mongo_database, tmp_path, valkey, transport) as (_, client):
        await fill(client, 0, 4)
        await client.until('42/game,["ack",{"buffered":3')
        valkey.pause()
        try:
            await fill(client, 4, ROOM + 10)
            await client.say('42/game,9["clock",{"t_us":1}]')
            await pings(client, 4)  # longer than a silent client would be kept
        finally:
            valkey.resume()
        assert stopped() == before + 1
        assert not any(text.startswith("43/game,9") for text in client.heard), "it was read"
        assert "ok" in await client.answer(9)
        while (await client.event("ack"))["buffered"] < ROOM + 13:
            pass
        assert not client.told("gap")
        assert {why["code"] for why in client.told("refused")} <= {"invalid"}, "but never `busy`"
        await pings(client, 3)  # and it is pinged and read as before


@pytest.mark.parametrize("transport", ["lean", "stock"])
async def test_a_connection_that_is_not_read_can_be_closed(
    mongo_url: str, mongo_database: str, tmp_path: Path, valkey: ValkeyServer, transport: str
) -> None:
    async with playing(mongo_url, mongo_database, tmp_path, valkey, transport) as (served, client):
        valkey.pause()
        try:
            await fill(client, 0, ROOM + 10)
            async with asyncio.timeout(5):
                game = served.app[PARTS].game
                while not game._stopped:
                    await asyncio.sleep(0.02)
            [connection] = game.connections.values()
            connection.end("closed", AppError(ErrorCode.BUSY, "for the test", retry_ms=1))
            seconds, _ = await client.closed()
        finally:
            valkey.resume()
        assert seconds < 2
        assert json.dumps(client.told("closed")[-1]).count("for the test")
        assert not game._stopped
