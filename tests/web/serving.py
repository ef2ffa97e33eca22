"""A whole server in this process, on a port of its own, and the tokens to reach it."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from pydantic import SecretStr

from config.clock import SystemClock
from config.settings import load_settings
from models.accounts.records import Role
from models.accounts.tokens import create_dev_key, mint
from server.app import build_app


@dataclass(frozen=True, slots=True)
class Served:
    """A running server."""

    url: str
    key: Path
    """PEM file of its development key."""

    def token(self, role: Role, *children: str) -> str:
        """Return a token of a new account that may reach these children, `*` for all."""
        return mint(
            self.key, sub=f"{role.value}-1", roles=[role], children=children, clock=SystemClock()
        )


@contextlib.asynccontextmanager
async def serving(
    directory: Path, *, mongo_url: str, database: str, redis_url: str, prefix: str
) -> AsyncIterator[Served]:
    """Run the server over the given stores until the block ends."""
    key = directory / "dev-key.pem"
    create_dev_key(key)
    defaults = load_settings()
    store = defaults.store.model_copy(update={"mongo_database": database, "redis_prefix": prefix})
    settings = defaults.model_copy(
        update={
            "mongo_url": SecretStr(mongo_url),
            "redis_url": SecretStr(redis_url),
            "dev_key": key,
            "store": store,
        }
    )
    runner = web.AppRunner(build_app(settings), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield Served(f"http://{host}:{port}", key)
    finally:
        await runner.cleanup()
