"""What a session is made of: where it stands, what it is sent, whom it tells."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from models.errors import AppError


class Player(Protocol):
    """The connection a session is played through."""

    def send(self, event: str, *args: object) -> None:
        """Send an event; never waits."""
        ...

    def tell(self, event: str, body: bytes) -> None:
        """Send an event whose argument is msgpack already; never waits."""
        ...

    def end(self, event: str, error: AppError) -> None:
        """Tell why in `event` (`closed`, `superseded`), then close the connection."""
        ...


class State(Enum):
    """Where a session stands."""

    IDLE = "idle"
    PLAYING = "playing"
    SEALED = "sealed"


TRANSITIONS: dict[tuple[State, str], State] = {
    (State.IDLE, "set:start"): State.PLAYING,
    (State.PLAYING, "set:end"): State.IDLE,
    (State.IDLE, "session:pause"): State.IDLE,
    (State.PLAYING, "session:pause"): State.PLAYING,
    (State.IDLE, "session:close"): State.SEALED,
    (State.PLAYING, "session:close"): State.SEALED,
    (State.IDLE, "abandon"): State.SEALED,
    (State.PLAYING, "abandon"): State.SEALED,
}
"""What may happen when; anything else is refused with `conflict`. `abandon` is the server's own."""


@dataclass(slots=True)
class Message:
    """A numbered message. `error` is set when the edge found it malformed."""

    seq: int
    event: str
    payload: Any
    error: AppError | None = None
    size: int = 0
    """What it counts for in the session's room, bytes."""
