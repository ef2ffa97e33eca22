"""What the outbox makes of failures: it tries again, gives up aloud, and stops for none."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from clients.mail import Mail
from config.services import OutboxSettings
from config.settings import load_settings
from jobs.outbox import LONGEST_WAIT, TROUBLE, WAIT, Postman, Relay
from models.db import DatabaseError, Mongo
from models.mails import NOTICE_LIFE
from models.outbox import Kind, Outbox
from server.__main__ import main
from tests.jobs.posts import CIPHER, MAIL, Post, counted, smtp
from tests.models.accounts.made import now_clock


async def test_a_mail_that_breaks_its_carrier_holds_up_no_other(
    here: Post, caplog: pytest.LogCaptureFixture
) -> None:
    class Breaks:
        async def send(self, mail: Mail, mail_id: str | None = None) -> None:
            if mail.subject == "breaks":
                raise ValueError(mail.to)
            await smtp(here.fake.port).send(mail, mail_id)

    job = asyncio.create_task(here.relay(Breaks(), attempts=1).run())
    await here.mails.post(Mail(MAIL.to, "breaks", ""), key="first", about="u_1")
    await here.post()
    await here.fake.text(MAIL.to)
    async with asyncio.timeout(5):
        while not here.alarms:
            await asyncio.sleep(0.01)
    job.cancel()
    await asyncio.wait({job})
    assert job.cancelled()
    dead = here.rows.find_one({"status": "dead"})
    assert dead is not None
    assert (dead["error"], dead["attempts"]) == ("ValueError", 1)
    ours = [record.getMessage() for record in caplog.records if record.name != "mail.log"]
    assert "minjun" not in str([ours, here.alarms, dead])


async def test_an_outage_is_alarmed_of_once_and_the_next_one_again(here: Post) -> None:
    relay = here.relay(attempts=100)
    for outage in (1, 2):
        here.fake.replies = ["451 later"] * 3 * TROUBLE
        for n in range(3):
            await here.post(f"{outage} {n}")
        while here.fake.replies:
            assert len(here.alarms) == outage - (here.fails() < TROUBLE)
            if not await relay.look():
                here.clock.move(60)
        here.clock.move(LONGEST_WAIT.total_seconds())
        while await relay.look():
            pass
    assert len(here.fake.taken) == 6
    assert len(here.alarms) == 2


async def test_a_notice_is_tried_for_nearly_as_long_as_it_is_of_use(here: Post) -> None:
    attempts = load_settings().outbox.attempts
    waits = [min(WAIT * (1 << min(n, 12)), LONGEST_WAIT) for n in range(attempts - 1)]
    tried = sum(waits, timedelta())
    assert NOTICE_LIFE - timedelta(hours=4) < tried < NOTICE_LIFE


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
    assert here.row()["error"] == "mail: status 451 to DATA"
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
    here.fake.rcpt_replies = ["550 5.1.1 never"]
    await here.post()
    assert await here.relay().look()
    assert here.row()["status"] == "dead"
    assert not here.alarms


async def test_what_cannot_be_opened_is_given_up_with_an_alarm(here: Post) -> None:
    await here.post()
    here.rows.update_one({}, {"$set": {"payload": "s1.gone.AAAA"}})
    assert await here.relay().look()
    assert here.row()["status"] == "dead"
    assert here.alarms


async def test_without_a_mail_server_a_mail_is_dropped_aloud_and_not_called_done(
    here: Post, caplog: pytest.LogCaptureFixture
) -> None:
    before = counted("dropped")
    await here.post()
    relay = Relay(
        here.outbox, {Kind.MAIL: Postman(None)}, here.clock, here.alarms.append,
        OutboxSettings(attempts=1, look_seconds=1),
    )  # fmt: skip
    assert await relay.look()
    assert "set mail.host" in caplog.text
    assert here.row()["status"] == "dropped"
    assert counted("dropped") == before + 1


async def test_a_database_that_is_away_ends_the_job_as_an_outage() -> None:
    mongo = Mongo("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=50", "x")
    relay = Relay(
        Outbox(mongo.database, CIPHER), {}, now_clock(), print,
        OutboxSettings(attempts=1, look_seconds=1),
    )  # fmt: skip
    with pytest.raises(DatabaseError):
        await relay.run()
    await mongo.close()


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
    assert (status, [one["error"] for one in listed]) == (0, ["mail: status 554 to DATA"] * 2)
    assert "minjun" not in str(listed)
    status, again = await outbox("retry", "--id", listed[0]["id"])
    assert (status, [one["retried"] for one in again]) == (0, [True])
    here.clock.move(60)
    assert await here.relay().look()
    assert len(here.fake.taken) == 1
    assert (await outbox("retry", "--id", listed[0]["id"]))[0] == 1, "it is not dead any more"
    assert len((await outbox("list", "--kind", "mail"))[1]) == 1


async def test_what_was_given_up_is_found_by_an_index(here: Post) -> None:
    looked = {"find": "outbox", "filter": {"status": "dead"}, "sort": {"put_at": 1}}
    plan = await here.mongo.database.command("explain", looked, verbosity="queryPlanner")
    winner = str(plan["queryPlanner"]["winningPlan"])
    assert "IXSCAN" in winner
    assert "SORT" not in winner
