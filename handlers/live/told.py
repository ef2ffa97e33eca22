"""What the server says by itself: the arguments of each event, in both namespaces."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from models.errors import ErrorCode

Side = Literal["left", "right"]
State = Literal["idle", "playing", "sealed"]


class Limits(TypedDict):
    """What one connection may send."""

    message_bytes: int
    messages_s: int
    bytes_s: int
    unacked: int


class Welcome(TypedDict):
    """The first thing after CONNECT."""

    protocol: int
    server_version: str
    node: str
    limits: Limits
    time_us: int


class Reason(TypedDict):
    """Why a connection ends."""

    code: ErrorCode
    message: str
    details: NotRequired[dict[str, Any]]
    retry_ms: NotRequired[int]


class SlowDown(TypedDict):
    """More came than the limits allow: send nothing for so long."""

    delay_ms: int


class Draining(TypedDict):
    """This worker stops: connect again after the delay."""

    retry_after_ms: int


class Marks(TypedDict):
    """How far everything got: the highest `seq` of each, -1 for none."""

    buffered: int
    stored: int


class Gap(TypedDict):
    """A `frames` message came too early: send again from here."""

    expected: int


class Refused(TypedDict):
    """A message sent without a callback was not accepted."""

    seq: int
    code: ErrorCode
    message: str
    details: NotRequired[dict[str, Any]]
    retry_ms: NotRequired[int]


class Score(TypedDict):
    """The set as it stands at its latest accepted frame."""

    set_no: int
    t_us: int
    z: float
    sim: float | None
    quality: float
    full: int
    partial: int
    held: NotRequired[float]


class Peak(TypedDict):
    """A peak has passed, a hold has begun or a step was made."""

    set_no: int
    rep_no: int
    t_us: int
    z: float
    step: NotRequired[int]
    in_order: NotRequired[bool]


Number = float | None
Rep = TypedDict(
    "Rep",
    {
        "set_no": int,
        "rep_no": int,
        "class": Literal["full", "partial", "rejected", "interrupted"],
        "reason": NotRequired[str],
        "t_us": int,
        "amplitude": Number,
        "completeness": float,
        "t_on": Number,
        "t_off": Number,
        "duration": Number,
        "dwell": Number,
        "peak_speed": Number,
        "mean_speed": Number,
        "sparc": Number,
        "ldlj": Number,
        "shape": Number,
        "finger_rom": dict[str, Number] | None,
        "timing_error": Number,
        "steadiness": NotRequired[Number],
        "drift": NotRequired[Number],
        "tremor_rms": NotRequired[Number],
        "tremor_ratio": NotRequired[Number],
        "tremor_peak": NotRequired[Number],
        "tremor_below_floor": NotRequired[bool | None],
        "steps": NotRequired[int],
    },
)
"""A repetition, hold or sequence is over and judged."""


class Words(TypedDict):
    """A sentence in both languages."""

    ko: str
    en: str


class Advice(TypedDict):
    """Tracking became bad, or bad in another way."""

    code: str
    text: Words


class Summary(TypedDict):
    """A session in a live list."""

    session_id: str
    alias: str
    kind: str
    motion: str | None
    side: Side | None
    set_no: int | None
    asked_reps: int | None
    full: int
    partial: int
    quality: Number
    started_us: int
    state: State


class Live(TypedDict):
    """What changed in the live list."""

    added: list[Summary]
    changed: list[Summary]
    removed: list[str]


class Anchors(TypedDict):
    """Where the signal rests and where it is to go, in its own unit."""

    rest: float
    target: float
    source: str


class SetShown(TypedDict):
    """The open set, to a watcher."""

    set_no: int
    motion: str
    side: Side
    asked_reps: int
    anchors: Anchors
    goal: Number


class RecordShown(TypedDict):
    """A finished set, to a watcher."""

    set_no: int
    motion: str
    grade: Number
    stars: int | None
    full: int
    partial: int


class Snapshot(TypedDict):
    """What a watcher starts from."""

    session_id: str
    alias: str
    state: State
    set: SetShown | None
    reps: list[Rep]
    score: Score | None
    quality: Number
    frames: dict[str, bytes | None]
    trace: list[list[float]]
    records: list[RecordShown]
    time_us: int


class SnapshotTold(TypedDict):
    """A fresh start."""

    session_id: str
    snapshot: Snapshot
    epoch: int
    offset: int


class Extra(TypedDict):
    """What came with a frame message of the feed."""

    sent_us: int
    score: NotRequired[Score]
    peak: NotRequired[Peak]
    rep: NotRequired[Rep]


Offset = Annotated[int, Field(description="Counts up by one; a hole was left out for you.")]
Frames = Annotated[bytes, Field(description="A frame message, empty when none belongs to it.")]


class Ended(TypedDict):
    """A watched session is over."""

    session_id: str
    result: dict[str, Any]
