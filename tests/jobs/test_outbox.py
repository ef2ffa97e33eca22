"""The outbox: whatever happens, a mail arrives, is given up aloud, or is over."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
import pytest

from clients.base import UpstreamError
from clients.mail import Mail, Mailer, SmtpMailer
from config import metrics
from config.services import OutboxSettings
from jobs.outbox import LEASE, LONGEST_WAIT, Postman, Relay
from models.cipher import FieldCipher, KeyRing
from models.db import DatabaseError, Mongo
from models.mails import Mails
from models.outbox import Kind, Outbox
from server.__main__ import main
from tests.factories import ManualClock
from tests.fakes.messengers import FakeMail, fake_mail
from tests.models.accounts.made import now_clock

Rows = Any
MAIL = Mail("minjun@example.com", "인증번호", "인증번호: ABCD-EFGH\n")
CIPHER = FieldCipher(KeyRing({"k": bytes(32)}, "k", bytes(32)))


@dataclass
class Post:
    """An outbox, whoever delivers from it, and what is seen of both."""

    mongo: Mongo
    outbox: Outbox
    mails: Mails
    clock: ManualClock
    fake: FakeMail
    rows: Rows
    alarms: list[str] = field(default_factory=list)

    def relay(self, mailer: Mailer | None = None, attempts: int = 3) -> Relay:
        """Return somebody who delivers, by the mail server unless another way is given."""
        return Relay(
            self.outbox,
            {Kind.MAIL: Postman(mailer or smtp(self.fake.port))},
            self.clock,
            self.alarms.append,
            OutboxSettings(attempts=attempts, look_seconds=0.01),
        )

    async def post(self, key: str = "k", **more: Any) -> None:
        """Post the mail."""
        await self.mails.post(MAIL, key=key, about="u_1", **more)

    def row(self) -> dict[str, Any]:
        """Return the one row there is."""
        [row] = self.rows.find({})
        return {
            name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
            for name, value in row.items()
        }


def smtp(port: int) -> SmtpMailer:
    """Return a client of the mail server."""
    return SmtpMailer("127.0.0.1", port, "none", "gemgem <no-reply@example.com>", None, None)


def counted(outcome: str) -> float:
    """Return how many parcels came to this."""
    return metrics.OUTBOX.labels("mail", outcome)._value.get()


@pytest.fixture
async def here(
    mongo_url: str, mongo_database: str, mongo_admin: pymongo.MongoClient[dict[str, object]]
) -> AsyncIterator[Post]:
    """Return an empty outbox and a mail server."""
    mongo, clock = Mongo(mongo_url, mongo_database), now_clock()
    outbox = Outbox(mongo.database, CIPHER)
    await outbox.ensure_indexes()
    async with fake_mail() as fake:
        rows = mongo_admin[mongo_database]["outbox"]
        yield Post(mongo, outbox, Mails(outbox, clock), clock, fake, rows)
    await mongo.close()


async def test_a_mail_that_is_posted_arrives_once_and_its_row_forgets_it(here: Post) -> None:
    relay = here.relay()
    for _ in range(3):
        await here.post()
    row = here.row()
    assert "minjun" not in str(row)
    assert "ABCD" not in str(row)
    assert await relay.look()
    assert not await relay.look()
    [(to, message)] = here.fake.taken
    assert to == MAIL.to
    assert message["Message-ID"] == f"<{row['_id'].partition(':')[2]}@example.com>"
    assert here.row().keys() == {"_id", "kind", "status", "put_at", "attempts", "until"}
    await here.post()
    assert not await relay.look(), "the same mail is known for as long as it would have lived"


async def test_a_running_relay_sends_what_is_posted_at_once_and_what_others_put(here: Post) -> None:
    job = asyncio.create_task(here.relay().run())
    await here.post()
    await here.fake.text(MAIL.to)
    other = Mails(Outbox(here.mongo.database, CIPHER), here.clock)
    await other.post(MAIL, key="another", about="u_1")
    await here.fake.text(MAIL.to, 2)
    job.cancel()
    assert isinstance((await asyncio.gather(job, return_exceptions=True))[0], BaseException)


async def test_what_fails_is_tried_again_and_then_given_up_aloud(
    here: Post, caplog: pytest.LogCaptureFixture
) -> None:
    relay, before = here.relay(), counted("dead")
    here.fake.replies = ["451 minjun later"] * 3
    await here.post()
    waits = []
    while not here.alarms:
        assert await relay.look()
        assert not await relay.look(), "not before its time"
        row = here.row()
        if "next_attempt_at" in row:
            waits.append((row["next_attempt_at"] - here.clock.now()).total_seconds())
            here.clock.move(waits[-1])
    assert waits == [1, 2]
    assert here.row()["status"] == "dead"
    assert here.row()["error"] == "mail: status 451"
    assert counted("dead") == before + 1
    ours = [record.getMessage() for record in caplog.records if record.name != "mail.log"]
    assert "minjun" not in str([ours, here.alarms, here.row()])


async def test_no_wait_is_longer_than_the_longest(here: Post) -> None:
    await here.post()
    here.rows.update_one({}, {"$set": {"attempts": 40}})
    here.fake.replies = ["451 later"]
    assert await here.relay(attempts=100).look()
    assert here.row()["next_attempt_at"] - here.clock.now() == LONGEST_WAIT


async def test_an_address_that_is_refused_for_good_wakes_nobody(here: Post) -> None:
    here.fake.replies = ["554 never"]
    await here.post()
    assert await here.relay().look()
    assert here.row()["status"] == "dead"
    assert not here.alarms


async def test_a_code_whose_time_is_over_is_dropped_and_counted(here: Post) -> None:
    before = counted("expired")
    await here.post(life=timedelta(minutes=30))
    here.clock.move(30 * 60)
    assert await here.relay().look()
    assert not here.fake.taken
    assert here.row()["status"] == "expired"
    assert "payload" not in here.row()
    assert counted("expired") == before + 1


async def test_a_worker_that_is_killed_loses_no_mail(here: Post) -> None:
    await here.post()
    claimed = await here.relay()._claim()
    assert claimed is not None
    relay = here.relay()
    assert not await relay.look(), "somebody has it"
    here.clock.move(LEASE.total_seconds())
    assert await relay.look()
    assert len(here.fake.taken) == 1


async def test_a_worker_killed_between_sending_and_writing_it_down_sends_once_more_at_most(
    here: Post,
) -> None:
    await here.post()
    first = here.relay()
    claimed = await first._claim()
    assert claimed is not None
    await first._carriers[Kind.MAIL].deliver(claimed.id, here.outbox.read(claimed))
    here.clock.move(LEASE.total_seconds())
    assert await here.relay().look()
    assert not await here.relay().look()
    ids = [message["Message-ID"] for _, message in here.fake.taken]
    assert len(ids) == 2
    assert len(set(ids)) == 1, "who gets it twice can tell"


async def test_a_worker_that_lost_its_lease_does_not_give_up_what_another_has(here: Post) -> None:
    await here.post()
    slow = await here.relay()._claim()
    assert slow is not None
    here.clock.move(LEASE.total_seconds())
    other = await here.relay()._claim()
    assert other is not None
    await here.outbox.give_up(slow, "late", here.clock.now())
    await here.outbox.put_off(slow, "late", here.clock.now())
    assert here.row()["status"] == "pending"
    assert here.row()["lease_until"] == other.row["lease_until"]


async def test_many_relays_send_each_mail_once(here: Post) -> None:
    for n in range(20):
        await here.post(f"k{n}")
    relays = [here.relay() for _ in range(5)]
    jobs = [asyncio.create_task(relay.run()) for relay in relays]
    async with asyncio.timeout(10):
        while here.rows.count_documents({"status": "done"}) < 20:
            await asyncio.sleep(0.02)
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)
    assert len(here.fake.taken) == 20


async def test_a_kind_of_a_newer_process_is_left_to_it(here: Post) -> None:
    await here.post()
    here.rows.update_one({}, {"$set": {"kind": "push"}})
    assert not await here.relay().look()


async def test_what_cannot_be_opened_is_given_up_with_an_alarm(here: Post) -> None:
    await here.post()
    here.rows.update_one({}, {"$set": {"payload": "s1.gone.AAAA"}})
    assert await here.relay().look()
    assert here.row()["status"] == "dead"
    assert here.alarms


async def test_a_mail_to_nobody_is_written_like_any_other_and_never_sent(here: Post) -> None:
    await here.post()
    await here.mails.feign(MAIL, key="unknown", life=timedelta(minutes=30))
    assert await here.relay().look()
    assert not await here.relay().look()
    void = here.rows.find_one({"status": "void"})
    assert void is not None
    assert void["until"] == void["expires_at"]
    assert {"payload", "about"} <= void.keys()


async def test_a_change_that_is_taken_back_tells_nobody(here: Post) -> None:
    async def work(session: Any) -> None:
        await here.post(session=session)
        raise ValueError("changed its mind")

    with pytest.raises(ValueError, match="changed"):
        await here.mongo.transact(work)
    assert here.rows.count_documents({}) == 0


async def test_muted_mails_are_not_even_written(here: Post) -> None:
    await Mails(here.outbox, here.clock, muted=True).post(MAIL, key="k", about="u_1")
    assert here.rows.count_documents({}) == 0


async def test_without_a_mail_server_a_mail_is_dropped_with_a_warning(
    here: Post, caplog: pytest.LogCaptureFixture
) -> None:
    await here.post()
    await Postman(None).deliver("mail:1", json.dumps(["a", "b", "c"]))
    assert "set mail.host" in caplog.text


async def test_a_database_that_is_away_ends_the_job_as_an_outage() -> None:
    mongo = Mongo("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=50", "x")
    relay = Relay(
        Outbox(mongo.database, CIPHER), {}, now_clock(), print,
        OutboxSettings(attempts=1, look_seconds=1),
    )  # fmt: skip
    with pytest.raises(DatabaseError):
        await relay.run()
    await mongo.close()


@pytest.mark.parametrize("outcome", [None, UpstreamError("mail", "away", retryable=True)])
async def test_the_relay_ends_though_a_library_keeps_the_cancellation(
    here: Post, outcome: UpstreamError | None
) -> None:
    sending = asyncio.Event()

    class Deaf:
        async def send(self, mail: Mail, mail_id: str | None = None) -> None:
            sending.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if outcome is not None:
                    raise outcome from None

    job = asyncio.create_task(here.relay(Deaf()).run())
    await here.post()
    await sending.wait()
    job.cancel()
    await asyncio.wait({job}, timeout=2)
    assert job.cancelled()


async def test_an_operator_lists_what_was_given_up_and_has_it_tried_again(
    here: Post,
    mongo_url: str,
    mongo_database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GEMGEM_MONGO_URL", mongo_url)
    monkeypatch.setenv("GEMGEM_STORE__MONGO_DATABASE", mongo_database)

    async def outbox(*args: str) -> tuple[int, list[Any]]:
        capsys.readouterr()
        status = await asyncio.to_thread(main, ["outbox", *args, "--json"])
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    here.fake.replies = ["554 never", "554 never"]
    for n in range(2):
        await here.post(f"k{n}")
        assert await here.relay().look()
    status, listed = await outbox("list")
    assert (status, [one["error"] for one in listed]) == (0, ["mail: status 554"] * 2)
    assert "minjun" not in str(listed)
    status, again = await outbox("retry", "--id", listed[0]["id"])
    assert (status, [one["retried"] for one in again]) == (0, [True])
    here.clock.move(60)
    assert await here.relay().look()
    assert len(here.fake.taken) == 1
    assert (await outbox("retry", "--id", listed[0]["id"]))[0] == 1, "it is not dead any more"
    assert len((await outbox("list", "--kind", "mail"))[1]) == 1
