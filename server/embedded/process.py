"""One database server as a child process: start, readiness, stop, and the faults tests inject."""

import asyncio
import contextlib
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from server.embedded import keeper

START_SECONDS = 60.0  # a cold disk and a busy machine; half a second is usual
POLL_SECONDS = 0.02
_ATTEMPTS = 3
_LIBRARY = re.compile(r"error while loading shared libraries: ([^\s:]+)|Library not loaded: (\S+)")
_PACKAGES = {"libcurl.so.4": "libcurl4", "libssl.so.3": "libssl3", "libcrypto.so.3": "libssl3"}


class EmbeddedError(Exception):
    """A server cannot run here. The text is one sentence that says what to do."""


class InUseError(EmbeddedError):
    """Another run has the data directory."""


class _PortTakenError(Exception):
    """Somebody else took the port between our look and the server's bind."""


class _Keeper:
    """The keeper process of one server, and the two pipes to it."""

    def __init__(self, directory: Path, command: list[str], *, temporary: bool) -> None:
        """Start it: see server/embedded/keeper.py."""
        stdin, self._lifeline = os.pipe()
        self._report, stdout = os.pipe()
        os.set_blocking(self._report, False)
        ours = [sys.executable, "-I", "-S", keeper.__file__, str(directory)]
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own file and our own command
                [*ours, "remove" if temporary else "keep", *command],
                stdin=stdin,
                stdout=stdout,
                start_new_session=True,  # the terminal's Ctrl-C is ours to act on, not theirs
            )
        except BaseException:
            self.close()
            raise
        finally:
            os.close(stdin)
            os.close(stdout)

    def poll(self) -> int | None:
        """Return the server's exit status, None while it runs, negative: the keeper was killed."""
        return self._process.poll()

    def hear(self) -> bytes | None:
        """Return what it reported since: None for nothing yet, empty when it has ended."""
        try:
            return os.read(self._report, 256)
        except BlockingIOError:
            return None

    def ask_to_end(self) -> None:
        """Ask for an orderly stop; asking again changes nothing."""
        if self._lifeline >= 0:
            with contextlib.suppress(BrokenPipeError):  # it has ended by itself
                os.write(self._lifeline, b"s")
            os.close(self._lifeline)
            self._lifeline = -1

    def close(self) -> None:
        """Close the pipes, once it has ended."""
        for descriptor in (self._lifeline, self._report):
            if descriptor >= 0:
                os.close(descriptor)
        self._lifeline = self._report = -1


