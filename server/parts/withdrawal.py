"""The part of the composition that is about leaving the product."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from jobs.inbox import NewsDesk
from jobs.withdrawal import Leaving
from models.inbox import Inbox
from models.play.erasure import PlayErasure
from models.webhooks import Webhooks
from models.withdrawal.actions import Withdrawals
from models.withdrawal.cut import Cuts
from models.withdrawal.erasure import Erasure
from models.withdrawal.notices import Notices
from models.withdrawal.outside import Farewells
from models.withdrawal.repo import WithdrawalRepo
from models.withdrawal.saga import Saga, SagaParts
from server.parts.accounts import AccountParts
from server.parts.families import Families
from server.stores import Stores


@dataclass(frozen=True, slots=True)
class LeavingParts:
    """What people do about it, and the job that carries it out."""

    withdrawals: Withdrawals
    repo: WithdrawalRepo
    job: Leaving
    webhooks: Webhooks
    inbox: Inbox
    news: NewsDesk


def build_leaving(
    stores: Stores, *, people: AccountParts, families: Families, alarm: Callable[[str], None]
) -> LeavingParts:
    """Return the parts; nothing is connected by it."""
    settings, mongo, redis = stores.settings, stores.mongo, stores.redis
    cipher, clock = stores.cipher, stores.clock
    rules, store = settings.withdrawal, settings.store
    repo = WithdrawalRepo(mongo)
    farewells = Farewells(
        repo, cipher, people.vouchers.apple, people.vouchers.kakao, rules.outside_attempts
    )
    play = PlayErasure(
        mongo.database, redis, stores.keys, stores.stream, store.session_ttl_seconds, clock
    )
    notices = Notices(people.mails, cipher)
    saga = Saga(
        SagaParts(
            repo=repo,
            accounts=people.repo,
            sign_ins=people.accounts.sign_ins,
            revocations=stores.revocations,
            children=families.child_repo,
            care=families.care_repo,
            changes=families.changes,
            play=play,
            erasure=Erasure(mongo.database, redis, store.redis_prefix),
            farewells=farewells,
            notices=notices,
            tombstones=people.tombstones,
            cipher=cipher,
            clock=clock,
            tombstone_life=timedelta(days=rules.tombstone_days),
        )
    )
    undo = timedelta(hours=rules.undo_hours)
    withdrawals = Withdrawals(repo, people.repo, saga, notices, cipher, clock, undo)
    inbox = Inbox(mongo.database, cipher, timedelta(days=settings.webhook.keep_days))
    webhooks = Webhooks(inbox, people.vouchers.apple, people.vouchers.kakao, clock, alarm)
    cuts = Cuts(people.repo, people.accounts.sign_ins, withdrawals, cipher)
    return LeavingParts(
        withdrawals=withdrawals,
        webhooks=webhooks,
        inbox=inbox,
        news=NewsDesk(inbox, webhooks, cuts, clock, alarm, settings.webhook),
        repo=repo,
        job=Leaving(repo, saga, farewells, clock, stores.node, alarm, rules.look_seconds),
    )
