"""The reading half: however the network cuts it and whenever it is stopped, order and all of it."""

import asyncio

from aiohttp import WSMsgType
from hypothesis import given, settings
from hypothesis import strategies as st

from config.clock import SystemClock
from server.realtime.gate import DEBT, PIECE, ROOM, Gate, Message
from server.realtime.parser import parser


class Reading:
    """The reading side of a transport."""

    def __init__(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        """It never does."""
        return False

    def pause_reading(self) -> None:
        """Take note."""
        self.paused = True

    def resume_reading(self) -> None:
        """Take note."""
        self.paused = False


class Stopped(Gate):
    """Stops after some of its messages."""

    def __init__(self, stops: set[int]) -> None:
        super().__init__(SystemClock(), lambda: False, lambda _: None)
        self.reading = Reading()
        self.closed: list[int] = []
        self._transport = self.reading  # type: ignore[assignment]
        self._reader = parser(self.message, self.closed.append, 1_000_000)
        self._stops = stops
        self.taken: list[bytes] = []

    def handle(self, message: Message) -> None:
        """Keep it, and stop if it is one to stop after."""
        assert message[0] is WSMsgType.BINARY
        assert not self._holds, "nothing is handled while there is a reason not to"
        if len(self.taken) in self._stops:
            self.hold(ROOM)
        self.taken.append(message[1])


def masked(data: bytes) -> bytes:
    """Return a masked binary frame; its key is zero."""
    size = len(data).to_bytes(8, "big")
    return b"\x82\xff" + size + b"\0\0\0\0" + data


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 2 * PIECE), min_size=1, max_size=20),
    st.sets(st.integers(0, 19)),
    st.lists(
        st.tuples(st.integers(1, 9) | st.integers(1000, 3 * PIECE), st.booleans()),
        min_size=1,
        max_size=30,
    ),
)
def test_nothing_is_lost_or_overtaken(
    sizes: list[int], stops: set[int], cuts: list[tuple[int, bool]]
) -> None:
    async def check() -> None:
        sent = [bytes([n]) * size for n, size in enumerate(sizes)]
        stream = b"".join(map(masked, sent))
        gate = Stopped(stops)
        at = 0
        for size, releases in cuts:
            # The loop may have read once more before it heard that it should not.
            gate.data_received(stream[at : at + size])
            at += size
            if releases:
                gate.release(ROOM)
        gate.data_received(stream[at:])
        while gate.reading.paused:
            gate.release(ROOM)
        assert (gate.taken, gate.closed) == (sent, [])

    asyncio.run(check())


async def test_every_reason_has_to_be_taken_back() -> None:
    gate = Stopped(set())
    gate.hold(ROOM)
    gate.wait(0.05)
    gate.data_received(masked(b"x"))
    gate.release(ROOM)
    assert (gate.taken, gate.reading.paused) == ([], True)
    gate.release(ROOM)  # once more changes nothing
    async with asyncio.timeout(5):
        while gate.reading.paused:
            await asyncio.sleep(0.01)
    assert gate.taken == [b"x"]
    gate.release(DEBT)
    assert gate.taken == [b"x"]


async def test_what_nobody_listens_to_is_read_on_slowly() -> None:
    gate = Stopped(set())
    gate.done = True
    gate.data_received(masked(b"x" * PIECE * 3))
    assert gate.reading.paused
    async with asyncio.timeout(5):
        while gate.reading.paused:
            await asyncio.sleep(0.001)
    assert len(gate.taken) == 1, "the goodbye would be found"


async def test_what_was_kept_is_forgotten_with_the_connection() -> None:
    gate = Stopped(set())
    gate.wait(60)
    gate.data_received(masked(b"x"))
    gate.shut()
    gate.release(DEBT)
    assert gate.taken == []
