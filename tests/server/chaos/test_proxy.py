"""The proxy does to real connections what it says, and nothing else."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from config.clock import SystemClock
from server.chaos.proxy import Proxy
from server.simulation.player import Player
from tests.server.simulation.scripted import scripted


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Lead to a server that answers each line in capitals, and says BYE when asked to end."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
            if line == b"end\n":
                writer.write(b"BYE\n")
                break
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    proxy = Proxy("127.0.0.1", server.sockets[0].getsockname()[1])
    await proxy.start()
    yield proxy
    await proxy.close()
    server.close()
    await server.wait_closed()


async def _open(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2]))


async def _ask(ends: tuple[asyncio.StreamReader, asyncio.StreamWriter], line: bytes) -> bytes:
    ends[1].write(line)
    return await ends[0].readline()


async def test_it_passes_on_both_ways_and_the_last_words_too(proxy: Proxy) -> None:
    ends = await _open(proxy)
    assert await _ask(ends, b"hello\n") == b"HELLO\n"
    assert await _ask(ends, b"end\n") == b"END\n"
    assert await ends[0].readline() == b"BYE\n"
    assert await ends[0].read() == b""
    ends[1].close()


async def test_a_reset_is_seen_as_one(proxy: Proxy) -> None:
    ends = await _open(proxy)
    await _ask(ends, b"hello\n")
    for passage in proxy.some(1.0, random.Random(1)):
        passage.reset()
    with pytest.raises(ConnectionResetError):
        await ends[0].readline()
    ends[1].close()


async def test_a_silent_line_holds_back_and_loses_nothing(proxy: Proxy) -> None:
    quiet, other = await _open(proxy), await _open(proxy)
    await asyncio.gather(_ask(quiet, b"a\n"), _ask(other, b"b\n"))
    held = proxy.some(1.0, random.Random(1))
    assert len(held) == 2
    for passage in held:
        passage.silence()
    asking = asyncio.gather(_ask(quiet, b"c\n"), _ask(other, b"d\n"))
    await asyncio.sleep(0.1)
    assert not asking.done()
    for passage in held:
        passage.sound()
    assert await asking == [b"C\n", b"D\n"]
    for _, writer in (quiet, other):
        writer.close()


async def test_delay_and_throttle_take_their_time(proxy: Proxy) -> None:
    clock = SystemClock()
    ends = await _open(proxy)
    began = clock.monotonic()
    proxy.delay_s = 0.1
    await _ask(ends, b"x\n")
    assert clock.monotonic() - began >= 0.2
    proxy.delay_s = 0.0
    proxy.bytes_s = 20_000.0
    line = b"y" * 4_000 + b"\n"
    began = clock.monotonic()
    for _ in range(2):
        assert await _ask(ends, line) == line.upper()
    assert clock.monotonic() - began >= 0.2
    ends[1].close()


def test_a_share_is_never_nobody() -> None:
    proxy = Proxy("127.0.0.1", 1)
    assert proxy.some(0.5, random.Random(1)) == []
    with pytest.raises(RuntimeError, match="not started"):
        _ = proxy.url


async def test_a_client_gives_up_a_silent_server_and_comes_back() -> None:
    async with scripted(ping_s=0.2) as server:
        proxy = Proxy("127.0.0.1", int(server.url.rpartition(":")[2]))
        await proxy.start()
        player = Player(proxy.url, "good", clock=SystemClock(), rng=random.Random(4))
        await player.connect()
        await player.open_session(child_id="c")
        for passage in proxy.some(1.0, random.Random(1)):
            passage.silence()
        await player.send_frames(bytes(40))  # into the silence
        for _ in range(400):
            if server.expected == 1:
                break
            await asyncio.sleep(0.01)
        assert server.expected == 1
        assert player.link.losses == 1
        await player.disconnect()
        await proxy.close()
