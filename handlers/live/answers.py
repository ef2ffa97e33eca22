"""What the server answers to an event that has a callback: the content of `ok`."""

from typing import Any, Literal

from typing_extensions import TypedDict

from handlers.live.told import Anchors, Number, Side, Snapshot, State, Summary


class Empty(TypedDict):
    """Done; there is nothing to say."""


class SessionLimits(TypedDict):
    """What a session may have under way."""

    unacked: int
    unacked_bytes: int
    chunk_ms: int


class Opened(TypedDict):
    """To `session:open`."""

    session_id: str
    resume_token: str
    expected: int
    limits: SessionLimits
    motions: list[str]
    config_version: str


class SetOpen(TypedDict):
    """The open set, to a player that resumes."""

    set_no: int
    motion: str
    side: Side
    asked_reps: int


class Resumption(TypedDict):
    """What a player needs to go on."""

    state: State
    paused: bool
    last_set_no: int
    set: SetOpen | None
    result: dict[str, Any] | None


class Resumed(TypedDict):
    """To `session:resume`."""

    outcome: Literal["resumed", "taken_over", "restarted", "sealed"]
    session_id: str
    limits: SessionLimits
    expected: int
    stored: int
    state: Resumption


class ModelNamed(TypedDict):
    """A grading model."""

    id: str
    version: int


class SetStarted(TypedDict):
    """To `set:start`."""

    set_no: int
    anchors: Anchors
    goal: Number
    guide_period_us: int
    model: ModelNamed


class SetEnded(TypedDict):
    """To `set:end`: the PlayRecord."""

    record: dict[str, Any]


class Closed(TypedDict):
    """To `session:close`: the TherapyResult."""

    session_id: str
    child_id: str
    kind: str
    schedule_id: str | None
    sealed: Literal["closed", "abandoned"]
    reason: str | None
    pain: int | None
    effort: int | None
    note: str | None
    opened_us: int
    ended_us: int
    messages: int
    incomplete: bool
    sets: list[dict[str, Any]]
    totals: dict[str, int]
    symmetry: list[dict[str, Any]]
    grade: Number


class ClockTold(TypedDict):
    """To `clock`."""

    t_us: int
    server_us: int


class Listed(TypedDict):
    """To `live:list`."""

    sessions: list[Summary]


class WatchJoined(TypedDict):
    """To `watch:join`."""

    snapshot: Snapshot
    epoch: int
    offset: int
