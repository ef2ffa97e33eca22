"""How connections are made: many at a time, step by step, each step waiting for all of them."""

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection
from typing import Any, TypeVar

from tests.load.transport.conn import Conn, Heard
from tests.load.transport.motion import T0_US
from tests.load.transport.speech import GAME, WATCH, Dialect
from tests.load.transport.wire import WireError

BATCH = 50
RETRY_S = 0.25
RETRIES = 60
T = TypeVar("T")
Pump = Callable[[float], None]
"""Hears what the connections made before are told, for so many seconds."""


class Door(ABC):
    """Makes players, watchers and idle connections of one server."""

    scored = False
    """Whether it scores and keeps what it is sent."""

    def __init__(self, host: str, port: int, dialect: Dialect) -> None:
        self.host = host
        self.port = port
        self.dialect = dialect
        self.heard = Heard()
        self._made: list[Conn] = []

    def players(self, count: int, pump: Pump) -> list[Conn]:
        """Return so many connections, each with a session of its own."""
        return [c for some in self._batches(range(count), pump) for c in self._players(len(some))]

    def watchers(self, players: Sequence[Conn], pump: Pump) -> list[Conn]:
        """Return a watcher for each player."""
        return [c for some in self._batches(players, pump) for c in self._watchers(some, pump)]

    def idle(self, count: int, pump: Pump) -> list[Conn]:
        """Return so many connections that joined and have no session."""
        return [c for some in self._batches(range(count), pump) for c in self._joined(len(some))]

    def close(self) -> None:
        """Hang up everywhere."""
        for conn in self._made:
            conn.close()
        self._made.clear()

    @staticmethod
    def _batches(items: Sequence[T], pump: Pump) -> Iterator[Sequence[T]]:
        for at in range(0, len(items), BATCH):
            pump(0.0)
            yield items[at : at + BATCH]

    @abstractmethod
    def _players(self, count: int) -> list[Conn]: ...

    @abstractmethod
    def _watchers(self, players: Sequence[Conn], pump: Pump) -> list[Conn]: ...

    @abstractmethod
    def _joined(self, count: int) -> list[Conn]: ...

    def _connected(self, paths: Sequence[str]) -> list[Conn]:
        conns = []
        for _ in paths:
            conns.append(Conn(self.dialect, self.host, self.port, self.heard))
            self._made.append(conns[-1])
        asked = [
            conn.upgrade(self.host, self.port, path)
            for conn, path in zip(conns, paths, strict=True)
        ]
        for conn, handshake in zip(conns, asked, strict=True):
            conn.upgraded(handshake)
        return conns

    @staticmethod
    def _step(
        conns: Sequence[Conn],
        wires: Sequence[bytes],
        wanted: Callable[[int, bytes], T | None],
    ) -> list[T]:
        """Say something on every connection, then wait for what is wanted of each."""
        for conn, wire in zip(conns, wires, strict=True):
            conn.say(wire)
        found = []
        for conn in conns:
            got: T | None = None
            while not got:
                for message in conn.hear():
                    got = got or wanted(*message)
            found.append(got)
        return found


