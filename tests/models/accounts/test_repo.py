"""Accounts in MongoDB: found by an index, kept apart by one."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.accounts.records import Provider, SignInMethod
from models.accounts.repo import TakenError
from tests.models.accounts.made import DEVICE, Made, made, user_of


@pytest.fixture
async def here(
    mongo_url: str, mongo_database: str, redis_url: str, redis_prefix: str
) -> AsyncIterator[Made]:
    async with made(mongo_url, mongo_database, redis_url, redis_prefix) as parts:
        yield parts


def stages(plan: Any) -> set[str]:
    """Return the names of all stages of a winning plan."""
    if isinstance(plan, dict):
        return {plan.get("stage", "")} | set().union(*(stages(part) for part in plan.values()))
    if isinstance(plan, list):
        return set().union(*(stages(part) for part in plan), set())
    return set()


async def test_every_query_of_a_sign_in_goes_by_an_index(here: Made) -> None:
    user = user_of("u_1", here.clock, email="a@example.com")
    await here.accounts.insert(user)
    await here.sign_ins.begin(user, DEVICE)
    for collection, query in (
        ("users", {"email": "a@example.com"}),
        ("users", {"methods.key": "google:g-u_1"}),
        ("sign_ins", {"user_id": "u_1", "active": True, "ends_at": {"$gt": here.clock.now()}}),
        ("sign_ins", {"child_id": "c_1", "active": True, "ends_at": {"$gt": here.clock.now()}}),
        ("sign_ins", {"user_id": "u_1", "version": {"$lt": 2}, "active": True}),
    ):
        told = await here.database[collection].find(query).explain()
        found = stages(told["queryPlanner"]["winningPlan"])
        assert "IXSCAN" in found, (collection, query)
        assert "COLLSCAN" not in found, (collection, query)


async def test_two_accounts_share_nothing_that_is_ones_own(here: Made) -> None:
    await here.accounts.insert(user_of("u_1", here.clock, email="a@example.com"))
    await here.accounts.insert(user_of("u_2", here.clock))
    await here.accounts.insert(user_of("u_3", here.clock))  # several without an e-mail
    for changed, what in (
        (user_of("u_4", here.clock, email="a@example.com"), "email"),
        (user_of("u_1", here.clock, methods=()), "id"),
        (
            user_of(
                "u_4",
                here.clock,
                methods=(SignInMethod(Provider.GOOGLE, "g-u_2", here.clock.now()),),
            ),
            "method",
        ),
    ):
        with pytest.raises(TakenError) as taken:
            await here.accounts.insert(changed)
        assert taken.value.what == what
    number = {"sealed": "s", "index": "i", "verified_at": here.clock.now()}
    await here.accounts.set_phone("u_1", **number)
    with pytest.raises(TakenError) as taken:
        await here.accounts.set_phone("u_2", **number)
    assert taken.value.what == "phone"
    await here.accounts.remove_phone("u_1")
    await here.accounts.set_phone("u_2", **number)


async def test_what_is_stored_is_what_is_read(here: Made) -> None:
    method = SignInMethod(
        Provider.APPLE, "a-1", here.clock.now(), refresh_sealed="s1.k.x", client_id="app"
    )
    user = user_of("u_1", here.clock, email="a@example.com", methods=(method,), is_test=True)
    await here.accounts.insert(user)
    assert await here.accounts.find("u_1") == user
    assert await here.accounts.find_by_email("a@example.com") == user
    assert await here.accounts.find_by_method("apple:a-1") == user
    assert await here.accounts.find("u_2") is None
