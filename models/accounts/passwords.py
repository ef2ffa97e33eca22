"""Passwords: which are taken, and how they are hashed (Argon2id, RFC 9106) off the event loop."""

import asyncio
import os
import sys
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

from config import metrics
from models.accounts.argon import HASH_BYTES, HashCost, cost_of, encoded, hashed, matches
from models.errors import AppError, ErrorCode

T = TypeVar("T")

LEAST, MOST = 10, 128
"""Characters of a password, after NFKC."""
WAITING = 32
"""Hashes that may wait for a thread; beyond that the server is `busy`."""
RETRY_MS = 1000
SALT_BYTES = 16
LEAST_URGENT = 19
"""The niceness of hashing threads."""
_COMMON = Path(__file__).with_name("common_passwords.txt")
_ROWS = ("1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", "abcdefghijklmnopqrstuvwxyz")
_OTHERS = 5
"""Characters a password must have besides somebody's name or address."""


def normalized(password: str) -> str:
    """Return what is hashed: NFKC, so that every keyboard gives the same (NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, *, email: str | None, name: str | None) -> None:
    """Refuse a password that is too short, too long, common, or its owner's own name.

    No kind of character is asked for: rules of composition make passwords alike.

    Raises:
        AppError: `password_refused`, with the reason in `details`.
    """
    text = normalized(password)
    if len(text) < LEAST:
        raise refused("too_short", f"a password has at least {LEAST} characters")
    if len(text) > MOST:
        raise refused("too_long", f"a password has at most {MOST} characters")
    folded = text.casefold()
    if folded in _common() or _is_pattern(folded):
        raise refused("common", "it is one of the first that is guessed")
    local, _, domain = (email or "").partition("@")
    for own in (email, local, domain.partition(".")[0], name):
        if _is_mostly(folded, own or ""):
            raise refused("personal", "it is a name or an address of your own")


def refused(reason: str, why: str) -> AppError:
    """Return the refusal of a password."""
    return AppError(
        ErrorCode.PASSWORD_REFUSED,
        f"Choose another password: {why}.",
        details={"reason": reason},
    )


@cache
def _common() -> frozenset[str]:
    return frozenset(line.casefold() for line in _COMMON.read_text().split())


def _is_pattern(text: str) -> bool:
    """Tell whether it is a few characters repeated, or keys that lie beside each other."""
    unit = next((n for n in range(1, 5) if text == (text[:n] * len(text))[: len(text)]), None)
    if unit is not None:
        return True
    return any(text in row * 2 or text in row[::-1] * 2 for row in _ROWS)


def _is_mostly(text: str, own: str) -> bool:
    """Tell whether hardly anything is left of a password without somebody's own word."""
    bare = "".join(c for c in text if c.isalnum())
    word = "".join(c for c in unicodedata.normalize("NFKC", own).casefold() if c.isalnum())
    return len(word) >= 3 and word in bare and len(bare) - len(word) < _OTHERS


class Hasher:
    """Hashes and verifies in threads of its own; argon2 lets go of the interpreter meanwhile."""

    def __init__(self, cost: HashCost, random: Callable[[int], bytes] = os.urandom) -> None:
        self._cost = cost
        self._random = random
        self._threads = ThreadPoolExecutor(
            cost.at_once, thread_name_prefix="argon2", initializer=_yield_to_others
        )
        self._most = cost.at_once + WAITING
        self._under_way = 0
        # No password has it, and it costs as much to verify as any other.
        self._nobody = encoded(cost, bytes(SALT_BYTES), bytes(HASH_BYTES))

    def close(self) -> None:
        """Let the threads end; what is under way is finished."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """Return the encoded hash of a password.

        Raises:
            AppError: `busy`, too many are waiting.
        """
        text = normalized(password)
        salt = self._random(SALT_BYTES)
        return await self._run(lambda: hashed(text, salt, self._cost))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether it is the password of a stored hash; None is no, after the same time.

        Raises:
            AppError: `busy`, too many are waiting.
        """
        text = normalized(password)
        against = self._nobody if stored is None else stored
        right = await self._run(lambda: matches(against, text))
        return right and stored is not None

    def is_stale(self, stored: str) -> bool:
        """Tell whether a hash was made at another cost than today's."""
        return cost_of(stored) != (self._cost.passes, self._cost.memory_kib, self._cost.lanes)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._under_way >= self._most:
            raise AppError(
                ErrorCode.BUSY, "Too many passwords are being checked; wait.", retry_ms=RETRY_MS
            )
        future = self._threads.submit(work)
        self._count(1)
        loop = asyncio.get_running_loop()
        # Counted until it is done: a caller who hangs up frees no thread.
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._count, -1))
        return await asyncio.wrap_future(future)

    def _count(self, change: int) -> None:
        self._under_way += change
        metrics.HASHES_WAITING.set(self._under_way)


def _yield_to_others() -> None:
    """Let this thread run when the live sessions of the process do not want to.

    Linux has a priority a thread; elsewhere it would be the whole process's.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LEAST_URGENT)
