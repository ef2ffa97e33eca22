"""aiohttp's parser of WebSocket frames, which hands each message over in the moment it is whole.

aiohttp puts messages into a queue that a task reads. The queue of this module calls instead. It
leans on how the parser of the pinned version works inside; `fault` tries that out at the start.
"""

import struct
from collections.abc import Callable
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web_protocol
from engineio import async_socket

try:
    from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader

    KNOWN = True
except ImportError:  # pragma: no cover - of a version that is not pinned
    KNOWN = False

Take = Callable[[tuple[WSMsgType, Any, Any], int], None]
"""Is given kind, data and extra of a message (str of TEXT, bytes of BINARY and PING, the code of
CLOSE), and its size."""
Fail = Callable[[int], None]
"""Is given the code to close with, once what came is no WebSocket any more."""


def parser(take: Take, fail: Fail, message_bytes: int) -> Any:
    """Return a parser; its `feed_data` takes what the network brought.

    Args:
        message_bytes: a message of so many or more fails with 1009, before it is kept.
    """
    return WebSocketReader(_Inlet(take, fail), message_bytes, compress=False, decode_text=True)


def fault() -> str | None:
    """Try the libraries' insides out; return what is not as expected, None if all is well."""
    if not KNOWN:
        return "aiohttp keeps its parser elsewhere"
    for owner, names in (
        (web_protocol.RequestHandler, ("set_parser", "keep_alive", "connection_lost")),
        (async_socket.AsyncSocket, ("close", "schedule_ping", "_send_ping")),
    ):
        if missing := [name for name in names if not callable(getattr(owner, name, None))]:
            return f"{owner.__name__} has no {', '.join(missing)}"
    taken: list[Any] = []
    failed: list[int] = []
    try:
        reads = parser(lambda message, _: taken.append(message), failed.append, 100)
        for piece in (
            _masked(1, b"4x")[:3],
            _masked(1, b"4x")[3:] + _masked(2, b"\0"),
            b"\x82\xe5",
        ):
            reads.feed_data(piece)
    except Exception as error:  # whatever it is, the stock transport does without
        return f"aiohttp's parser failed: {type(error).__name__}: {error}"
    whole = [(WSMsgType.TEXT, "4x"), (WSMsgType.BINARY, b"\0")]
    if [tuple(message[:2]) for message in taken] != whole:
        return "aiohttp's parser does not hand messages over"
    if failed != [WSCloseCode.MESSAGE_TOO_BIG]:
        return "aiohttp's parser does not refuse what is too large"
    return None


def _masked(opcode: int, data: bytes) -> bytes:
    return struct.pack("!BB4x", 0x80 | opcode, 0x80 | len(data)) + data


if KNOWN:

    class _Inlet(WebSocketDataQueue):
        """The end of the parser that is a queue in aiohttp.

        `feed_data` is what takes a message, called without anything between. It may raise nothing:
        the parser would not pass it on.
        """

        __slots__ = ("_fail", "feed_data")

        def __init__(self, take: Take, fail: Fail) -> None:
            nobody: Any = None  # is told to stop reading, and keeps what is not read
            super().__init__(nobody, 0, loop=nobody)
            self.feed_data = take  # type: ignore[method-assign, assignment]  # a slot of this class
            self._fail = fail

        def set_exception(self, exc: BaseException, *_: Any) -> None:
            """Say that there will be no message any more."""
            self._fail(getattr(exc, "code", WSCloseCode.PROTOCOL_ERROR))
