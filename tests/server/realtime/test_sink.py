"""What waits for a client is written in its order, whoever writes it, and to nobody else."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from random import Random
from typing import Any, cast

import pytest

from config.settings import SocketSettings, load_settings
from server.realtime.sink import Sink
from server.realtime.wire import Encoded

LIMITS = load_settings().socket
LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop]
if sys.platform != "win32":
    import uvloop

    LOOPS.append(uvloop.new_event_loop)


class Client(asyncio.Protocol):
    """A connection with a sink, as a line has one."""

    def __init__(self, limits: SocketSettings) -> None:
        self.limits = limits
        self.dirty: list[Sink] = []
        self.refused: list[bool] = []
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.sink = Sink(self.transport, self.dirty.append, self.overflow, self.limits, 0.0)

    def overflow(self, lossy: bool) -> bool:
        self.refused.append(lossy)
        return not lossy

    def pause_writing(self) -> None:
        self.sink.paused = True

    def resume_writing(self) -> None:
        self.sink.paused = False
        self.sink.flush()

    def connection_lost(self, _: Exception | None) -> None:
        self.sink.clear()
        self.lost.set()

    def turn(self) -> None:
        """End a turn of the loop."""
        while self.dirty:
            self.dirty.pop().flush()

    async def end(self) -> None:
        """Cut the connection."""
        self.transport.abort()
        async with asyncio.timeout(10):
            await self.lost.wait()


@asynccontextmanager
async def connected(
    limits: SocketSettings = LIMITS,
) -> AsyncIterator[tuple[Client, socket.socket]]:
    """Connect a client; yield it, and its end of the socket."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: Client(limits), sock=ours)
    with theirs:
        yield client, theirs
        await client.end()


async def read(theirs: socket.socket, count: int) -> bytes:
    """Read so many bytes."""
    found = bytearray()
    async with asyncio.timeout(10):
        while len(found) < count:
            found += await asyncio.get_running_loop().sock_recv(theirs, 65_536)
    return bytes(found)


def now(theirs: socket.socket, most: int = 65_536) -> bytes:
    """Read what is there."""
    try:
        return theirs.recv(most)
    except BlockingIOError:
        return b""


@pytest.fixture(params=LOOPS, ids=lambda loop: loop.__module__.partition(".")[0])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Return what runs a test on a loop of each kind."""

    def on_loop(test: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(test)

    return on_loop


Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.mark.parametrize("seed", range(5))
def test_what_waits_is_written_in_its_order(run: Run, seed: int) -> None:
    async def test() -> None:
        rnd, said, heard = Random(seed), bytearray(), bytearray()
        async with connected() as (client, theirs):
            for _ in range(200):
                # The kernel takes all of it, a part, or nothing for a while.
                for _ in range(rnd.choice((1, 1, 2, 5))):
                    data = rnd.randbytes(rnd.choice((20, 200, 3000, 9000)))
                    if client.sink.offer(data):
                        said += data
                client.turn()
                if rnd.random() < 0.5:
                    await asyncio.sleep(0)
                while rnd.random() < 0.7:
                    heard += now(theirs, rnd.choice((100, 10_000, 200_000)))
            heard += await read(theirs, len(said) - len(heard))
            assert heard == said
            assert client.sink.backlog == client.sink.unsent == 0
            assert client.sink.stuck(1.0) == 0.0

    run(test())


def test_what_lies_in_the_transport_goes_first(run: Run) -> None:
    async def test() -> None:
        async with connected() as (client, theirs):
            said = [b"one", bytes(20_000), b"two", b"three"]
            for data in said:
                client.sink.put(data)
                client.turn()
                assert not client.sink.backlog, "the transport has what the kernel did not take"
                if data == b"two":
                    heard = now(theirs)  # the kernel has room; the transport does not know it yet
            assert client.sink.unsent
            left = sum(map(len, said)) - len(heard)
            assert heard + await read(theirs, left) == b"".join(said)
            client.sink.put(b"four")
            client.turn()
            assert now(theirs) == b"four", "it went at once"

    run(test())


def test_who_is_gone_is_written_nothing_nor_whoever_has_the_descriptor_now(run: Run) -> None:
    async def test() -> None:
        async with connected() as (gone, _):
            gone.sink.put(b"known")
            gone.turn()
            descriptor = gone.transport.get_extra_info("socket").fileno()
            await gone.end()
            await asyncio.sleep(0)
            async with connected() as (client, theirs):
                assert client.transport.get_extra_info("socket").fileno() == descriptor
                gone.sink.put(b"for nobody")
                gone.turn()
                client.sink.put(b"for me")
                client.turn()
                assert await read(theirs, 6) == b"for me"

    run(test())


def test_a_connection_that_breaks_is_the_transports_to_find_out(run: Run) -> None:
    async def test() -> None:
        async with connected() as (client, theirs):
            client.sink.put(b"heard")
            client.turn()
            theirs.close()
            while not client.lost.is_set():
                client.sink.put(b"unheard")
                client.turn()
                await asyncio.sleep(0)
            assert client.sink.backlog == 0

    run(test())


def test_an_encrypted_connection_is_written_by_its_transport_alone() -> None:
    class Encrypted(asyncio.Transport):
        """Takes what a sink writes."""

        def __init__(self, extra: dict[str, Any]) -> None:
            super().__init__(extra)
            self.taken: list[bytes] = []

        def is_closing(self) -> bool:
            return False

        def get_write_buffer_size(self) -> int:
            return 0

        def write(self, data: Any) -> None:
            self.taken.append(data)

    dirty: list[Sink] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = Encrypted({"socket": ours, "sslcontext": object()})
        sink = Sink(transport, dirty.append, lambda _: False, LIMITS, 0.0)
        for data in (b"one", b"two", b"three"):
            sink.put(data)
        dirty.pop().flush()
        sink.put(b"four")
        dirty.pop().flush()
        assert transport.taken == [b"onetwothree", b"four"]
        theirs.setblocking(False)
        assert now(theirs) == b""
    assert not dirty


@pytest.mark.parametrize("limits", [{"queue_packets": 4}, {"queue_bytes": 70}])
def test_a_queue_is_bounded_while_nothing_goes(run: Run, limits: dict[str, int]) -> None:
    async def test() -> None:
        packet = Encoded(2, "/game", ["x", "y"])
        size = len(packet.frames(False))
        async with connected(LIMITS.model_copy(update=limits)) as (client, theirs):
            sink = client.sink
            for _ in range(6):
                sink.post(packet, lossy=True)
            assert client.refused == [], "what came in this turn is written to make room"
            client.turn()
            await read(theirs, 6 * size)
            sink.paused = True
            for lossy in (True, True, True, True, True, False, True):
                sink.post(packet, lossy=lossy)
            client.turn()
            assert client.refused == [True, False, True]
            assert sink.backlog == 5
            assert sink.unsent == 5 * size
            client.resume_writing()
            assert len(await read(theirs, 5 * size)) == 5 * size

    run(test())
