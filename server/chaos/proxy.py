"""A TCP proxy on loopback whose connections can be reset, silenced, delayed and throttled."""

import asyncio
import contextlib
import random
import socket
import struct

READ_BYTES = 16_384
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes a close a reset."""


class Passage:
    """One connection through the proxy: two sockets and what is done to them."""

    def __init__(self, ours: asyncio.StreamWriter, theirs: asyncio.StreamWriter) -> None:
        self._writers = (ours, theirs)
        self._sounding = asyncio.Event()
        self._sounding.set()

    def silence(self) -> None:
        """Pass nothing on, either way, and keep both sides open."""
        self._sounding.clear()

    def sound(self) -> None:
        """Pass on what was held up, and what comes."""
        self._sounding.set()

    async def until_sounding(self) -> None:
        """Wait while the line is silent."""
        await self._sounding.wait()

    def reset(self) -> None:
        """End both sides as a network does that has forgotten them."""
        self._sounding.set()
        for writer in self._writers:
            sock: socket.socket | None = writer.get_extra_info("socket")
            if sock is not None and not writer.is_closing():
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


class Proxy:
    """Listens on a free port and passes every connection on to one target."""

    def __init__(self, host: str, port: int) -> None:
        """Prepare; nothing listens before `start`.

        Args:
            host: where the connections lead to.
            port: the same.
        """
        self.delay_s = 0.0
        """Added to every piece on its way, either way."""
        self.bytes_s: float | None = None
        """What a connection passes on in a second, either way; None for all it gets."""
        self.passages: set[Passage] = set()
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where clients connect to."""
        if self._server is None:
            raise RuntimeError("the proxy is not started")
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        """Listen from now on."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)

    async def close(self) -> None:
        """Listen no more and end every connection."""
        if self._server is not None:
            self._server.close()
        for passage in list(self.passages):
            passage.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    def some(self, share: float, rng: random.Random) -> list[Passage]:
        """Return a share (0..1) of the connections, at least one where there are any."""
        there = sorted(self.passages, key=id)
        count = min(len(there), max(1, round(share * len(there))))
        return rng.sample(there, count)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            back, forth = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        passage = Passage(writer, forth)
        self.passages.add(passage)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(passage, reader, forth))
                both.create_task(self._pass_on(passage, back, writer))
        except* OSError:
            pass  # one side is gone, by our own hand perhaps
        finally:
            self.passages.discard(passage)
            for end in (writer, forth):
                end.close()  # after what was passed on: it may say why

    async def _pass_on(
        self, passage: Passage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while piece := await reader.read(READ_BYTES):
            await passage.until_sounding()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            writer.write(piece)
            await writer.drain()
            if self.bytes_s is not None:
                await asyncio.sleep(len(piece) / self.bytes_s)
        raise ConnectionResetError("one side has closed: what it said was passed on")
