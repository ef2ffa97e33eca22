"""The watcher checks every feed against what was sent."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable

import pytest

from config.clock import SystemClock
from server.simulation.watcher import HEADER, Sightings, Watcher, pictures
from tests.server.simulation.scripted import ScriptedServer, scripted


def _message(t0: int, seq0: int, *fills: int) -> bytes:
    records = [
        struct.pack("<IHB", 33_000 * n, n, 1) + bytes([fill]) * 133 for n, fill in enumerate(fills)
    ]
    return HEADER.pack(0x4647, 1, 0, len(fills), 140, t0, seq0, 640, 480) + b"".join(records)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted() as running:
        yield running


@pytest.fixture
async def watcher(server: ScriptedServer) -> AsyncIterator[Watcher]:
    sightings = Sightings()
    sightings.note("s", _message(1000, 5, 1, 2), SystemClock().monotonic())
    watcher = Watcher(server.url, "good", clock=SystemClock(), sightings=sightings)
    await watcher.connect()
    await watcher.join("s")
    yield watcher
    await watcher.disconnect()


async def _feed(server: ScriptedServer, *content: object) -> None:
    await server.tell("feed", "s", *content, namespace="/watch")


async def _until(done: Callable[[], bool]) -> None:
    for _ in range(1000):
        if done():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError("it never came to be")


def test_records_are_named_by_time_counter_and_side() -> None:
    names = [name for name, _ in pictures(_message(1000, 5, 7, 8))]
    assert names == [(1000, 5, 1), (34_000, 6, 1)]


def test_sightings_are_bounded() -> None:
    sightings = Sightings(keep=3)
    for n in range(5):
        sightings.note("s", _message(n * 100_000, n, n), at=float(n))
    assert sightings.find("s", (100_000, 1, 1)) is None
    assert sightings.find("s", (200_000, 2, 1)) == (2.0, bytes([2]) * 133)
    sightings.forget("s")
    assert sightings.find("s", (400_000, 4, 1)) is None


async def test_a_feed_is_recognised_and_timed(server: ScriptedServer, watcher: Watcher) -> None:
    await _feed(server, 11, _message(1000, 5, 1, 2), {"rep": {"rep_no": 1}})
    await _until(lambda: watcher.views.feeds == 1)
    views = watcher.views
    assert (views.frames, views.altered, views.unknown) == (2, 0, 0)
    assert (views.missed, views.disordered) == (0, 0)
    assert watcher.reps == {"s": 1}
    latency = views.latency.percentile_ms(1.0)
    assert latency is not None
    assert 0 < latency < 5000


async def test_one_changed_byte_is_seen(server: ScriptedServer, watcher: Watcher) -> None:
    await _feed(server, 11, _message(1000, 5, 1, 3), {})
    await _until(lambda: watcher.views.feeds == 1)
    assert (watcher.views.altered, watcher.views.unknown) == (1, 0)


async def test_a_picture_nobody_sent_is_unknown(server: ScriptedServer, watcher: Watcher) -> None:
    await _feed(server, 11, _message(1000, 90, 1), {})
    await _until(lambda: watcher.views.feeds == 1)
    assert (watcher.views.unknown, watcher.views.latency.count) == (1, 0)


async def test_offsets_that_skip_or_fall_are_counted(
    server: ScriptedServer, watcher: Watcher
) -> None:
    for offset in (11, 14, 13):
        await _feed(server, offset, b"", {})
    await _until(lambda: watcher.views.feeds == 3)
    assert (watcher.views.missed, watcher.views.disordered) == (2, 1)


async def test_a_snapshot_begins_the_count_anew(server: ScriptedServer, watcher: Watcher) -> None:
    start = {"session_id": "s", "snapshot": {}, "epoch": 2, "offset": 0}
    await server.tell("snapshot", start, namespace="/watch")
    await _feed(server, 1, b"", {})
    await _until(lambda: watcher.views.feeds == 1)
    assert (watcher.views.missed, watcher.views.disordered, watcher.views.snapshots) == (0, 0, 2)


async def test_ended_keeps_the_result(server: ScriptedServer, watcher: Watcher) -> None:
    await server.tell("ended", {"session_id": "s", "result": {"grade": 7}}, namespace="/watch")
    await _until(lambda: watcher.views.ended == 1)
    assert watcher.results["s"] == {"grade": 7}


async def test_sessions_going_live_are_queued(server: ScriptedServer, watcher: Watcher) -> None:
    changes = {"added": [{"session_id": "t"}], "changed": [], "removed": []}
    await server.tell("live", changes, namespace="/watch")
    assert await asyncio.wait_for(watcher.live.get(), 5) == "t"


async def test_a_lost_line_is_sought_and_everything_joined_again(
    server: ScriptedServer, watcher: Watcher
) -> None:
    await _feed(server, 11, b"", {})
    await _until(lambda: watcher.views.feeds == 1)
    await server.cut("/watch")
    await _until(lambda: watcher.views.snapshots == 2)
    assert watcher.joined == {"s": 30}
    await _feed(server, 11, b"", {})  # counted from the snapshot's offset, which is 10
    await _until(lambda: watcher.views.feeds == 2)
    assert (watcher.views.missed, watcher.views.disordered) == (0, 0)


async def test_a_session_that_ended_without_a_result_is_asked_for_again(
    server: ScriptedServer, watcher: Watcher
) -> None:
    server.absent = 2
    await server.tell("ended", {"session_id": "s", "result": None}, namespace="/watch")
    await _until(lambda: watcher.views.snapshots == 2)
    assert server.absent == 0
    assert watcher.joined == {"s": 30}
    assert watcher.views.ended == 0
