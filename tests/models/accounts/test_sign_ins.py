"""Sign-ins against a plain model of them, and what races do to them."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from models.accounts.records import Device, Role
from models.accounts.sign_ins import FOLLOWED, digest_of
from models.errors import AppError, ErrorCode
from tests.models.accounts.made import DEVICE, LIVES, Made, made, now_clock, user_of

OTHER = Device("device-6666", "another", "web")


@dataclass(eq=False)
class Family:
    """What the model knows of a sign-in."""

    sign_in: str
    ends_us: int
    alive: bool = True
    chain: list[str] = field(default_factory=list)
    """Its refresh tokens, in order; the last one may be used."""
    used_us: list[int] = field(default_factory=list)
    """When each but the last was used."""
    idle_us: int = 0


@pytest.fixture
async def here(
    mongo_url: str, mongo_database: str, redis_url: str, redis_prefix: str
) -> AsyncIterator[Made]:
    async with made(mongo_url, mongo_database, redis_url, redis_prefix) as parts:
        yield parts


def us(delta: Any) -> int:
    return int(delta.total_seconds() * 1e6)


class Walk(RuleBasedStateMachine):
    """Random sign-ins, refreshes, replays, thefts, waits and ends, beside a plain model."""

    stores: tuple[str, str, str, str]
    families = Bundle("families")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.stack = AsyncExitStack()
        self.clock = now_clock()
        self.here: Made = self.run(
            self.stack.enter_async_context(made(*self.stores, clock=self.clock))
        )
        self.user = user_of(f"u_{secrets.token_hex(8)}", self.clock)
        self.run(self.here.accounts.insert(self.user))
        self.known: list[Family] = []

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()

    @rule(target=families)
    def sign_in(self) -> Any:
        held = [f for f in self.known if f.alive and self.clock.us < f.ends_us]
        if len(held) >= LIVES.each:
            return multiple()
        tokens = self.run(self.here.sign_ins.begin(self.user, DEVICE))
        family = Family(tokens.sign_in.id, self.clock.us + us(LIVES.absolute))
        family.chain.append(tokens.refresh)
        family.idle_us = self.clock.us + us(LIVES.idle)
        self.known.append(family)
        return family

    @rule(family=families, back=st.integers(0, 7), stolen=st.booleans())
    def refresh(self, family: Family, back: int, stolen: bool) -> None:
        at = max(len(family.chain) - 1 - back, 0)
        wanted = self.expect(family, at, stolen)
        device = OTHER.id if stolen else DEVICE.id
        asked = self.here.sign_ins.refresh(family.chain[at], device)
        if wanted is None:
            with pytest.raises(AppError) as refused:
                self.run(asked)
            assert refused.value.code is ErrorCode.UNAUTHENTICATED
            return
        tokens = self.run(asked)
        if wanted == len(family.chain):
            family.chain.append(tokens.refresh)
            family.used_us.append(self.clock.us)
            family.idle_us = min(self.clock.us + us(LIVES.idle), family.ends_us)
        assert tokens.refresh == family.chain[wanted]
        assert tokens.sign_in.id == family.sign_in
        assert self.here.verifier.principal(tokens.access).user_id == self.user.id

    def expect(self, family: Family, at: int, stolen: bool) -> int | None:
        """Return which token of the chain comes out, None for none; end the family if it does."""
        over = not family.alive or self.clock.us >= family.ends_us
        if at == len(family.chain) - 1:
            fresh = self.clock.us < family.idle_us
            if fresh and over:
                # Used up in vain: a copy of it in other hands is worth nothing either.
                family.used_us.append(self.clock.us)
                family.chain.append("never given")
            return len(family.chain) if fresh and not over else None
        in_time = self.clock.us - family.used_us[at] <= us(LIVES.reuse)
        if stolen or not in_time:
            family.alive = False
            return None
        last = len(family.chain) - 1
        if over or last - at > FOLLOWED:
            return None
        return last

    @rule(seconds=st.sampled_from([1, 4, 10, 11, 3600, 20 * 86_400, 31 * 86_400]))
    def wait(self, seconds: int) -> None:
        self.clock.move(seconds)

    @rule(family=consumes(families))
    def end(self, family: Family) -> None:
        self.run(self.here.sign_ins.end(self.user.id, family.sign_in))
        family.alive = False

    @invariant()
    def lists_what_holds(self) -> None:
        listed = {s.id for s in self.run(self.here.sign_ins.list_of(self.user.id))}
        assert listed == {f.sign_in for f in self.known if f.alive and self.clock.us < f.ends_us}

    @invariant()
    def each_chain_has_one_end(self) -> None:
        for family in self.known:
            assert self.run(self.count_active(family.sign_in)) <= 1

    async def count_active(self, sign_in: str) -> int:
        query = {"sign_in": sign_in, "active": True}
        return int(await self.here.database["refresh_tokens"].count_documents(query))


def test_sign_ins_do_what_a_plain_model_of_them_does(
    mongo_url: str, mongo_database: str, redis_url: str, redis_prefix: str
) -> None:
    class Here(Walk):
        stores = (mongo_url, mongo_database, redis_url, redis_prefix)

    run_state_machine_as_test(
        Here, settings=settings(max_examples=25, stateful_step_count=25, deadline=None)
    )


async def test_a_sign_in_begun_while_everything_ends_ends_too(here: Made) -> None:
    user = user_of("u_1", here.clock)
    await here.accounts.insert(user)
    await here.sign_ins.end_everything("u_1")
    late = await here.sign_ins.begin(user, DEVICE)  # it had read the account before
    with pytest.raises(AppError):
        await here.sign_ins.refresh(late.refresh, DEVICE.id)
    with pytest.raises(AppError):
        await here.sign_ins.require(late.sign_in.id)


async def test_other_roles_end_what_is_signed_in(here: Made) -> None:
    user = user_of("u_1", here.clock)
    await here.accounts.insert(user)
    tokens = await here.sign_ins.begin(user, DEVICE)
    assert here.verifier.principal(tokens.access).roles == {Role.GUARDIAN}
    assert await here.sign_ins.change_roles("u_1", [Role.THERAPIST])
    job = asyncio.create_task(here.revocations.run())
    try:
        async with asyncio.timeout(2):
            while not here.revocations.covers(tokens.sign_in.id):
                await asyncio.sleep(0.01)
    finally:
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
    with pytest.raises(AppError, match="signed out"):
        here.verifier.principal(tokens.access)
    assert not await here.sign_ins.change_roles("u_2", [Role.ADMIN])
    assert here.revocations.outdates("u_1", 1)
    assert not here.revocations.outdates("u_1", 2)


async def test_a_childs_device_reaches_one_child_and_ends_with_its_guardian(here: Made) -> None:
    user = user_of("u_1", here.clock)
    await here.accounts.insert(user)
    tokens = await here.sign_ins.issue_child_device(user, "c_1", DEVICE)
    who = here.verifier.principal(tokens.access)
    assert (who.roles, who.child_id, who.user_id) == ({Role.CHILD}, "c_1", "u_1")
    again = await here.sign_ins.refresh(tokens.refresh, DEVICE.id)
    assert here.verifier.principal(again.access).child_id == "c_1"
    [listed] = await here.sign_ins.list_of_child("c_1")
    assert listed.id == tokens.sign_in.id
    await here.sign_ins.end_everything("u_1")
    assert await here.sign_ins.list_of_child("c_1") == []


async def test_devices_of_children_and_of_people_make_room_among_themselves(here: Made) -> None:
    user = user_of("u_1", here.clock)
    await here.accounts.insert(user)
    own = await here.sign_ins.begin(user, DEVICE)
    for child in ("c_1", "c_2"):
        for _ in range(LIVES.each + 1):
            here.clock.move(1)
            await here.sign_ins.issue_child_device(user, child, DEVICE)
    held = await here.sign_ins.list_of("u_1")
    assert len(held) == 1 + 2 * LIVES.each
    await here.sign_ins.require(own.sign_in.id)


async def test_when_the_workers_cannot_be_told_the_caller_is(here: Made, redis_url: str) -> None:
    user = user_of("u_1", here.clock)
    await here.accounts.insert(user)
    tokens = await here.sign_ins.begin(user, DEVICE)
    here.revocations._redis = here.redis.from_url("redis://127.0.0.1:9", socket_timeout=0.2)
    with pytest.raises(AppError) as busy:
        await here.sign_ins.end("u_1", tokens.sign_in.id)
    assert busy.value.code is ErrorCode.BUSY
    with pytest.raises(AppError):  # it has ended all the same
        await here.sign_ins.refresh(tokens.refresh, DEVICE.id)
    here.revocations._redis = here.redis
    await here.sign_ins.end("u_1", tokens.sign_in.id)  # asking again is safe


async def test_a_crash_between_using_a_token_and_storing_the_next_loses_nobody(
    here: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = user_of("u_1", here.clock)
    await here.accounts.insert(user)
    tokens = await here.sign_ins.begin(user, DEVICE)
    repo = here.sign_ins._repo
    store, broken = repo.add_token, AsyncFailure()
    monkeypatch.setattr(repo, "add_token", broken)
    with pytest.raises(ConnectionError):
        await here.sign_ins.refresh(tokens.refresh, DEVICE.id)
    monkeypatch.setattr(repo, "add_token", store)
    again = await here.sign_ins.refresh(tokens.refresh, DEVICE.id)
    assert (await repo.find_token(digest_of(again.refresh)) or {})["active"]


class AsyncFailure:
    """A call that fails on its way."""

    async def __call__(self, *_: object) -> None:
        raise ConnectionError


async def test_over_and_closed_accounts_cannot_go_on(here: Made) -> None:
    user = user_of("u_1", here.clock)
    await here.accounts.insert(user)
    tokens = await here.sign_ins.begin(user, DEVICE)
    await here.database["users"].update_one({"_id": "u_1"}, {"$set": {"status": "withdrawn"}})
    with pytest.raises(AppError):
        await here.sign_ins.refresh(tokens.refresh, DEVICE.id)
