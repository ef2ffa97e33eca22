"""The part of the composition that is about what admins do."""

import secrets
from collections.abc import Callable

from config.clock import Clock
from config.settings import TokenSettings
from models.accounts.passwords import Hasher
from models.accounts.repo import AccountRepo
from models.accounts.revocations import Revocations
from models.accounts.signing import Issuer, Signer
from models.admin.administration import Administration
from models.admin.attributes import AccountAttributes
from models.admin.forced import FORCED_SECONDS, ForcedTokens
from models.admin.forced_repo import ForcedTokenRepo
from models.admin.people import People
from models.admin.test_accounts import TestAccounts
from models.admin.test_repo import TestAccountRepo
from models.admin.timeline import Timeline
from models.children.repo import ChildRepo
from models.cipher import FieldCipher
from models.clinic.repo import CareRepo
from models.db import Mongo
from server.parts.families import Families
from sessions.rehearsal import Rehearsal


def build_administration(
    mongo: Mongo,
    *,
    accounts: AccountRepo,
    revocations: Revocations,
    cipher: FieldCipher,
    signer: Signer,
    token: TokenSettings,
    hasher: Hasher,
    families: Families,
    rehearsal: Rehearsal,
    clock: Clock,
    alarm: Callable[[str], None],
) -> Administration:
    """Return what admins do; nothing is connected by it."""
    people = People(accounts, ChildRepo(mongo), CareRepo(mongo), cipher)
    timeline = Timeline(mongo.database)
    tokens = ForcedTokenRepo(mongo.database)
    issuer = Issuer(
        signer=signer,
        issuer=token.issuer,
        audience=token.audience,
        seconds=FORCED_SECONDS,
        clock=clock,
        new_id=lambda: secrets.token_hex(16),
    )
    return Administration(
        people,
        timeline,
        ForcedTokens(tokens, accounts, issuer, revocations, clock, alarm),
        TestAccounts(
            TestAccountRepo(mongo.database),
            accounts,
            hasher,
            families.children,
            families.consents,
            revocations,
            cipher,
            clock,
            rehearsal.store,
        ),
        AccountAttributes(accounts, families.attributes),
    )
