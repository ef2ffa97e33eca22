"""The families of one database, on real stores, with a clock of their own."""

from datetime import date
from typing import Any

from redis.asyncio import Redis

from config.settings import load_settings
from models.accounts.records import Principal, Role
from models.bus import Bus
from models.children.access import Visit
from models.children.actions import Profile
from models.children.records import Child
from models.cipher import FieldCipher, KeyRing
from models.db import Mongo
from models.errors import AppError
from server.parts.families import Families, build_families
from tests.factories import ManualClock

CIPHER = FieldCipher(KeyRing({"k": bytes(32)}, "k", bytes(32)))


def who_is(user_id: str, *roles: Role, **more: Any) -> Principal:
    """Return somebody who is signed in."""
    return Principal(user_id, "s", frozenset(roles), 2**40, **more)


def visit(clock: ManualClock, purpose: str = "read", reason: str | None = None) -> Visit:
    return Visit(purpose, "a test", reason, None, "t", clock.now())


class Stores:
    """The families of one database, and what is looked at beside them."""

    def __init__(self, mongo: Mongo, families: Families, clock: ManualClock) -> None:
        self.mongo = mongo
        self.families = families
        self.clock = clock

    async def add(self, child_id: str, guardian: str) -> Child:
        """Add a child."""
        said = Profile("김지우", date(2018, 3, 4), None, None, None, "ko", "Asia/Seoul")
        return await self.families.children.add(child_id, guardian, said)

    async def code(self, who: Principal, child_id: str, purpose: str, **more: Any) -> str:
        """Return how the door answers: `in`, or the code of its refusal."""
        try:
            await self.families.access.child(who, child_id, visit(self.clock, purpose, **more))
        except AppError as error:
            return error.code.value
        return "in"


def stores_on(mongo: Mongo, redis: Redis, prefix: str) -> Stores:
    """Return the families on these stores; nothing is connected by it."""
    clock = ManualClock()
    families = build_families(
        mongo,
        redis,
        Bus(redis),
        prefix=prefix,
        cipher=CIPHER,
        clock=clock,
        settings=load_settings().care,
    )
    return Stores(mongo, families, clock)
