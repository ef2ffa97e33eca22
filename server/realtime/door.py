"""The way into a namespace: the library's connects and disconnects, and how they are answered."""

import asyncio
from typing import Any

import socketio
from socketio.exceptions import ConnectionRefusedError as Refused

from handlers.errors import as_app_error
from handlers.live.base import LiveNamespace
from models.errors import AppError, ErrorCode


class Door(socketio.AsyncNamespace):  # type: ignore[misc]  # the library has no types
    """Takes a namespace's connects and disconnects from the library; events never come here."""

    def __init__(
        self, room: LiveNamespace[Any], server: socketio.AsyncServer, seconds: float
    ) -> None:
        super().__init__(room.name)
        self._room = room
        self._server = server
        self._seconds = seconds

    async def trigger_event(self, event: str, *args: Any) -> Any:
        """Handle `connect` and `disconnect`, the only two the library triggers."""
        sid = args[0]
        eio_sid = self._server.manager.eio_sid_from_sid(sid, self.namespace)
        if event == "disconnect":
            if eio_sid is not None:
                await self._room.disconnect(eio_sid)
            return None
        try:
            async with asyncio.timeout(self._seconds):
                await self._room.connect(eio_sid, args[2] if len(args) > 2 else None)
        except TimeoutError:
            raise _refused(AppError(ErrorCode.BUSY, "Try again.", retry_ms=1000)) from None
        except Exception as error:
            raise _refused(as_app_error(error, f"connect to {self.namespace}")) from error
        return None


def _refused(error: AppError) -> Refused:
    body = error.body()
    return Refused(body.pop("message"), body)
