"""A bare Socket.IO client that keeps everything it hears, in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import socketio

OPEN = {
    "kind": "therapy",
    "space": "world",
    "fps": 30.0,
    "app_version": "1.0.0",
}
START = {"motion": "fist", "side": "right", "asked_reps": 4, "guide_t0_us": 0}


class Client:
    """One connection to one namespace."""

    def __init__(self, sio: socketio.AsyncClient, namespace: str) -> None:
        self.sio = sio
        self.namespace = namespace
        self.heard: list[tuple[str, list[Any]]] = []
        self._news = asyncio.Event()

    def hear(self, event: str, *args: Any) -> None:
        """Keep what came."""
        self.heard.append((event, list(args)))
        self._news.set()

    def all(self, event: str) -> list[list[Any]]:
        """Return the arguments of every `event` heard so far."""
        return [args for name, args in self.heard if name == event]

    async def until(self, event: str, found: Any = lambda *_: True, seconds: float = 5.0) -> Any:
        """Return the first argument (or all, if several) of the first fitting `event`."""
        async with asyncio.timeout(seconds):
            while True:
                for args in self.all(event):
                    if found(*args):
                        return args[0] if len(args) == 1 else args
                self._news.clear()
                await self._news.wait()

    async def ask(self, event: str, *args: Any) -> Any:
        """Send with a callback and return what was answered."""
        return await self.sio.call(event, args, namespace=self.namespace, timeout=8)

    async def ok(self, event: str, *args: Any) -> dict[str, Any]:
        """Send with a callback and return the answer, which must be no error."""
        answer = await self.ask(event, *args)
        assert "ok" in answer, f"{event}: {answer}"
        return dict(answer["ok"])

    async def code(self, event: str, *args: Any) -> str:
        """Send with a callback and return the code of the error, which there must be."""
        answer = await self.ask(event, *args)
        assert "error" in answer, f"{event}: {answer}"
        assert answer["error"]["message"], "an error says what was wrong"
        return str(answer["error"]["code"])

    async def say(self, event: str, *args: Any) -> None:
        """Send without a callback."""
        await self.sio.emit(event, args, namespace=self.namespace)

    async def open(self, child_id: str = "child-1", **more: Any) -> dict[str, Any]:
        """Open a session."""
        asked = {**OPEN, "child_id": child_id, "client_key": str(uuid4()), **more}
        return await self.ok("session:open", asked)


@asynccontextmanager
async def connected(
    url: str, namespace: str, token: str | None, parser: str = "default"
) -> AsyncIterator[Client]:
    """Connect and welcome; raises the library's ConnectionError with the server's reason."""
    sio = socketio.AsyncClient(reconnection=False, serializer=parser)
    client = Client(sio, namespace)
    sio.on("*", client.hear, namespace=namespace)
    reasons: list[Any] = []
    sio.on("connect_error", reasons.append, namespace=namespace)
    try:
        await sio.connect(
            url,
            transports=["websocket"],
            namespaces=[namespace],
            auth={"token": token} if token is not None else None,
        )
        await client.until("welcome")
        yield client
    except socketio.exceptions.ConnectionError as error:
        raise RefusedError(reasons[0] if reasons else str(error)) from error
    finally:
        loops = {sio.eio.read_loop_task, sio.eio.write_loop_task} - {None}
        await sio.shutdown()
        # Of a line that the server cut, the library's writer waits on until the next ping is due.
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        if sio.eio.http is not None:
            await sio.eio.http.close()


class RefusedError(Exception):
    """The connect was refused; `reason` is what the server said."""

    def __init__(self, reason: Any) -> None:
        super().__init__(str(reason))
        self.reason = reason
