"""A real MongoDB and a real Valkey as child processes, for laptops, demonstrations and tests."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from server.embedded.mongod import Mongod
from server.embedded.process import EmbeddedError, EmbeddedServer
from server.embedded.valkey import ValkeyServer

__all__ = [
    "EmbeddedError",
    "EmbeddedServer",
    "EmbeddedServers",
    "Mongod",
    "ValkeyServer",
    "embedded",
]


@dataclass(frozen=True, slots=True)
class EmbeddedServers:
    """Where the two databases are, and the processes behind those that are ours."""

    mongo_url: str
    redis_url: str
    mongod: Mongod | None
    valkey: ValkeyServer | None


@asynccontextmanager
async def embedded(
    data_dir: Path | None = None,
    *,
    mongo_url: str | None = None,
    redis_url: str | None = None,
    library_path: str | None = None,
) -> AsyncIterator[EmbeddedServers]:
    """Run the two servers for as long as the context lasts, and yield once both are ready.

    A URL that is given wins: that server is somebody else's and is not started. Data lies in
    `data_dir`, which comes up again with what it held, or in a temporary directory removed at
    the end. `library_path` is where mongod alone finds system libraries unpacked by hand.
    However this process ends, its servers end with it.

    Raises EmbeddedError, one sentence with what to do, when a server cannot run here.
    """
    async with AsyncExitStack() as stack:
        if data_dir is None:
            home = Path(tempfile.mkdtemp(prefix="gemgem-"))
            stack.callback(shutil.rmtree, home, ignore_errors=True)
        else:
            home = Path.cwd() / data_dir  # absolute, since the servers work in it
        temporary = data_dir is None
        mongod = None
        if not mongo_url:
            mongod = Mongod(home / "mongod", temporary=temporary, library_path=library_path)
        valkey = None if redis_url else ValkeyServer(home / "valkey", temporary=temporary)
        ours: list[EmbeddedServer] = [server for server in (mongod, valkey) if server]

        async def stop_all() -> None:
            await asyncio.gather(*(server.stop() for server in ours))

        stack.push_async_callback(stop_all)
        try:
            async with asyncio.TaskGroup() as starting:
                for server in ours:
                    starting.create_task(server.start())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        yield EmbeddedServers(
            mongo_url=mongo_url or (mongod.url if mongod else ""),
            redis_url=redis_url or (valkey.url if valkey else ""),
            mongod=mongod,
            valkey=valkey,
        )
