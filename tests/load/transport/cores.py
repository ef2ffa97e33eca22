"""Who runs on which core, and how much of it each process has used."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
SERVER_CORE = 0


def everybody_else() -> set[int]:
    """Return the cores that are not the server's; all there are if there is but one."""
    cores = os.sched_getaffinity(0)
    return (cores - {SERVER_CORE}) or cores


@contextmanager
def on(cores: set[int]) -> Iterator[None]:
    """Run on some cores; what is started meanwhile stays on them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds a process has used, all its threads."""

    user: float
    system: float

    @property
    def total(self) -> float:
        """Both."""
        return self.user + self.system

    def __sub__(self, before: "Spent") -> "Spent":
        return Spent(self.user - before.user, self.system - before.system)


def spent(pid: int) -> Spent:
    """Return what a process has used so far; nothing for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return Spent(0.0, 0.0)
    return Spent(int(fields[11]) * _TICK_S, int(fields[12]) * _TICK_S)


def rss_kb(pid: int) -> float:
    """Return the memory a process holds, kB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * _PAGE / 1024


def allow_many_files() -> None:
    """Raise the limit of open files as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def rank(pid: int, nice: int) -> None:
    """Put a process before others, or behind them, which on a desktop kernel goes by session."""
    if nice:
        os.setpriority(os.PRIO_PROCESS, pid, nice)
        group = Path(f"/proc/{pid}/autogroup")
        if group.exists():
            group.write_text(f"{nice}\n")
