"""Watchers that join a session and never read again, on bare sockets nothing else reads from."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

HEAD = (
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: deaf\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
RECEIVE_BYTES = 4096
"""Receive buffer asked of the kernel: the less it holds, the sooner the server has to."""
JOIN_S = 10.0
PONG_S = 2.0
"""How often it answers pings it has not read, so that its silence alone does not end it."""
BEGIN_AGAIN_S = 1.0


class NotJoinedError(Exception):
    """The server did not let it watch; a session may just have ended."""


def frame(text: str) -> bytes:
    """Return a masked text frame (RFC 6455, 5.2) of less than 64 kB."""
    data = text.encode()
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
    return b"\x81" + size + b"\0\0\0\0" + data  # a mask of zeros leaves the text as it is


class _Reader:
    """Reads the frames of the server as far as joining needs them."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._held = b""

    async def _take(self, size: int) -> bytes:
        while len(self._held) < size:
            more = await asyncio.get_running_loop().sock_recv(self._sock, RECEIVE_BYTES)
            if not more:
                raise ConnectionResetError("closed while joining")
            self._held += more
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    async def head(self) -> bytes:
        """Return the head of the answer to the upgrade."""
        taken = b""
        while not taken.endswith(b"\r\n\r\n"):
            taken += await self._take(1)
        return taken

    async def text(self) -> str:
        """Return the next text message; binary ones are passed over."""
        while True:
            kind, size = await self._take(2)
            if size == 126:
                (size,) = struct.unpack(">H", await self._take(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", await self._take(8))
            data = await self._take(size)
            if kind == 0x88:
                raise ConnectionResetError(f"closed while joining: {data[2:].decode()}")
            if kind == 0x81:
                return data.decode()


@contextlib.asynccontextmanager
async def deaf(url: str, token: str, session_id: str) -> AsyncIterator[socket.socket]:
    """Join a session at full rate, read the answer, and read no more.

    Raises:
        NotJoinedError: there is no such session any more, or no room.
        OSError: the server closed it before.
    """
    loop = asyncio.get_running_loop()
    parts = urlsplit(url)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        sock.setblocking(False)
        async with asyncio.timeout(JOIN_S):
            await loop.sock_connect(sock, (parts.hostname, parts.port))
            await loop.sock_sendall(sock, HEAD.encode())
            reader = _Reader(sock)
            if not (await reader.head()).startswith(b"HTTP/1.1 101 "):
                raise NotJoinedError("the upgrade was refused")
            joining = json.dumps(["watch:join", {"session_id": session_id, "max_fps": 120}])
            await loop.sock_sendall(sock, frame("40/watch," + json.dumps({"token": token})))
            while not (text := await reader.text()).startswith(("43/watch,1", "46")):
                if text == "2":
                    await loop.sock_sendall(sock, frame("3"))
                elif text.startswith("44"):
                    raise NotJoinedError(text)
                elif text.startswith('42/watch,["welcome"'):
                    await loop.sock_sendall(sock, frame(f"42/watch,1{joining}"))
            if '"error"' in text[:40]:
                raise NotJoinedError(text)
        yield sock


async def stay_deaf(sock: socket.socket) -> None:
    """Answer pings blindly until the server has cut the connection."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while True:
            await loop.sock_sendall(sock, frame("3"))
            await asyncio.sleep(PONG_S)


class DeafSeat:
    """One deaf watcher after the other: whenever it is closed, the next one joins."""

    def __init__(self, url: str, token: str, pick: Callable[[], str | None]) -> None:
        """Prepare.

        Args:
            pick: returns a session to watch, None when there is none just now.
        """
        self.joins = 0
        self.closed = 0
        """Times the server put an end to one."""
        self.deaf = False
        """Whether one sits there now."""
        self._url = url
        self._token = token
        self._pick = pick

    async def run(self) -> None:
        """Be deaf for ever."""
        while True:
            session_id = self._pick()
            if session_id is not None:
                with contextlib.suppress(NotJoinedError, OSError, TimeoutError):
                    async with deaf(self._url, self._token, session_id) as sock:
                        self.joins += 1
                        self.deaf = True
                        await stay_deaf(sock)
                        self.closed += 1
                self.deaf = False
            await asyncio.sleep(BEGIN_AGAIN_S)
