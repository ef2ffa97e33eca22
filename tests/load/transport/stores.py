"""The MongoDB and the Valkey that our server keeps things in, away from the server's core."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from server.embedded import embedded
from tests.load.transport import cores


@dataclass(frozen=True, slots=True)
class Stores:
    """Where they are."""

    mongo_url: str
    redis_url: str
    pids: dict[str, int]
    home: Path
    """A directory for keys and logs, removed afterwards."""


@contextmanager
def started() -> Iterator[Stores]:
    """Run both for as long as the context lasts."""
    with (
        tempfile.TemporaryDirectory(prefix="gemgem-bench-") as home,
        asyncio.Runner() as runner,
    ):
        context = embedded()
        with cores.on(cores.everybody_else()):
            servers = runner.run(context.__aenter__())
        pids = {"valkey": servers.valkey, "mongod": servers.mongod}
        try:
            yield Stores(
                servers.mongo_url,
                servers.redis_url,
                {name: server.pid for name, server in pids.items() if server is not None},
                Path(home),
            )
        finally:
            runner.run(context.__aexit__(None, None, None))
