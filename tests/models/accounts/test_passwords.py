"""Passwords: hashed in threads, a few at once, alike for those who exist and those who do not."""

import asyncio
import threading

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from models.accounts.argon import HashCost, hashed, matches
from models.accounts.passwords import (
    LEAST,
    MOST,
    WAITING,
    Hasher,
    check_password,
    normalized,
)
from models.errors import AppError, ErrorCode

CHEAP = HashCost(passes=2, memory_kib=19_456, lanes=1, at_once=2)
REAL = HashCost(passes=3, memory_kib=65_536, lanes=4, at_once=4)
GOOD = "rather a long sentence 7"


async def test_a_hash_is_of_one_password_and_never_twice_the_same() -> None:
    hasher = Hasher(CHEAP)
    one, two = await hasher.hash(GOOD), await hasher.hash(GOOD)
    assert one != two
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hasher.verify(one, GOOD)
    assert not await hasher.verify(one, GOOD + "x")
    assert not await hasher.verify("$argon2id$rubbish", GOOD)
    assert not hasher.is_stale(one)
    dearer = Hasher(HashCost(passes=3, memory_kib=19_456, lanes=1, at_once=1))
    assert dearer.is_stale(one)
    assert await dearer.verify(one, GOOD)
    hasher.close()
    dearer.close()


async def test_somebody_unknown_costs_what_somebody_known_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hasher = Hasher(CHEAP)
    stored = await hasher.hash(GOOD)
    verified: list[str] = []

    def watched(hashed: str, password: str) -> bool:
        verified.append(hashed)
        return matches(hashed, password)

    monkeypatch.setattr("models.accounts.passwords.matches", watched)
    assert not await hasher.verify(None, GOOD)
    assert not await hasher.verify(stored, "another")
    nobody, somebody = verified
    assert nobody.rsplit("$", 2)[0] == somebody.rsplit("$", 2)[0]  # the same cost
    assert [len(part) for part in nobody.split("$")] == [len(part) for part in somebody.split("$")]
    hasher.close()


def test_the_hash_is_the_one_of_the_library() -> None:
    cost = HashCost(passes=3, memory_kib=64, lanes=4, at_once=1)
    ours = hashed("password", b"somesalt12345678", cost)
    library = PasswordHasher(time_cost=3, memory_cost=64, parallelism=4)
    assert library.hash("password", salt=b"somesalt12345678") == ours
    assert library.verify(ours, "password")
    assert matches(ours, "password")
    assert not matches(ours, "Password")
    for broken in ("", "$", ours[:-3] + "!!!", ours.replace("argon2id", "argon2i"), ours[:30]):
        assert not matches(broken, "password")


async def test_the_loop_goes_on_while_passwords_are_hashed() -> None:
    hasher = Hasher(REAL)
    hashing = asyncio.gather(*(hasher.hash(f"{GOOD} {n}") for n in range(4)))
    turns = 0
    while not hashing.done():
        turns += 1
        await asyncio.sleep(0)
    assert len(set(await hashing)) == 4
    # A hash that held the interpreter would let the loop turn a handful of times at most.
    assert turns > 100
    hasher.close()


async def test_few_are_hashed_at_once_and_few_wait() -> None:
    hasher = Hasher(CHEAP)
    most = CHEAP.at_once + WAITING
    answers = await asyncio.gather(
        *(hasher.hash(GOOD) for _ in range(most + 3)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, AppError)]
    assert [(error.code, error.retry_ms) for error in refused] == [(ErrorCode.BUSY, 1000)] * 3
    threads = [t for t in threading.enumerate() if t.name.startswith("argon2")]
    assert len(threads) == CHEAP.at_once
    assert await hasher.hash(GOOD)
    hasher.close()


async def test_who_hangs_up_frees_no_thread() -> None:
    hasher = Hasher(CHEAP)
    tasks = [asyncio.create_task(hasher.hash(GOOD)) for _ in range(6)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(5):
        while hasher._under_way:
            await asyncio.sleep(0.005)
    assert await hasher.verify(await hasher.hash(GOOD), GOOD)
    hasher.close()


@given(st.text(min_size=1, max_size=200))
def test_any_text_is_a_password_or_refused(text: str) -> None:
    try:
        check_password(text, email="minjun@example.com", name="민준")
    except AppError as error:
        refused = error
    else:
        assert LEAST <= len(normalized(text)) <= MOST
        return
    assert refused.code is ErrorCode.PASSWORD_REFUSED
    assert text not in refused.message or len(text) < LEAST


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "안녕하세요 저는 민준입니다",
        "aB3$aB3$xy",
        "minjun likes blue whales",
        "🐳🐳🐳 blue whale",
        "          x",
    ],
)
def test_no_kind_of_character_is_asked_for(password: str) -> None:
    check_password(password, email="minjun@example.com", name="민준")


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("minjun1234", "personal"),
        ("MinJun.99!!", "personal"),
        ("example2026", "personal"),
        ("ｐａｓｓｗｏｒｄ１２３", "common"),
        ("zyxwvutsrqp", "common"),
        ("1111111111", "common"),
        ("qwertyuiop", "common"),
        ("dkssudgktpdy", "common"),
    ],
)
def test_what_is_guessed_first_is_refused(password: str, reason: str) -> None:
    with pytest.raises(AppError) as refused:
        check_password(password, email="minjun99@example.com", name="Minjun")
    assert refused.value.details is not None
    assert refused.value.details["reason"] == reason


async def test_keyboards_that_compose_differently_give_one_password() -> None:
    hasher = Hasher(CHEAP)
    stored = await hasher.hash("비밀번호는 길게 é")
    assert await hasher.verify(stored, "비밀번호는 길게 e\u0301")
    hasher.close()
