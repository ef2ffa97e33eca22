"""The outbox: whatever happens, a mail arrives, or is over."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from clients.base import UpstreamError
from clients.mail import Mail
from jobs.outbox import LEASE
from models.mails import Mails
from models.outbox import GRACE, DeadParcels, Kind, Outbox
from tests.jobs.posts import CIPHER, MAIL, Post, counted


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


async def test_a_running_relay_sends_what_is_posted_at_once(here: Post) -> None:
    job = asyncio.create_task(here.relay(look_seconds=3600).run())
    for n in range(2):  # by the second it has looked, and waits
        await here.post(f"k{n}")
        await here.fake.text(MAIL.to, n + 1)
    job.cancel()
    await asyncio.wait({job})
    assert job.cancelled()


async def test_a_running_relay_sends_what_others_put(here: Post) -> None:
    job = asyncio.create_task(here.relay().run())
    other = Mails(Outbox(here.mongo.database, CIPHER), here.clock)
    for n in range(2):
        await other.post(MAIL, key=f"k{n}", about="u_1")
        await here.fake.text(MAIL.to, n + 1)
    job.cancel()
    await asyncio.wait({job})
    assert job.cancelled()


async def test_a_mail_that_nobody_takes_is_gone_a_day_after_it_expired(here: Post) -> None:
    await here.post()
    put = here.row()
    assert put["until"] == put["expires_at"] + GRACE
    here.fake.replies = ["554 never"]
    assert await here.relay().look()
    assert here.row()["until"] == put["expires_at"]
    assert await DeadParcels(here.mongo.database).retry(put["_id"], here.clock.now())
    assert here.row()["until"] == put["until"]


async def test_mail_about_one_account_can_be_delivered_alone(here: Post) -> None:
    await here.post("earlier")
    await here.mails.post(MAIL, key="k", about="u_2")
    relay = here.relay()
    assert await relay.look("u_2")
    assert not await relay.look("u_2")
    assert here.rows.count_documents({"attempts": 0, "lease_until": None, "status": "pending"}) == 1


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
