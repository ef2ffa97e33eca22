"""The whole server in the test's own process, on a free port."""

import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import SecretStr

from config.clock import SystemClock
from config.settings import Settings, load_settings
from handlers.rest.tables import ROUTES
from handlers.routing import Route
from models.accounts.records import Role
from models.accounts.tokens import Verifier, create_dev_key, load_dev_key, mint
from server.app import build_app
from server.listener import site_runner


@dataclasses.dataclass(frozen=True)
class Served:
    """A running server and the key its tokens are signed with."""

    url: str
    key: Path
    settings: Settings
    app: web.Application

    def token(self, role: Role | str, *children: str, **more: Any) -> str:
        """Return an access token."""
        more.setdefault("sub", f"{Role(role).value}-1")
        more.setdefault("roles", [role])
        return mint(self.key, children=children, clock=SystemClock(), **more)

    def sign_in(self, token: str) -> str:
        """Return the sign-in a token belongs to."""
        rules = self.settings.token
        verifier = Verifier((load_dev_key(self.key),), rules.issuer, rules.audience, 0)
        return verifier.principal(token).sign_in


def settings_of(
    mongo_url: str,
    redis_url: str,
    database: str,
    prefix: str,
    key: Path,
    **sections: dict[str, Any],
) -> Settings:
    """Return settings for one test: its own database, its own key prefix.

    `sections` override values, for instance `live={"close_seconds": 1}`.
    """
    base = load_settings(
        mongo_url=SecretStr(mongo_url), redis_url=SecretStr(redis_url), dev_key=key
    )
    sections = {
        **sections,
        "store": {
            "mongo_database": database,
            "redis_prefix": prefix,
            "flush_ms": 50,
            **sections.get("store", {}),
        },
        "http": {"port": 0, **sections.get("http", {})},
        # Nobody outside is asked, and hashes cost as little as they may.
        "pwned": {"url": "", **sections.get("pwned", {})},
        "account": {
            "hash_passes": 2,
            "hash_memory_kib": 19_456,
            "hash_lanes": 1,
            **sections.get("account", {}),
        },
        # Tests send faster than any child plays, and often under one name.
        "socket": {
            "messages_s": 100_000,
            "bytes_s": 1_000_000_000,
            "account_connections": 100,
            **sections.get("socket", {}),
        },
    }
    update = {
        name: type(getattr(base, name)).model_validate({**getattr(base, name).model_dump(), **new})
        for name, new in sections.items()
    }
    return base.model_copy(update=update)


@asynccontextmanager
async def serving(settings: Settings, routes: Sequence[Route] = ROUTES) -> AsyncIterator[Served]:
    """Run the whole server on a free port, in this process."""
    assert settings.dev_key is not None
    create_dev_key(settings.dev_key)
    app = build_app(settings, routes=routes)
    runner = site_runner(app, settings.http)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield Served(f"http://{host}:{port}", settings.dev_key, settings, app)
    finally:
        await runner.cleanup()
