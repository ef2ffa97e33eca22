"""What every test gets: real databases of its own, and no task or thread that outlives it."""

import asyncio
import os
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import hypothesis
import motor.frameworks.asyncio
import pymongo
import pytest
import redis

from server.embedded import EmbeddedServers, embedded

# How long an example takes is the machine's: it fails no test.
hypothesis.settings.register_profile("ours", deadline=None)
hypothesis.settings.load_profile("ours")

ALONE = (
    "flows/test_attack.py", "flows/test_chaos.py", "load/test_scoring.py", "load/test_tokens.py",
    "load/test_transport.py",
)  # fmt: skip
"""Files that measure times, or start so much that two of them would not fit beside each other.

Where only some tests of a file do, these are marked there.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what has to run while nothing else does, and let the longest files begin."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).as_posix().startswith(ALONE):
            item.add_marker(pytest.mark.alone)
    # What is allowed more time than others takes it. Last, one core would wait for it.
    long = {item.path for item in items if item.get_closest_marker("timeout")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(autouse=True)
async def no_leaks() -> AsyncIterator[None]:
    """Fail a test that leaves a task or a non-daemon thread behind."""
    before_threads = set(threading.enumerate())
    before_tasks = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    ours = {asyncio.current_task()}  # what runs these lines need not be what ran those above
    left = {task for task in asyncio.all_tasks() - before_tasks - ours if not task.done()}
    assert not left, f"tasks left running: {left}"
    await asyncio.get_running_loop().shutdown_default_executor()
    # Motor's pool is the process's: its threads are idle and made once.
    kept = before_threads | set(motor.frameworks.asyncio._EXECUTOR._threads)
    threads = {t for t in set(threading.enumerate()) - kept if not t.daemon}
    assert not threads, f"threads left running: {threads}"


@pytest.fixture(scope="session")
def start_embedded() -> Iterator[Callable[..., EmbeddedServers]]:
    """Return a function that starts those not given, until the end of the run."""
    with ExitStack() as stack:
        # A loop of its own: each test has another one, and the servers are tied to none.
        runner = stack.enter_context(asyncio.Runner(loop_factory=asyncio.new_event_loop))

        def start(*, mongo_url: str | None = None, redis_url: str | None = None) -> EmbeddedServers:
            context = embedded(mongo_url=mongo_url, redis_url=redis_url)
            servers = runner.run(context.__aenter__())
            stack.callback(lambda: runner.run(context.__aexit__(None, None, None)))
            return servers

        yield start


@pytest.fixture(scope="session")
def mongo_url(start_embedded: Callable[..., EmbeddedServers]) -> str:
    """Return the URL of a real MongoDB replica set, shared by the run."""
    given = os.environ.get("GEMGEM_MONGO_URL")
    return given or start_embedded(redis_url="none of this one").mongo_url


@pytest.fixture(scope="session")
def redis_url(start_embedded: Callable[..., EmbeddedServers]) -> str:
    """Return the URL of a real Valkey with an append-only file, shared by the run."""
    given = os.environ.get("GEMGEM_REDIS_URL")
    return given or start_embedded(mongo_url="none of this one").redis_url


@pytest.fixture(scope="session")
def mongo_admin(mongo_url: str) -> Iterator[pymongo.MongoClient[dict[str, object]]]:
    """Return a synchronous client for what tests set up and clear away."""
    with pymongo.MongoClient[dict[str, object]](mongo_url) as client:
        yield client


@pytest.fixture
def mongo_database(mongo_admin: pymongo.MongoClient[dict[str, object]]) -> Iterator[str]:
    """Return the name of a database that nobody else uses, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    yield name
    mongo_admin.drop_database(name)


@pytest.fixture(scope="session")
def indexed_database(
    mongo_admin: pymongo.MongoClient[dict[str, object]],
) -> Iterator[Callable[[str], AbstractContextManager[str]]]:
    """Return what lends a database by the name of its users, who all make the same indexes.

    It is emptied after each of them and keeps the indexes. They take longer to make than most
    tests, and each database that was dropped slows mongod down for the rest of the run.
    """
    run = uuid.uuid4().hex

    @contextmanager
    def lend(users: str) -> Iterator[str]:
        name = f"test_{users}_{run}"
        yield name
        database = mongo_admin[name]
        for collection in database.list_collection_names():
            database[collection].delete_many({})

    yield lend
    for name in mongo_admin.list_database_names():
        if name.endswith(run):
            mongo_admin.drop_database(name)


@pytest.fixture
def redis_prefix(redis_url: str) -> Iterator[str]:
    """Return the beginning of key names that nobody else uses, cleared afterwards."""
    prefix = f"test:{uuid.uuid4().hex}"
    yield prefix
    with redis.Redis.from_url(redis_url) as client:
        if keys := list(client.scan_iter(match=f"{prefix}*", count=1000)):
            client.unlink(*keys)
