"""The servers that are measured: how each is started, reached and cleared away."""

import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field

import pymongo
import redis

from config.clock import SystemClock
from models.accounts.records import Role
from models.accounts.tokens import create_dev_key, mint
from tests.load.transport import cores, packages
from tests.load.transport.child import HOST, Child, free_port
from tests.load.transport.door import ColyseusDoor, Door, SocketIoDoor
from tests.load.transport.speech import DIALECTS
from tests.load.transport.stores import Stores


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


def _start(
    stack: ExitStack,
    stores: Stores,
    command: Sequence[str],
    environment: Mapping[str, str],
    cpus: set[int],
) -> Child:
    """Start a child that ends, at the latest, with the stack."""
    child = Child(stores.home / uuid.uuid4().hex[:8], command, environment, cpus)
    stack.callback(child.stop)
    return child


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
        port = free_port()
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
        others = cores.everybody_else()
        worker = _start(stack, stores, [*ours, "worker"], environment, others)
        serve = [*ours, "serve", "--host", HOST, "--port", str(port)]
        unflushed = {**environment, "GEMGEM_STORE__FLUSH": "false"}
        server = _start(stack, stores, serve, unflushed, {cores.SERVER_CORE})
        server.until_ready(port, "/ready")
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
        port = free_port()
        module = f"tests.load.transport.{module}"
        command = [sys.executable, "-m", module, "--port", str(port), "--parser", peer.dialect]
        server = _start(stack, stores, command, environment, {cores.SERVER_CORE})
        server.until_ready(port)
        door = SocketIoDoor(HOST, port, DIALECTS[peer.dialect], auth, scored=False)
        yield Running((HOST, port), server.pid, door)


def run_node(peer: Peer, stores: Stores) -> Iterator[Running]:
    """Run a relay of the `node` directory."""
    with ExitStack() as stack:
        port = free_port()
        colyseus = peer.dialect == "colyseus"
        script = packages.HOME / ("colyseus.mjs" if colyseus else "socketio.mjs")
        environment = {"PORT": str(port), "PARSER": peer.dialect, "NODE_ENV": "production"}
        command = [packages.node(), str(script)]
        server = _start(stack, stores, command, environment, {cores.SERVER_CORE})
        server.until_ready(port)
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
