"""The servers that are measured: how each is started, reached and stopped."""

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO

import pymongo
import redis

from config.clock import SystemClock
from models.accounts.records import Role
from models.accounts.tokens import create_dev_key, mint
from tests.load.transport import cores
from tests.load.transport.door import ColyseusDoor, Door, SocketIoDoor
from tests.load.transport.speech import DIALECTS
from tests.load.transport.stores import Stores

ROOT = Path(__file__).resolve().parents[3]
NODE = Path(__file__).with_name("node")
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
    needs: str | None = None
    """What is missing to run it, if something is."""

    def running(self, stores: Stores) -> "contextmanager[Running]":
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
            http = HTTPConnection(HOST, port, timeout=2)
            http.request("GET", path)
            if http.getresponse().status == 200:
                return
        except (OSError, HTTPException):
            pass
        time.sleep(0.05)
    words = log.read_text(errors="replace").strip().splitlines()[-3:]
    raise ServerError(f"not ready: {' / '.join(words) or 'it said nothing'}")


def run_gemgem(peer: Peer, stores: Stores) -> Iterator[Running]:
    """Run our server, and its flusher on another core; what they stored is dropped afterwards."""
    with ExitStack() as stack:
        home = stores.home
        key, log = home / "key.pem", home / "gemgem.log"
        create_dev_key(key)
        name = f"bench_{uuid.uuid4().hex[:8]}"
        environment = {
            "GEMGEM_MONGO_URL": stores.mongo_url,
            "GEMGEM_REDIS_URL": stores.redis_url,
            "GEMGEM_DEV_KEY": str(key),
            "GEMGEM_LOG_LEVEL": "WARNING",
            "GEMGEM_STORE__MONGO_DATABASE": name,
            "GEMGEM_STORE__REDIS_PREFIX": name,
            # One token serves all: signing a thousand would be measured as nothing else.
            "GEMGEM_SOCKET__ACCOUNT_CONNECTIONS": "100000",
        }
        stack.callback(_clear, stores, name)
        port = _free_port()
        ours = [sys.executable, "-m", "server"]
        worker = _start(stack, [*ours, "worker"], environment, cores.everybody_else(), log)
        serve = [*ours, "serve", "--host", HOST, "--port", str(port)]
        server = _start(
            stack,
            serve,
            {**environment, "GEMGEM_STORE__FLUSH": "false"},
            {cores.SERVER_CORE},
            log,
        )
        _wait(server, port, "/ready", log)
        token = mint(key, sub="bench", roles=[Role.GUARDIAN], children=["*"], clock=SystemClock())
        door = SocketIoDoor(HOST, port, DIALECTS[peer.dialect], {"token": token}, scored=True)
        yield Running((HOST, port), server.pid, door, {"flusher": worker.pid, **stores.pids})


def _clear(stores: Stores, name: str) -> None:
    with pymongo.MongoClient[dict[str, object]](stores.mongo_url) as mongo:
        mongo.drop_database(name)
    with redis.Redis.from_url(stores.redis_url) as client:
        client.flushdb()


def run_python(peer: Peer, stores: Stores) -> Iterator[Running]:
    """Run an application of this package."""
    with ExitStack() as stack:
        port, log = _free_port(), stores.home / f"{peer.name}.log"
        module = "tests.load.transport." + ("relay" if peer.name == "gemgem_relay" else "stock")
        command = [sys.executable, "-m", module, "--port", str(port), "--parser", peer.dialect]
        server = _start(stack, command, {}, {cores.SERVER_CORE}, log)
        _wait(server, port, None, log)
        door = SocketIoDoor(HOST, port, DIALECTS[peer.dialect], {}, scored=False)
        yield Running((HOST, port), server.pid, door)


def run_node(peer: Peer, stores: Stores) -> Iterator[Running]:
    """Run a Node.js application of the `node` directory."""
    with ExitStack() as stack:
        port, log = _free_port(), stores.home / f"{peer.name}.log"
        node = shutil.which("node") or "node"
        script = "colyseus.mjs" if peer.dialect == "colyseus" else "socketio.mjs"
        environment = {"PORT": str(port), "PARSER": peer.dialect, "NODE_ENV": "production"}
        server = _start(stack, [node, str(NODE / script)], environment, {cores.SERVER_CORE}, log)
        _wait(server, port, None, log)
        dialect = DIALECTS[peer.dialect]
        door: Door = ColyseusDoor(HOST, port, dialect)
        if peer.dialect != "colyseus":
            door = SocketIoDoor(HOST, port, dialect, {}, scored=False)
        yield Running((HOST, port), server.pid, door)


def gemgem(parser: str) -> Peer:
    """Return our server, everything on."""
    return Peer("gemgem", run_gemgem, parser)
