"""What goes on whether anybody plays or not: the part that `serve` and `worker` have in common."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from jobs.alarms import Alarms
from jobs.flush import Flusher
from jobs.grades import GradeRounds
from jobs.indexes import Indexes
from jobs.outbox import Postman, Relay
from models.admin.forced_repo import ForcedTokenRepo
from models.admin.timeline import Timeline
from models.answers import Answers
from models.outbox import Kind
from models.play.pressure import Pressure
from models.play.repo import PlayRepo
from server.parts.accounts import AccountParts, build_accounts
from server.parts.families import Families, build_families
from server.parts.grades import build_grades
from server.parts.withdrawal import LeavingParts, build_leaving
from server.stores import Stores

Run = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Background:
    """The parts, and the jobs of them.

    Any number of processes may have them on the same stores: each job takes what it works on by a
    lease, or changes nothing when it is done twice.
    """

    stores: Stores
    people: AccountParts
    families: Families
    leaving: LeavingParts
    relay: Relay
    grades: GradeRounds
    indexes: Indexes
    alarms: Alarms
    pressure: Pressure
    flusher: Flusher
    flushes: bool
    """False where another process does."""

    def jobs(self) -> Iterator[tuple[str, Run]]:
        """Yield every job with its name."""
        yield "bus publishing", self.stores.bus.run_publishing
        yield "indexes", self.indexes.run
        yield "alarms", self.alarms.run
        yield "outbox", self.relay.run
        yield "withdrawals", self.leaving.job.run
        yield "news", self.leaving.news.run
        yield "grades", self.grades.run
        if self.flushes:
            yield "flush", self.flusher.run

    async def drain(self, seconds: float) -> None:
        """Store what waits in the streams, for so long at most."""
        if self.flushes:
            await self.flusher.drain(seconds)

    async def close(self) -> None:
        """Close every connection, those to the stores last."""
        await self.alarms.close()
        await self.people.close()
        await self.stores.close()


def build_background(
    stores: Stores,
    *,
    flush: bool,
    muted: bool = False,
    alarm: Callable[[str], None] | None = None,
) -> Background:
    """Return the parts; nothing is connected by it.

    Args:
        flush: whether this process flushes.
        muted: nobody is mailed of what this process does.
        alarm: tells whoever runs it; None tells the operators, by a job of its own.
    """
    settings, mongo = stores.settings, stores.mongo
    alarms = Alarms(settings.discord_webhook)
    alarm = alarm or alarms.raise_alarm
    people = build_accounts(stores, muted=muted)
    families = build_families(
        mongo,
        stores.redis,
        stores.bus,
        prefix=settings.store.redis_prefix,
        cipher=stores.cipher,
        clock=stores.clock,
        settings=settings.care,
    )
    leaving = build_leaving(stores, people=people, families=families, alarm=alarm)
    relay = Relay(
        people.outbox,
        {Kind.MAIL: Postman(people.mailer)},
        stores.clock,
        alarm,
        settings.outbox,
    )
    play = PlayRepo(mongo.database)
    flusher = Flusher(
        stream=stores.stream,
        repo=play,
        clock=stores.clock,
        settings=settings.store,
        alarm=alarm,
    )
    indexed = (
        Answers(mongo.database, stores.clock),
        *families.indexed,
        ForcedTokenRepo(mongo.database),
        Timeline(mongo.database),
        leaving.repo,
        leaving.inbox,
        people.outbox,
        people.tombstones,
    )
    return Background(
        stores=stores,
        people=people,
        families=families,
        leaving=leaving,
        relay=relay,
        grades=build_grades(settings, families.grade_repo, play, families.attributes, stores.clock),
        indexes=Indexes(indexed),
        alarms=alarms,
        pressure=Pressure(settings.store.alarm_share, settings.store.refuse_share, alarm),
        flusher=flusher,
        flushes=flush,
    )
