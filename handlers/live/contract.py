"""The table of the live protocol: every event of every namespace, who may send it, what it says.

The namespaces dispatch by their own tables; `check_live` compares the two when the server starts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field

from handlers.live import answers, told
from handlers.live.base import Event, LiveNamespace
from handlers.live.protocol import (
    ClockAsk,
    Nothing,
    Seq,
    SessionClose,
    SessionOpen,
    SessionPause,
    SessionResume,
    SetEnd,
    SetStart,
    TokenRenew,
    WatchJoin,
    WatchLeave,
)
from models.accounts.records import Role

PLAYERS = frozenset({Role.GUARDIAN, Role.CHILD})
WATCHERS = frozenset({Role.THERAPIST, Role.GUARDIAN, Role.ADMIN})
FrameBytes = Annotated[bytes, Field(description="A frame message: docs/protocol.md, byte by byte.")]


class ContractError(Exception):
    """The live namespaces are not what the table says. The message names each difference."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An event a client sends."""

    roles: frozenset[Role]
    """Who may send it."""
    payload: Any
    """A model, or bytes."""
    answer: Any
    numbered: bool = False

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What stands after the event's name."""
        return (Seq, self.payload) if self.numbered else (self.payload,)


@dataclass(frozen=True, slots=True)
class Said:
    """An event the server sends."""

    arguments: tuple[Any, ...]
    summary: str


def _playing(payload: Any, answer: Any, *, numbered: bool = False) -> Sent:
    return Sent(PLAYERS, payload, answer, numbered)


def _watching(payload: Any, answer: Any) -> Sent:
    return Sent(WATCHERS, payload, answer)


CLIENT: Mapping[str, Mapping[str, Sent]] = MappingProxyType(
    {
        "/game": {
            "session:open": _playing(SessionOpen, answers.Opened),
            "session:resume": _playing(SessionResume, answers.Resumed),
            "set:start": _playing(SetStart, answers.SetStarted, numbered=True),
            "frames": _playing(FrameBytes, answers.Empty, numbered=True),
            "set:end": _playing(SetEnd, answers.SetEnded, numbered=True),
            "session:pause": _playing(SessionPause, answers.Empty, numbered=True),
            "session:close": _playing(SessionClose, answers.Closed, numbered=True),
            "clock": _playing(ClockAsk, answers.ClockTold),
            "token:renew": _playing(TokenRenew, answers.Empty),
        },
        "/watch": {
            "live:list": _watching(Nothing, answers.Listed),
            "watch:join": _watching(WatchJoin, answers.WatchJoined),
            "watch:leave": _watching(WatchLeave, answers.Empty),
            "token:renew": _watching(TokenRenew, answers.Empty),
        },
    }
)
"""What clients send, by namespace."""

_BOTH: Mapping[str, Said] = MappingProxyType(
    {
        "welcome": Said((told.Welcome,), "The first thing after CONNECT."),
        "closed": Said((told.Reason,), "The server ends this connection."),
        "revoked": Said((told.Reason,), "The sign-in of this connection was withdrawn."),
        "slow_down": Said((told.SlowDown,), "More came than the limits allow."),
        "draining": Said((told.Draining,), "This worker stops."),
    }
)

SERVER: Mapping[str, Mapping[str, Said]] = MappingProxyType(
    {
        "/game": {
            **_BOTH,
            "ack": Said((told.Marks,), "A mark moved."),
            "gap": Said((told.Gap,), "A `frames` message came too early."),
            "refused": Said((told.Refused,), "A message without a callback was not accepted."),
            "score": Said((told.Score,), "The set as it stands, now and then."),
            "peak": Said((told.Peak,), "A peak, the begin of a hold, or a step."),
            "rep": Said((told.Rep,), "A repetition, hold or sequence is over and judged."),
            "advice": Said((told.Advice,), "Tracking became bad, or bad in another way."),
            "superseded": Said((told.Reason,), "The session goes on elsewhere."),
        },
        "/watch": {
            **_BOTH,
            "live": Said((told.Live,), "What changed in the live list."),
            "feed": Said((str, told.Offset, told.Frames, told.Extra), "A step of a feed."),
            "snapshot": Said((told.SnapshotTold,), "A fresh start of a feed."),
            "ended": Said((told.Ended,), "A watched session is over."),
        },
    }
)
"""What the server says, by namespace."""


def check_live(namespaces: Iterable[LiveNamespace[Any]]) -> None:
    """Compare the namespaces with the table.

    Raises:
        ContractError: an event is served that no policy is declared for, or served otherwise.
    """
    faults = [fault for namespace in namespaces for fault in _faults(namespace)]
    if faults:
        raise ContractError(f"handlers/live/contract.py: {'; '.join(faults)}.")


def _faults(namespace: LiveNamespace[Any]) -> list[str]:
    name, declared = namespace.name, CLIENT.get(namespace.name, {})
    found = [
        f"{name} {event} has no declared policy" for event in namespace.table.keys() - declared
    ]
    found += [
        f"{name} {event} is declared, not served" for event in declared.keys() - namespace.table
    ]
    for event in namespace.table.keys() & declared:
        differences = _differences(namespace.table[event], declared[event], namespace.roles)
        found += [f"{name} {event} {difference}" for difference in differences]
    return sorted(found)


def _differences(row: Event, said: Sent, roles: frozenset[Role]) -> list[str]:
    found = []
    if row.numbered != said.numbered:
        found.append("is numbered in one table alone")
    if row.payload is not None and row.payload is not said.payload:
        found.append(f"takes {row.payload.__name__}")
    if said.roles != roles:
        found.append("is for other roles than its namespace lets in")
    return found