class SocketIoDoor(Door):
    """Makes connections of a Socket.IO server.

    Args:
        auth: what joining a namespace takes.
        scored: whether the server scores: then it is told of a set.
    """

    def __init__(
        self, host: str, port: int, dialect: Dialect, auth: dict[str, Any], *, scored: bool
    ) -> None:
        super().__init__(host, port, dialect)
        self.scored = scored
        self._auth = auth
        self._count = 0

    def _joined(self, count: int, namespace: str = GAME) -> list[Conn]:
        conns = self._connected([self.dialect.path] * count)
        join = self.dialect.join(namespace, self._auth)
        self._step(conns, [join] * count, self.dialect.joined)
        return conns

    def _players(self, count: int) -> list[Conn]:
        conns = self._joined(count)
        asked = [
            self.dialect.event(GAME, "session:open", [self._opening()], 1) for _ in range(count)
        ]
        for conn, answer in zip(
            conns, self._step(conns, asked, self.dialect.answered), strict=True
        ):
            conn.session_id = _ok(answer, "session:open")["session_id"]
        if self.scored:
            start = {
                "set_no": 1,
                "motion": "fist",
                "side": "right",
                "asked_reps": 1000,
                "guide_t0_us": T0_US,
            }
            wire = self.dialect.event(GAME, "set:start", [0, start], 2)
            for answer in self._step(conns, [wire] * count, self.dialect.answered):
                _ok(answer, "set:start")
            for conn in conns:
                conn.seq = 1
        return conns

    def _opening(self) -> dict[str, Any]:
        self._count += 1
        return {
            "child_id": f"child-{self._count}",
            "kind": "free",
            "space": "world",
            "fps": 30.0,
            "app_version": "bench",
            "client_key": str(uuid.uuid4()),
        }

    def _watchers(self, players: Sequence[Conn], pump: Pump) -> list[Conn]:
        conns = self._joined(len(players), WATCH)
        for conn, player in zip(conns, players, strict=True):
            conn.player = player
        waiting = list(conns)
        for _ in range(RETRIES):
            wires = [self._watch(conn) for conn in waiting]
            answers = self._step(waiting, wires, self.dialect.answered)
            waiting = [c for c, a in zip(waiting, answers, strict=True) if "ok" not in a]
            if not waiting:
                return conns
            pump(RETRY_S)  # a live list is told once a second
        raise WireError(f"watch:join: {answers[0]}")

    def _watch(self, conn: Conn) -> bytes:
        if conn.player is None:
            raise ValueError("a watcher watches somebody")
        # At 30 a frame that came a little early would be held back until it is time.
        asked = {"session_id": conn.player.session_id, "max_fps": 120}
        return self.dialect.event(WATCH, "watch:join", [asked], 3)


class ColyseusDoor(Door):
    """Makes connections of a Colyseus server: a seat is booked over HTTP, then taken."""

    _lobby: str | None = None

    def _seat(self, method: str, name: str, options: dict[str, Any]) -> tuple[str, str]:
        """Book a seat; return the room and the path of its WebSocket."""
        http = HTTPConnection(self.host, self.port, timeout=20)
        headers = {"Content-Type": "application/json"}
        http.request("POST", f"/matchmake/{method}/{name}", json.dumps(options), headers)
        answer = json.loads(http.getresponse().read())
        http.close()
        if "sessionId" not in answer:
            raise WireError(f"no seat: {answer}")
        room = answer.get("room", answer)
        path = f"/{room['processId']}/{room['roomId']}?sessionId={answer['sessionId']}"
        return room["roomId"], path

    def _take(self, seats: Sequence[tuple[str, str]]) -> list[Conn]:
        conns = self._connected([path for _, path in seats])
        self._step(conns, [b""] * len(conns), self.dialect.joined)
        for conn, (room, _) in zip(conns, seats, strict=True):
            conn.say(self.dialect.join(GAME, {}))
            conn.session_id = room
        return conns

    def _players(self, count: int) -> list[Conn]:
        return self._take([self._seat("create", "session", {}) for _ in range(count)])

    def _joined(self, count: int) -> list[Conn]:
        if self._lobby is None:
            # One room for all that play nothing: what a room takes is a session's, not theirs.
            self._lobby, path = self._seat("create", "session", {})
            seats = [(self._lobby, path)]
        else:
            seats = []
        seats += [self._seat("joinById", self._lobby, {}) for _ in range(count - len(seats))]
        return self._take(seats)

    def _watchers(self, players: Sequence[Conn], pump: Pump) -> list[Conn]:
        seats = [self._seat("joinById", p.session_id, {"watch": True}) for p in players]
        conns = self._take(seats)
        for conn, player in zip(conns, players, strict=True):
            conn.player = player
        return conns


def _ok(answer: dict[str, Any], event: str) -> dict[str, Any]:
    if "ok" not in answer:
        raise WireError(f"{event}: {answer}")
    ok: dict[str, Any] = answer["ok"]
    return ok
