"""The home of embedded servers: their data, the development key, and where they are reached."""

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from config.settings import Settings
from models.accounts.tokens import create_dev_key
from server.embedded import embedded
from server.embedded.process import EmbeddedError, InUseError

DATA: Final = Path(".gemgem")
"""Where data lies unless somebody says otherwise, from the folder a command is run in."""
_ADDRESS: Final = "address.json"
_FOUND_S: Final = 20.0
"""How long another run that has just begun may take until it tells its address."""
_LOOK_S: Final = 0.1


@asynccontextmanager
async def embed(settings: Settings, data: Path | None) -> AsyncIterator[Settings]:
    """Run a MongoDB and a Valkey where no URL is set, and make a key where none is.

    Yields the settings that name them. Everything lies in `data` and is there again next time, or
    in temporary directories that go at the end.

    Raises:
        EmbeddedError: with what to do; `InUseError` when another run has `data`.
    """
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(
            embedded(data, mongo_url=_url(settings.mongo_url), redis_url=_url(settings.redis_url))
        )
        if data is None:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gemgem-key-")))
        else:
            home = Path.cwd() / data
        key = settings.dev_key or home / "dev-key.pem"
        create_dev_key(key)
        address = {
            "mongo_url": servers.mongo_url,
            "redis_url": servers.redis_url,
            "dev_key": str(key),
        }
        if data is not None and (servers.mongod or servers.valkey):
            stack.enter_context(_told(home / _ADDRESS, address))
        found = _at(settings, address)
        if not (found.mail.host or found.mail.folder):
            # Nobody is mailed from here; who tries it out finds the codes there.
            mail = found.mail.model_copy(update={"folder": str(home / "mail")})
            found = found.model_copy(update={"mail": mail})
        yield found


async def join_run(settings: Settings, data: Path) -> Settings:
    """Return the settings that name the stores of another run, which has `data`.

    Raises:
        EmbeddedError: it tells no address.
    """
    file = Path.cwd() / data / _ADDRESS
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FOUND_S):
            while True:
                with contextlib.suppress(OSError, ValueError):
                    return _at(settings, json.loads(file.read_text()))
                await asyncio.sleep(_LOOK_S)
    raise EmbeddedError(
        f"Another run has {data} and does not tell where it is reached: set GEMGEM_MONGO_URL, "
        "GEMGEM_REDIS_URL and GEMGEM_DEV_KEY as it printed them."
    )


@asynccontextmanager
async def found_stores(settings: Settings, data: Path) -> AsyncIterator[Settings]:
    """Yield settings that name stores: those that are set, a running server's, or our own.

    Raises:
        EmbeddedError: none can be had.
    """
    if settings.mongo_url is not None and settings.redis_url is not None:
        yield settings
        return
    async with AsyncExitStack() as stack:
        try:
            found = await stack.enter_async_context(embed(settings, data))
        except InUseError:
            found = await join_run(settings, data)
        yield found


@contextlib.contextmanager
def _told(file: Path, address: dict[str, str]) -> Iterator[None]:
    new = file.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(json.dumps(address))
    new.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _at(settings: Settings, address: dict[str, str]) -> Settings:
    update: dict[str, Any] = {
        "mongo_url": SecretStr(address["mongo_url"]),
        "redis_url": SecretStr(address["redis_url"]),
        "dev_key": Path(address["dev_key"]),
    }
    return settings.model_copy(update=update)


def _url(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
