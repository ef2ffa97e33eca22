"""Event names and payloads: the one source of the Socket.IO contract."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

PROTOCOL = 1

Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:@-]+$")]
Seq = Annotated[int, Field(ge=0, lt=2**53)]
Micros = Annotated[int, Field(ge=0, lt=2**63)]
Text = Annotated[str, Field(max_length=500)]


class Payload(BaseModel):
    """What a client sends: strict, frozen, nothing unknown in it."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class SessionOpen(Payload):
    """`session:open`: a child sits down."""

    child_id: Id
    kind: Literal["therapy", "free"]
    schedule_id: Id | None = None
    space: Literal["world", "image"]
    fps: Annotated[float, Field(ge=5, le=120)]
    smoothing: bool = False
    app_version: Annotated[str, Field(max_length=64)]
    tz: Annotated[str, Field(max_length=64)] | None = None
    client_key: Annotated[UUID, Field(strict=False)]


class SessionResume(Payload):
    """`session:resume`: the same session through another connection, on any worker."""

    session_id: Id
    resume_token: Annotated[str, Field(min_length=1, max_length=64)]


class SetStart(Payload):
    """`set:start`: one motion, one hand."""

    set_no: Annotated[int, Field(ge=1, le=10_000)]
    motion: Annotated[str, Field(max_length=32)]
    side: Literal["left", "right"]
    asked_reps: Annotated[int, Field(ge=1, le=1000)]
    asked_hold_s: Annotated[float, Field(gt=0, le=600)] | None = None
    guide_t0_us: Micros
    difficulty: Annotated[int, Field(ge=1, le=10)] | None = None


class SetEnd(Payload):
    """`set:end`."""

    set_no: Annotated[int, Field(ge=1, le=10_000)]


class SessionPause(Payload):
    """`session:pause`: frames are kept, not scored, while paused."""

    paused: bool
    reason: Text | None = None


class SessionClose(Payload):
    """`session:close`."""

    reason: Annotated[str, Field(max_length=64)]
    pain: Annotated[int, Field(ge=0, le=10)] | None = None
    effort: Annotated[int, Field(ge=0, le=10)] | None = None
    note: Text | None = None


class ClockAsk(Payload):
    """`clock`: the device's clock against the server's."""

    t_us: Micros


class TokenRenew(Payload):
    """`token:renew`."""

    token: Annotated[str, Field(max_length=8192)]


class Nothing(Payload):
    """An event without a payload."""


class WatchJoin(Payload):
    """`watch:join`."""

    session_id: Id
    max_fps: Annotated[float, Field(gt=0, le=120)] = 30
    reason: Text | None = None


class WatchLeave(Payload):
    """`watch:leave`."""

    session_id: Id


def plain(payload: BaseModel) -> dict[str, Any]:
    """Return a payload as plain JSON types, as it is stored."""
    return payload.model_dump(mode="json")