class EmbeddedServer(ABC):
    """A server of our own on a loopback port, known by the PID we hold.

    Nothing here is tied to an event loop: it may be started in one and stopped in another.
    """

    name: ClassVar[str]
    variable: ClassVar[str]  # what to set to use a server from elsewhere

    def __init__(self, directory: Path, *, temporary: bool) -> None:
        """Take a directory of its own; a temporary one goes with a parent that is killed."""
        self.directory = directory
        self.port = 0
        self.pid = 0
        self._temporary = temporary
        self._keeper: _Keeper | None = None
        self._log_start = 0

    @property
    @abstractmethod
    def url(self) -> str:
        """Return where clients connect to."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the command line; raise EmbeddedError when there is no binary."""

    @staticmethod
    def _wheel(package: str, pattern: str) -> Path | None:
        """Return the file of an installed package, None where there is none."""
        try:
            found = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            return None
        if found is None or found.origin is None:
            return None
        return next(Path(found.origin).parent.glob(pattern), None)

    @abstractmethod
    async def _ready(self) -> bool:
        """Return whether the server takes writes; raise OSError while it cannot be reached."""

    @property
    def running(self) -> bool:
        """Return whether the process lives, paused or not."""
        return self._keeper is not None and self._keeper.poll() is None

    async def start(self) -> None:
        """Start the server and return once it takes writes.

        The first start looks for a free port, the last one of this directory if it can be had;
        later starts keep it, so the URL stays.

        Raises EmbeddedError when the server cannot run here or is not ready in time.
        """
        if self.running:
            return
        await self.stop()
        keeps_port = self.port != 0
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as reason:
            raise EmbeddedError(
                f"{self.name} cannot use {self.directory} ({reason.strerror}): give another "
                "data directory."
            ) from reason
        for attempt in range(_ATTEMPTS):
            if not keeps_port:
                self.port = self._choose_port(again=attempt > 0)
            try:
                await self._attempt()
            except _PortTakenError:
                await self.stop()
            except BaseException:
                await self.stop()
                raise
            else:
                (self.directory / "port").write_text(f"{self.port}\n")
                return
        raise EmbeddedError(
            f"{self.name} found port {self.port} taken {_ATTEMPTS} times: start again, "
            f"or set {self.variable}."
        )

    async def stop(self) -> None:
        """Stop the server in order and wait for its end; nothing to do when it is not running."""
        child = self._keeper
        if child is None:
            return
        child.ask_to_end()
        # The keeper bounds this, since SIGKILL follows SIGTERM.
        while (status := child.poll()) is None:  # noqa: ASYNC110  # no loop owns the process
            await asyncio.sleep(POLL_SECONDS)
        if self._keeper is not child:
            return  # another caller waited as well and was first
        if status < 0 and self.pid:  # the keeper itself was killed and its server lives on
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        child.close()
        self._keeper = None
        self.pid = 0

    async def restart(self) -> None:
        """Stop the server if it still runs and start it on the same port and data."""
        await self.stop()
        await self.start()

    def kill(self) -> None:
        """End the process as a crash does, by SIGKILL."""
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze the process: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        # While its keeper lives the PID is the server's: no other process can have taken it.
        if not self.running:
            raise EmbeddedError(f"{self.name} is not running: start it first.")
        os.kill(self.pid, number)

    def _choose_port(self, *, again: bool) -> int:
        """Return the directory's last port when it is free, otherwise any free one."""
        with contextlib.suppress(OSError, ValueError):
            last = 0 if again else int((self.directory / "port").read_text())
            if last and _is_free(last):
                return last
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    async def _attempt(self) -> None:
        log = self.directory / "log"
        self._log_start = log.stat().st_size if log.exists() else 0
        child = _Keeper(self.directory, self._command(), temporary=self._temporary)
        self._keeper = child
        try:
            async with asyncio.timeout(START_SECONDS):
                self.pid = await self._hear_pid(child)
                while True:
                    if (status := child.poll()) is not None:
                        raise self._failure(status)
                    # Not there yet, or somebody else's server on our port cut us off.
                    with contextlib.suppress(OSError, EOFError, ValueError):
                        async with asyncio.timeout(2):
                            if await self._ready():
                                return
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise EmbeddedError(
                f"{self.name} was not ready after {START_SECONDS:.0f} s ({self._last_line()}): "
                f"try again, or set {self.variable}."
            ) from None

    async def _hear_pid(self, child: _Keeper) -> int:
        heard = b""
        while not heard.endswith(b"\n"):
            part = child.hear()
            if part == b"":
                raise EmbeddedError(f"{self.name} cannot be watched over: set {self.variable}.")
            heard += part or b""
            await asyncio.sleep(0.005)
        word, _, rest = heard.decode().strip().partition(" ")
        if word == "pid":
            return int(rest)
        if word == "busy":
            raise InUseError(
                f"{self.directory.parent} is in use by another run: stop that one, "
                "or give another data directory."
            )
        raise EmbeddedError(f"{self.name} does not run here ({rest}): set {self.variable}.")

    def _failure(self, status: int) -> Exception:
        """Return why the process ended during its start."""
        text = self._log_text()
        if "Address already in use" in text:
            return _PortTakenError()
        if found := _LIBRARY.search(text):
            library = found[1] or found[2]
            package = _PACKAGES.get(library, f"the package that holds {library}")
            return EmbeddedError(
                f"{self.name} needs the system library {library}: install {package}, "
                f"or set {self.variable}."
            )
        end = f"by signal {status - 128}" if status > 128 else f"with status {status}"
        return EmbeddedError(
            f"{self.name} ended {end} while starting ({self._last_line()}): "
            f"see {self.directory / 'log'}, or set {self.variable}."
        )

    def _log_text(self) -> str:
        try:
            with (self.directory / "log").open("rb") as log:
                log.seek(self._log_start)
                return log.read(1 << 20).decode(errors="replace")
        except OSError:
            return ""

    def _last_line(self) -> str:
        lines = self._log_text().strip().splitlines()
        return lines[-1][:300] if lines else "nothing in its log"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: what lingers of closed connections does not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
