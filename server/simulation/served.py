"""The server itself as a child process, for the demonstration: started, watched, stopped."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from pathlib import Path

import aiohttp

from server.embedded import keeper

READY_S = 45.0
"""How long a start may take on a cold and busy machine, seconds."""
STOP_S = 20.0
POLL_S = 0.05
WATCH_S = 0.5
ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds the packages."""


class ServerError(Exception):
    """The server does not run. The text says why, as its log does."""


def free_port(host: str, wanted: int | None, default: int) -> int:
    """Return the wanted port, or the default or any other free one if none was asked for.

    Raises:
        ServerError: the wanted port is taken.
    """
    for port in (wanted,) if wanted is not None else (default, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            chosen: int = probe.getsockname()[1]
            return chosen
    raise ServerError(f"port {wanted} of {host} is in use; choose another with --port")


class Served:
    """A running server: where it is, and whether it still is."""

    def __init__(self, url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.url = url
        self._process = process
        self._log = log

    async def until_ready(self) -> None:
        """Wait until `/ready` says so."""
        timeout = aiohttp.ClientTimeout(total=2.0)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            for _ in range(round(READY_S / POLL_S)):
                self.check()
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with http.get(f"{self.url}/ready") as answer:
                        if answer.status == HTTPStatus.OK:
                            return
                await asyncio.sleep(POLL_S)
        raise ServerError(f"not ready after {READY_S:.0f} s; {self._last_words()}")

    async def until_ended(self) -> None:
        """Wait for an end that nobody asked for, and raise it as an error."""
        while True:
            self.check()
            await asyncio.sleep(WATCH_S)

    def check(self) -> None:
        """Raise ServerError if the server has ended."""
        if self._process.poll() is not None:
            raise ServerError(f"the server has ended; {self._last_words()}")

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").split("\n") if self._log.exists() else []
        said = [line for line in lines if line.strip()]
        return f"it said last: {said[-1]}" if said else "it said nothing"


@contextlib.asynccontextmanager
async def serving(
    directory: Path, host: str, port: int, environment: Mapping[str, str]
) -> AsyncIterator["Served"]:
    """Run `python -m server serve` and yield it once it is ready.

    However this process ends, the server ends with it: a keeper stands between them, in a session
    of its own so that Ctrl-C reaches us alone. The server's log lies in `directory`, which exists;
    the keeper removes it if nobody else is left to do so.

    Raises:
        ServerError: it ended, or was not ready in time.
    """
    log = directory / "log"
    serve = [sys.executable, "-m", "server", "serve"]
    ours = [sys.executable, "-I", "-S", keeper.__file__, str(directory), "remove", *serve]
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own files; forking takes a millisecond
        ours,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={
            **os.environ,
            **environment,
            "PYTHONPATH": str(ROOT),
            "GEMGEM_HTTP__HOST": host,
            "GEMGEM_HTTP__PORT": str(port),
        },
    )
    try:
        served = Served(f"http://{host}:{port}", process, log)
        await served.until_ready()
        yield served
    finally:
        await _stop(process)


async def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask the keeper for an orderly stop and wait for it, without holding the loop."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b"s")
            process.stdin.flush()
    for _ in range(round(STOP_S / POLL_S)):
        if process.poll() is not None:
            break
        await asyncio.sleep(POLL_S)
    else:
        process.kill()
        process.wait()
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
