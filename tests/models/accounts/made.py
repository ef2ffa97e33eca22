"""Sign-ins and accounts over real stores, on a clock that is moved by hand."""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from redis.asyncio import Redis

from models.accounts.records import Device, Provider, Role, SignInMethod, User
from models.accounts.repo import AccountRepo
from models.accounts.revocations import Revocations
from models.accounts.sign_in_repo import SignInRepo
from models.accounts.sign_ins import Lives, SignIns
from models.accounts.signing import Issuer, Signer
from models.accounts.tokens import Key, Verifier
from models.bus import Bus
from models.cipher import FieldCipher, KeyRing
from models.db import Database, Mongo
from models.mails import Mails
from models.outbox import Outbox
from tests.factories import ManualClock

RING = KeyRing({"k": bytes(32)}, "k", bytes(32))
DEVICE = Device("device-0001", "tablet", "android")
LIVES = Lives(
    idle=timedelta(days=30), absolute=timedelta(days=90), reuse=timedelta(seconds=10), each=10
)


def now_clock() -> ManualClock:
    """Return a clock that stands at this second: MongoDB removes what is over by its own."""
    return ManualClock(int(time.time()) * 1_000_000)


@dataclass(frozen=True, slots=True)
class Made:
    """What a test talks to."""

    sign_ins: SignIns
    accounts: AccountRepo
    database: Database
    revocations: Revocations
    verifier: Verifier
    clock: ManualClock
    redis: Redis


@asynccontextmanager
async def made(
    mongo_url: str, database: str, redis_url: str, prefix: str, clock: ManualClock | None = None
) -> AsyncIterator[Made]:
    """Connect, and build sign-ins on it."""
    clock = clock or now_clock()
    mongo = Mongo(mongo_url, database)
    redis = Redis.from_url(redis_url, protocol=2)
    try:
        revocations = Revocations(redis, Bus(redis), prefix, clock)
        accounts = AccountRepo(mongo.database)
        private = ec.generate_private_key(ec.SECP256R1())
        ids = count()
        sign_ins = SignIns(
            repo=SignInRepo(mongo.database),
            accounts=accounts,
            issuer=Issuer(
                signer=Signer("k", private),
                issuer="i",
                audience="a",
                seconds=900,
                clock=clock,
                new_id=lambda: f"j{next(ids)}",
            ),
            revocations=revocations,
            clock=clock,
            lives=LIVES,
            mails=Mails(Outbox(mongo.database, FieldCipher(RING)), clock),
            new_secret=lambda: secrets.token_hex(32),
            new_id=lambda: secrets.token_hex(16),
        )
        key = Key(kid="k", public=private.public_key(), grants=False)
        verifier = Verifier(
            [key], "i", "a", 0, revocations.covers, revocations.outdates, clock=clock
        )
        yield Made(sign_ins, accounts, mongo.database, revocations, verifier, clock, redis)
    finally:
        await mongo.close()
        await redis.aclose()


def user_of(user_id: str, clock: ManualClock, **more: Any) -> User:
    """Return an account."""
    method = SignInMethod(Provider.GOOGLE, f"g-{user_id}", clock.now())
    fields = {
        "id": user_id,
        "roles": (Role.GUARDIAN,),
        "methods": (method,),
        "locale": "ko",
        "zone": "Asia/Seoul",
        "created_at": clock.now(),
        **more,
    }
    return User(**fields)
