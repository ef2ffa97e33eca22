"""What tokens and passwords cost: run by `scripts/bench tokens [--json]`.

Times of tokens are CPU time of this thread, so that other work on the machine counts little. How
long the event loop is held up while passwords are hashed is wall time: on a busy machine the rest
of its work is in it too, so the same is measured with nothing to hash.
"""

import argparse
import asyncio
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from rich.console import Console
from rich.table import Table

from config.clock import SystemClock
from config.settings import load_settings
from models.accounts.argon import HashCost
from models.accounts.passwords import Hasher
from models.accounts.records import Role
from models.accounts.signing import Issuer, Signer
from models.accounts.tokens import Key, Verifier
from server.loop import run_loop

FIRST_US, AGAIN_US, HELD_UP_MS = 350.0, 20.0, 10.0
"""What is asked: a token the first time, the same again, the loop while hashing."""
PASSWORD = "rather a long sentence 7"


@dataclass(frozen=True, slots=True)
class Kit:
    """Tokens of one key, and a fresh verifier for them."""

    issuer: Issuer
    key: Key

    def tokens(self, count: int) -> list[str]:
        """Return tokens of as many sign-ins."""
        return [
            self.issuer.issue(
                user_id="u_0123456789abcdef0123",
                sign_in=secrets.token_hex(16),
                roles=[Role.GUARDIAN],
                version=1,
                signed_in_at=1_780_000_000,
            )
            for _ in range(count)
        ]

    def verifier(self) -> Verifier:
        """Return one that knows no token yet."""
        return Verifier([self.key], "gemgem", "gemgem", 5)


def kit() -> Kit:
    """Make a key and what uses it."""
    private = ec.generate_private_key(ec.SECP256R1())
    issuer = Issuer(
        signer=Signer("bench", private),
        issuer="gemgem",
        audience="gemgem",
        seconds=900,
        clock=SystemClock(),
        new_id=lambda: secrets.token_hex(16),
    )
    return Kit(issuer, Key("bench", private.public_key(), grants=False))


def cpu_us(call: Callable[[str], object], tokens: Sequence[str]) -> float:
    """Return the CPU microseconds of a call, on average over the tokens."""
    started = time.thread_time()
    for token in tokens:
        call(token)
    return 1e6 * (time.thread_time() - started) / len(tokens)


async def held_up_ms(hasher: Hasher | None, passwords: int) -> float:
    """Return how long the loop was held up at worst while so many passwords were hashed."""
    work = (
        asyncio.gather(*(hasher.hash(f"{PASSWORD} {n}") for n in range(passwords)))
        if hasher is not None
        else asyncio.ensure_future(asyncio.sleep(1.0))
    )
    worst = 0.0
    last = time.perf_counter()
    while not work.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        worst, last = max(worst, now - last - 0.001), now
    await work
    return 1e3 * worst


async def hashing(passwords: int) -> dict[str, float]:
    """Measure the hashes of the settings' own cost."""
    rules = load_settings().account
    hasher = Hasher(
        HashCost(rules.hash_passes, rules.hash_memory_kib, rules.hash_lanes, rules.hash_threads)
    )
    await hasher.hash(PASSWORD)
    started = time.perf_counter()
    await hasher.hash(PASSWORD)
    one = time.perf_counter() - started
    idle = await held_up_ms(None, 0)
    busy = await held_up_ms(hasher, passwords)
    hasher.close()
    return {
        "hash_ms": round(1e3 * one, 1),
        "loop_held_up_ms_idle": round(idle, 2),
        "loop_held_up_ms_hashing": round(busy, 2),
    }


def measured(*, tokens: int = 2000, repeats: int = 5, passwords: int = 16) -> dict[str, float]:
    """Return all figures."""
    made = kit()
    given = made.tokens(tokens)
    first, again = [], []
    for _ in range(repeats):
        verifier = made.verifier()
        first.append(cpu_us(verifier.principal, given))
        again.append(cpu_us(verifier.principal, given))
    return {
        "first_us": round(median(first), 1),
        "again_us": round(median(again), 2),
        "issue_us": round(cpu_us(lambda _: made.tokens(1), given[:500]), 1),
        **run_loop(hashing(passwords)),
    }


def show(found: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(title="tokens and passwords")
    for name in ("what", "measured", "at most"):
        table.add_column(name, justify="right")
    for what, key, unit, most in (
        ("a token, first time", "first_us", "us", FIRST_US),
        ("the same again", "again_us", "us", AGAIN_US),
        ("signing one", "issue_us", "us", None),
        ("a password", "hash_ms", "ms", None),
        ("the loop held up, nothing to hash", "loop_held_up_ms_idle", "ms", None),
        ("the loop held up while hashing", "loop_held_up_ms_hashing", "ms", HELD_UP_MS),
    ):
        good = most is None or found[key] <= most
        told = f"[{'green' if good else 'red'}]{found[key]} {unit}[/]"
        table.add_row(what, told, "" if most is None else f"{most:g} {unit}")
    Console().print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/bench tokens", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--repeats", type=int, default=5, help="runs over all tokens")
    args = parser.parse_args()
    found = measured(repeats=args.repeats)
    if args.json:
        print(json.dumps(found))
    else:
        show(found)


if __name__ == "__main__":
    main()
