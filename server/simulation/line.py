"""One Socket.IO connection as a client of ours sees it: connect with a token, ask, be told."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import aiohttp
import socketio

CONNECT_S = 10.0
"""How long a connect may take, welcome included, seconds."""
ANSWER_S = 30.0
"""How long an event may stay without a final answer, seconds, all repetitions included."""
_QUIET = logging.getLogger("gemgem.line")
"""The library's own words: what matters of them comes back as errors, the rest spoils the table."""
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False
CLIENT = {"app": "gemgem-simulate", "version": "1", "platform": "python"}


class RefusedError(Exception):
    """The server answered with an error that asking again does not cure."""

    def __init__(self, code: str, message: str, details: Any = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.details = details


class LineLostError(Exception):
    """The connection ended, or never began, before the answer came."""


class Line:
    """A connection to one namespace, over WebSocket alone, that never reconnects by itself.

    Reconnecting by itself would hide from the player that it has to resume.
    """

    def __init__(
        self, url: str, token: str, namespace: str, http: aiohttp.ClientSession | None = None
    ) -> None:
        """Prepare a connection; nothing is sent before `connect`.

        Args:
            url: the server, such as `http://127.0.0.1:8080`.
            token: an access token whose role may use the namespace.
            http: an open session to share between many connections.
        """
        self.welcome: dict[str, Any] = {}
        """The first thing the server says: its protocol, its limits, its time."""
        self.ended: str | None = None
        """Why the connection is over, once it is."""
        self.notices: deque[tuple[str, dict[str, Any]]] = deque(maxlen=16)
        """Reasons given before a close: `draining`, `superseded`, `revoked`, `closed`."""
        self._url = url
        self._token = token
        self._namespace = namespace
        self._refusal: Any = None
        self._welcomed = asyncio.Event()
        self._when_ended: Callable[[], None] = _nothing
        self._sio = socketio.AsyncClient(
            reconnection=False,
            handle_sigint=False,
            http_session=http,
            request_timeout=CONNECT_S,
            logger=_QUIET,
            engineio_logger=_QUIET,
        )
        self.on("connect_error", self._on_connect_error)
        self.on("disconnect", self._on_disconnect)
        self.on("welcome", self._on_welcome)
        for event in ("draining", "superseded", "revoked", "closed"):
            self.on(event, lambda content, event=event: self.notices.append((event, content)))

    def on(self, event: str, handler: Callable[..., None]) -> None:
        """Call `handler` with the event's arguments whenever it comes."""
        self._sio.on(event, handler, namespace=self._namespace)

    def when_ended(self, told: Callable[[], None]) -> None:
        """Call `told` once the connection is over, whoever ended it."""
        self._when_ended = told

    async def connect(self) -> dict[str, Any]:
        """Connect and return the content of `welcome`.

        Raises:
            RefusedError: the server said no; the code is in it.
            LineLostError: nobody answered.
        """
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._sio.connect(
                    self._url,
                    auth={"token": self._token, "client": CLIENT},
                    namespaces=[self._namespace],
                    transports=["websocket"],
                    wait_timeout=CONNECT_S,
                )
                await self._welcomed.wait()
        except (socketio.exceptions.ConnectionError, TimeoutError) as failure:
            await self.disconnect()
            if isinstance(self._refusal, dict):
                data = self._refusal.get("data")
                if isinstance(data, dict) and "code" in data:
                    raise RefusedError(data["code"], self._refusal["message"]) from failure
            raise LineLostError(f"no connection to {self._url}: {failure}") from failure
        return self.welcome

    async def disconnect(self) -> None:
        """Leave; safe at any time and twice."""
        await self._sio.disconnect()

    async def call(self, event: str, body: dict[str, Any]) -> dict[str, Any]:
        """Emit an event and return what its answer has under `ok`.

        Raises:
            RefusedError: the answer has an `error`.
            LineLostError: there was no answer in time.
        """
        try:
            answer = await self._sio.call(event, body, namespace=self._namespace, timeout=ANSWER_S)
        except socketio.exceptions.SocketIOError as failure:
            raise LineLostError(f"no answer to {event}: {type(failure).__name__}") from failure
        if "ok" in answer:
            ok: dict[str, Any] = answer["ok"]
            return ok
        error = answer["error"]
        raise RefusedError(error["code"], error["message"], error.get("details"))

    async def emit(
        self,
        event: str,
        arguments: tuple[Any, ...],
        answered: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """Emit an event; `answered` gets the answer. Does nothing once the line is gone.

        The library sends bytes among the arguments as an attachment after the text packet, which
        every Socket.IO server puts together again.
        """
        with contextlib.suppress(socketio.exceptions.BadNamespaceError):
            await self._sio.emit(event, arguments, namespace=self._namespace, callback=answered)

    def _on_welcome(self, content: dict[str, Any]) -> None:
        self.welcome = content
        self._welcomed.set()

    def _on_connect_error(self, refusal: Any = None) -> None:
        self._refusal = refusal

    def _on_disconnect(self, reason: str) -> None:
        said = [f"{event}: {content.get('message', '')}" for event, content in self.notices]
        self.ended = "; ".join([*said, reason])
        self._when_ended()


def _nothing() -> None:
    """Say nothing to nobody."""
