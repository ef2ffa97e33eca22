"""What handlers may reach: one frozen dataclass, built by the composition."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from config.clock import Clock
from config.settings import Settings
from models.accounts.accounts import Accounts
from models.accounts.records import Principal
from models.accounts.tokens import Verifier
from models.answers import Answers
from models.children.access import Visit
from models.limits import Gate
from models.play.repo import PlayRepo
from sessions.directory import Directory
from sessions.engine import Engine
from sessions.registry import Registry
from sessions.relay import Relay

ChildDoor = Callable[[Principal, str, Visit], Awaitable[None]]
"""Lets somebody through to a child, or raises `not_found`."""


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything a handler may call."""

    settings: Settings
    version: str
    node: str
    clock: Clock
    verifier: Verifier
    engine: Engine
    registry: Registry
    relay: Relay
    directory: Directory
    repo: PlayRepo
    gate: Gate
    answers: Answers
    accounts: Accounts
    door: ChildDoor
