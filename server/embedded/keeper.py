"""Keep one server for a parent: run it, report its PID, and stop it when the parent is gone.

Run by path as `python -I -S keeper.py DIRECTORY keep|remove COMMAND...` in a session of its own,
so a terminal's Ctrl-C reaches neither it nor the server. Standard input is the lifeline: a byte on
it asks for an orderly stop; its end means that the parent died, by `kill -9` perhaps, and that
nobody is left to clean up. Imports nothing of ours: it starts in 20 ms and stays small.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

BUSY = 75
CANNOT_RUN = 126
LOCK_SECONDS = 15.0  # the keeper of a parent just killed may still be stopping its server
GRACE_SECONDS = 12.0


def lock(directory: Path, seconds: float) -> int | None:
    """Return a descriptor that holds the directory while it is open, None when it is taken."""
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                return None
            time.sleep(0.02)
        else:
            return descriptor


def stop(server: "subprocess.Popen[bytes]") -> None:
    """End the server, by SIGKILL when it has not heeded SIGTERM in time."""
    server.send_signal(signal.SIGCONT)  # one that was paused would not hear SIGTERM
    server.terminate()
    try:
        server.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()


def keep(
    directory: Path,
    command: list[str],
    *,
    remove: bool,
    lifeline: int,
    report: int,
    lock_seconds: float = LOCK_SECONDS,
) -> int:
    """Run the command in the directory until it ends, and return its exit status.

    The status of a server ended by signal n is 128 + n. One line goes to `report` first:
    `pid N`, `busy`, or `error REASON`.
    """
    held = lock(directory, lock_seconds)
    if held is None:
        os.write(report, b"busy\n")
        return BUSY
    try:
        with (directory / "log").open("ab") as log:
            server = subprocess.Popen(  # noqa: S603  # the command is our parent's own
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[held],  # the lock lasts as long as the server, even without its keeper
            )
    except OSError as reason:
        os.write(report, f"error {reason}\n".encode())
        os.close(held)
        return CANNOT_RUN
    orphaned = threading.Event()

    def wait_for_the_parent() -> None:
        if not os.read(lifeline, 1):
            orphaned.set()
        stop(server)

    threading.Thread(target=wait_for_the_parent, name="lifeline", daemon=True).start()
    with contextlib.suppress(BrokenPipeError):  # the parent died already: the lifeline says so
        os.write(report, f"pid {server.pid}\n".encode())
    status = server.wait()
    if remove and orphaned.is_set():
        shutil.rmtree(directory, ignore_errors=True)
        with contextlib.suppress(OSError):  # the other server's keeper may not be done yet
            directory.parent.rmdir()
    os.close(held)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(
        keep(
            Path(sys.argv[1]),
            sys.argv[3:],
            remove=sys.argv[2] == "remove",
            lifeline=sys.stdin.fileno(),
            report=sys.stdout.fileno(),
        )
    )
