"""The servers that are measured: how each is started, reached and stopped."""

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO

import pymongo
import redis

from config.clock import SystemClock
from models.accounts.records import Role
from models.accounts.tokens import create_dev_key, mint
from tests.load.transport import cores, packages
from tests.load.transport.door import ColyseusDoor, Door, SocketIoDoor
from tests.load.transport.speech import DIALECTS
from tests.load.transport.stores import Stores

ROOT = Path(__file__).resolve().parents[3]
READY_S = 45.0
STOP_S = 15.0
HOST = "127.0.0.1"


class ServerError(Exception):
    """A server does not run. The text says why, as its log does."""


@dataclass(slots=True)
class Running:
    """A server under load."""

    url: tuple[str, int]
    pid: int
    door: Door
    others: dict[str, int] = field(default_factory=dict)
    """Processes that work for it, by name."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that can be started."""

    name: str
    run: Callable[["Peer", Stores], "Iterator[Running]"]
    dialect: str

    def running(self, stores: Stores) -> AbstractContextManager[Running]:
        """Run it alone on its core for as long as the context lasts."""
        return contextmanager(self.run)(self, stores)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _start(
    stack: ExitStack, command: list[str], environment: Mapping[str, str], cpus: set[int], log: Path
) -> "subprocess.Popen[bytes]":
    """Start a child that ends, at the latest, with the stack."""
    file: IO[bytes] = stack.enter_context(log.open("ab"))
    with cores.on(cpus):
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            start_new_session=True,
        )
    stack.callback(_stop, child)
    cores.rank(child.pid, os.getpriority(os.PRIO_PROCESS, 0))  # in a session of its own
    return child


def _stop(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _wait(child: "subprocess.Popen[bytes]", port: int, path: str | None, log: Path) -> None:
    """Wait until a port is open, and, where a path is given, says that it is ready."""
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        if child.poll() is not None:
            break
        try:
            if path is None:
                socket.create_connection((HOST, port), timeout=1).close()
                return
            with closing(HTTPConnection(HOST, port, timeout=2)) as http:
                http.request("GET", path)
                if http.getresponse().status == HTTPStatus.OK:
                    return
        except (OSError, HTTPException):
            pass
        time.sleep(0.05)
    words = log.read_text(errors="replace").strip().splitlines()[-3:]
    raise ServerError(f"not ready: {' / '.join(words) or 'it said nothing'}")


def _signed(stores: Stores) -> tuple[dict[str, str], dict[str, str]]:
    """Return the environment of a server of ours, and the auth its clients give."""
    key = stores.home / "key.pem"
    create_dev_key(key)
    environment = {
        "GEMGEM_DEV_KEY": str(key),
        "GEMGEM_LOG_LEVEL": "WARNING",
        # One token serves all: a thousand signatures more would tell nothing of the load.
        "GEMGEM_SOCKET__ACCOUNT_CONNECTIONS": "100000",
    }
    token = mint(key, sub="bench", roles=[Role.GUARDIAN], children=["*"], clock=SystemClock())
    return environment, {"token": token}


def run_gemgem(peer: Peer, stores: Stores) -> Iterator[Running]:
    """Run our server, and its flusher on another core; what they stored is dropped afterwards."""
    with ExitStack() as stack:
        log, port = stores.home / "gemgem.log", _free_port()
        name = f"bench_{uuid.uuid4().hex[:8]}"
        signed, auth = _signed(stores)
        environment = {
            **signed,
            "GEMGEM_MONGO_URL": stores.mongo_url,
            "GEMGEM_REDIS_URL": stores.redis_url,
            "GEMGEM_STORE__MONGO_DATABASE": name,
            "GEMGEM_STORE__REDIS_PREFIX": name,
        }
        stack.callback(_clear, stores, name)
        ours = [sys.executable, "-m", "server"]
        worker = _start(stack, [*ours, "worker"], environment, cores.everybody_else(), log)
        serve = [*ours, "serve", "--host", HOST, "--port", str(port)]
        unflushed = {**environment, "GEMGEM_STORE__FLUSH": "false"}
        server = _start(stack, serve, unflushed, {cores.SERVER_CORE}, log)
        _wait(server, port, "/ready", log)
        door = SocketIoDoor(HOST, port, DIALECTS[peer.dialect], auth, scored=True)
        yield Running((HOST, port), server.pid, door, {"flusher": worker.pid, **stores.pids})


def _clear(stores: Stores, name: str) -> None:
    with pymongo.MongoClient[dict[str, object]](stores.mongo_url) as mongo:
        mongo.drop_database(name)
    with redis.Redis.from_url(stores.redis_url) as client:
        if keys := list(client.scan_iter(match=f"{name}*", count=1000)):
            client.unlink(*keys)


def run_relay(peer: Peer, stores: Stores) -> Iterator[Running]:
    """Run the relay on our own transport."""
    environment, auth = _signed(stores)
    return _run_python(peer, stores, "relay", environment, auth)


def run_stock(peer: Peer, stores: Stores) -> Iterator[Running]:
    """Run the relay on python-socketio."""
    return _run_python(peer, stores, "stock", {}, {})


def _run_python(
    peer: Peer, stores: Stores, module: str, environment: dict[str, str], auth: dict[str, str]
) -> Iterator[Running]:
    with ExitStack() as stack:
        port, log = _free_port(), stores.home / f"{peer.name}.log"
        module = f"tests.load.transport.{module}"
        command = [sys.executable, "-m", module, "--port", str(port), "--parser", peer.dialect]
        server = _start(stack, command, environment, {cores.SERVER_CORE}, log)
        _wait(server, port, None, log)
        door = SocketIoDoor(HOST, port, DIALECTS[peer.dialect], auth, scored=False)
        yield Running((HOST, port), server.pid, door)


def run_node(peer: Peer, stores: Stores) -> Iterator[Running]:
    """Run a relay of the `node` directory."""
    with ExitStack() as stack:
        port, log = _free_port(), stores.home / f"{peer.name}.log"
        colyseus = peer.dialect == "colyseus"
        script = packages.HOME / ("colyseus.mjs" if colyseus else "socketio.mjs")
        environment = {"PORT": str(port), "PARSER": peer.dialect, "NODE_ENV": "production"}
        command = [packages.node(), str(script)]
        server = _start(stack, command, environment, {cores.SERVER_CORE}, log)
        _wait(server, port, None, log)
        dialect = DIALECTS[peer.dialect]
        door: Door = ColyseusDoor(HOST, port, dialect)
        if not colyseus:
            door = SocketIoDoor(HOST, port, dialect, {}, scored=False)
        yield Running((HOST, port), server.pid, door)


def gemgem(parser: str) -> Peer:
    """Return our server, everything on."""
    return Peer("gemgem", run_gemgem, parser)


def peers(parser: str) -> dict[str, Peer]:
    """Return all that are measured, in the order of the table.

    Args:
        parser: which of the two our own servers are spoken to by.
    """
    found = (
        gemgem(parser),
        Peer("gemgem_relay", run_relay, parser),
        Peer("socketio_python", run_stock, "default"),
        Peer("socketio_node", run_node, "default"),
        Peer("socketio_node_msgpack", run_node, "msgpack"),
        Peer("colyseus", run_node, "colyseus"),
        Peer("gemgem_default", run_gemgem, "default"),
        Peer("gemgem_relay_default", run_relay, "default"),
        Peer("socketio_python_msgpack", run_stock, "msgpack"),
    )
    return {peer.name: peer for peer in found}
