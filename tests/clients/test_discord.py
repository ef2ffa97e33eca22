"""Posting to the operators: retried while that helps, given up in words that hide the URL."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from clients.base import Upstream, UpstreamError
from clients.discord import CONTENT_MAX, Discord
from jobs.alarms import Alarms
from tests.fakes.discord import FakeDiscord, fake_discord


@pytest.fixture
async def fake() -> AsyncIterator[FakeDiscord]:
    async with fake_discord() as discord:
        yield discord


@pytest.fixture
async def discord(fake: FakeDiscord) -> AsyncIterator[Discord]:
    client = Discord(fake.url, Upstream("discord", base_s=0.001))
    yield client
    await client.close()


async def test_a_note_is_posted_and_pings_nobody(discord: Discord, fake: FakeDiscord) -> None:
    await discord.post("@everyone " + "x" * 3000)
    [note] = fake.taken
    assert len(note["content"]) == CONTENT_MAX
    assert note["allowed_mentions"] == {"parse": []}


async def test_what_passes_is_waited_for(discord: Discord, fake: FakeDiscord) -> None:
    fake.answers = [(429, {"Retry-After": "0.01"}), (503, {}), (500, {})]
    await discord.post("hello")
    assert fake.asked == 4
    assert len(fake.taken) == 1


async def test_what_does_not_pass_is_given_up(discord: Discord, fake: FakeDiscord) -> None:
    fake.answers = [(503, {})] * 10
    with pytest.raises(UpstreamError) as failed:
        await discord.post("hello")
    assert failed.value.retryable
    assert fake.asked == 4
    fake.answers = [(404, {})]
    with pytest.raises(UpstreamError) as refused:
        await discord.post("hello")
    assert not refused.value.retryable
    assert "secret" not in str(failed.value) + str(refused.value)


async def test_nobody_there_is_an_upstream_error() -> None:
    client = Discord("http://127.0.0.1:9/x", Upstream("discord", attempts=2, base_s=0.001))
    with pytest.raises(UpstreamError) as failed:
        await client.post("hello")
    assert failed.value.retryable
    await client.close()


async def test_alarms_are_gathered_into_one_note(
    fake: FakeDiscord, caplog: pytest.LogCaptureFixture
) -> None:
    alarms = Alarms(SecretStr(fake.url), quiet_seconds=0.05)
    job = asyncio.create_task(alarms.run())
    for n in range(3):
        alarms.raise_alarm(f"dead letter {n}")
    async with asyncio.timeout(2):
        while not fake.taken:
            await asyncio.sleep(0.01)
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)
    await alarms.close()
    assert fake.taken[0]["content"].count("dead letter") == 3
    assert [r.levelno for r in caplog.records if r.name == "jobs.alarms"] == [logging.ERROR] * 3
