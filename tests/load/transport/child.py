"""A process that is measured: started on its core, ended with us however we end."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from server.embedded import keeper
from tests.load.transport import cores

ROOT = Path(__file__).resolve().parents[3]
HOST = "127.0.0.1"
READY_S = 45.0
STOP_S = 15.0
POLL_S = 0.05


class ServerError(Exception):
    """A server does not run. The text says why, as its log does."""


class Child:
    """A running process. A keeper stands between, which ends it when nobody is left to do so.

    Args:
        home: a directory of its own; its log lies there.
        cpus: the cores it may run on.
    """

    def __init__(
        self,
        home: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        cpus: set[int],
    ) -> None:
        home.mkdir(parents=True)
        self._log = home / "log"
        kept = [sys.executable, "-I", "-S", keeper.__file__, str(home), "keep", *command]
        with cores.on(cpus):
            self._keeper = subprocess.Popen(
                kept,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                start_new_session=True,
            )
        said = self._keeper.stdout.readline() if self._keeper.stdout is not None else b""
        word, _, rest = said.decode().strip().partition(" ")
        if word != "pid":
            self.stop()
            raise ServerError(f"{command[0]} cannot be run: {rest or word}")
        self.pid = int(rest)
        cores.rank(self.pid, os.getpriority(os.PRIO_PROCESS, 0))  # in a session of its own

    def stop(self) -> None:
        """Ask it to end in order and wait for that."""
        try:
            self._keeper.communicate(b"s", STOP_S)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.communicate()

    def until_ready(self, port: int, path: str | None = None) -> None:
        """Wait until its port is open and, where a path is given, that answers with 200.

        Raises:
            ServerError: it ended, or took too long.
        """
        until = time.monotonic() + READY_S
        while time.monotonic() < until and self._keeper.poll() is None:
            if _is_ready(port, path):
                return
            time.sleep(POLL_S)
        words = self._log.read_text(errors="replace").strip().splitlines()[-3:]
        raise ServerError(f"not ready: {' / '.join(words) or 'it said nothing'}")


def _is_ready(port: int, path: str | None) -> bool:
    try:
        if path is None:
            socket.create_connection((HOST, port), timeout=1).close()
            return True
        with closing(HTTPConnection(HOST, port, timeout=2)) as http:
            http.request("GET", path)
            return http.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False


def free_port() -> int:
    """Return a port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
