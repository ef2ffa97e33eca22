"""The append script: whole or not at all, only the next number, only from the owner."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from models.play.buffer import Answer, Append, PlayBuffer, Taken
from models.play.keys import PlayKeys
from models.play.ownership import Ownership
from models.play.records import read_item
from tests.factories import ManualClock, chunk_of, event_of, redis_of, session_of


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with redis_of(redis_url) as client:
        yield client


@pytest.fixture
def keys(redis_prefix: str) -> PlayKeys:
    return PlayKeys(redis_prefix, 4)


@pytest.fixture
def buffer(redis: Redis, keys: PlayKeys) -> PlayBuffer:
    return PlayBuffer(redis, keys, 60, ManualClock())


@pytest.fixture
def owners(redis: Redis, keys: PlayKeys) -> Ownership:
    return Ownership(redis, keys, 60, ManualClock())


TOKEN = ManualClock().time_us() // 1000
"""The token of a session opened at the clock's time."""


def frames(
    session_id: str, first: int, count: int, token: int = TOKEN, seal: bool = False
) -> Append:
    item = chunk_of(session_id, first, *[b"%d" % n for n in range(first, first + count)])
    return Append(session_id, token, first, first + count - 1, seal, (item,))


async def stored(redis: Redis, keys: PlayKeys, session_id: str) -> list[str]:
    """Return the ids of the documents of a session in its stream, in order."""
    found = []
    for _, fields in await redis.xrange(keys.stream(keys.shard_of(session_id))):
        items = [read_item(field, blob) for field, blob in fields.items()]
        found += [i.document["_id"] for i in items if i.session_id == session_id]
    return found


async def test_it_takes_the_next_message_and_only_that(
    owners: Ownership, buffer: PlayBuffer, redis: Redis, keys: PlayKeys
) -> None:
    assert await owners.open("a", "kid", session_of("a")) == TOKEN
    assert not await owners.open("a", "kid", session_of("a")), "opened twice"
    assert await buffer.append([frames("a", 0, 3)]) == [Answer(Taken.TAKEN, 2)]
    assert await buffer.append([frames("a", 0, 3)]) == [Answer(Taken.MOVED, 2)], "sent again"
    assert await buffer.append([frames("a", 5, 1)]) == [Answer(Taken.MOVED, 2)], "a hole"
    assert await buffer.append([frames("a", 3, 1)]) == [Answer(Taken.TAKEN, 3)]
    assert await stored(redis, keys, "a") == ["a", "a:0", "a:3"]


async def test_it_refuses_who_does_not_own_the_session(
    owners: Ownership, buffer: PlayBuffer
) -> None:
    await owners.open("a", "kid", session_of("a"))
    assert await buffer.append([frames("a", 0, 1, token=TOKEN - 1)]) == [Answer(Taken.FENCED, -1)]
    assert await buffer.append([frames("b", 0, 1)]) == [Answer(Taken.UNKNOWN, -1)]
    assert await buffer.append([frames("a", 0, 1)]) == [Answer(Taken.TAKEN, 0)]


async def test_nothing_follows_a_seal(owners: Ownership, buffer: PlayBuffer) -> None:
    await owners.open("a", "kid", session_of("a"))
    assert await buffer.append([frames("a", 0, 2, seal=True)]) == [Answer(Taken.TAKEN, 1)]
    assert await buffer.append([frames("a", 2, 1)]) == [Answer(Taken.SEALED, 1)]


async def test_many_sessions_go_in_one_call_and_fail_alone(
    owners: Ownership, buffer: PlayBuffer, redis: Redis, keys: PlayKeys
) -> None:
    ids = [f"s{n}" for n in range(30)]
    for session_id in ids:
        await owners.open(session_id, "kid", session_of(session_id))
    appends = [frames(session_id, 7 if n == 11 else 0, 2) for n, session_id in enumerate(ids)]
    answers = await buffer.append(appends)
    assert [a.taken for a in answers] == [
        Taken.MOVED if n == 11 else Taken.TAKEN for n in range(30)
    ]
    assert await stored(redis, keys, "s11") == ["s11"]
    assert await stored(redis, keys, "s12") == ["s12", "s12:0"]


async def test_more_items_than_one_call_takes_are_split(
    owners: Ownership, buffer: PlayBuffer, redis: Redis, keys: PlayKeys
) -> None:
    await owners.open("a", "kid", session_of("a"))
    await owners.open("b", "kid", session_of("b"))
    many = tuple(event_of("a", n) for n in range(900))
    answers = await buffer.append([Append("a", TOKEN, 0, 899, False, many), frames("b", 0, 1)])
    assert [a.taken for a in answers] == [Taken.TAKEN, Taken.TAKEN]
    assert len(await stored(redis, keys, "a")) == 901


async def test_two_at_once_cannot_both_win(
    owners: Ownership, buffer: PlayBuffer, redis_url: str
) -> None:
    await owners.open("a", "kid", session_of("a"))
    answers = await asyncio.gather(*(buffer.append([frames("a", 0, 1)]) for _ in range(8)))
    assert sorted(a[0].taken for a in answers) == [Taken.MOVED] * 7 + [Taken.TAKEN]


async def test_flushed_scripts_are_loaded_again(
    owners: Ownership, buffer: PlayBuffer, redis: Redis
) -> None:
    await owners.open("a", "kid", session_of("a"))
    await redis.script_flush()
    assert await buffer.append([frames("a", 0, 1)]) == [Answer(Taken.TAKEN, 0)]


async def test_a_child_has_one_place(owners: Ownership) -> None:
    assert await owners.hold_child("kid", "a", 5000)
    assert await owners.hold_child("kid", "a", 5000), "renewing one's own"
    assert not await owners.hold_child("kid", "b", 5000)
    await owners.settle_children([], [("kid", "b")], 5000)
    assert await owners.child_holder("kid") == "a", "released by somebody else"
    await owners.settle_children([], [("kid", "a")], 5000)
    assert await owners.hold_child("kid", "b", 5000)


async def test_a_client_key_opens_one_session(owners: Ownership) -> None:
    assert await owners.claim_opening("user", "key", "first", "t1") == ("first", "t1")
    assert await owners.claim_opening("user", "key", "second", "t2") == ("first", "t1")
    assert await owners.claim_opening("other", "key", "third", "t3") == ("third", "t3")


async def test_who_takes_over_fences_the_old_owner(owners: Ownership, buffer: PlayBuffer) -> None:
    await owners.open("a", "kid", session_of("a"))
    await buffer.append([frames("a", 0, 3)])
    owned = await owners.take("a", "kid", -1, sealed=False)
    assert (owned.last, owned.stored, owned.sealed, owned.lost) == (2, -1, False, False)
    assert owned.token > TOKEN
    assert await buffer.append([frames("a", 3, 1)]) == [Answer(Taken.FENCED, 2)]
    assert await buffer.append([frames("a", 3, 1, token=owned.token)]) == [Answer(Taken.TAKEN, 3)]


async def test_what_redis_lost_is_made_up_from_mongodb(
    owners: Ownership, buffer: PlayBuffer, redis: Redis, keys: PlayKeys
) -> None:
    await owners.open("a", "kid", session_of("a"))
    await buffer.append([frames("a", 0, 3)])
    await redis.delete(keys.session("a"))
    assert await buffer.append([frames("a", 3, 1)]) == [Answer(Taken.UNKNOWN, -1)]
    owned = await owners.take("a", "kid", 1, sealed=False)
    assert (owned.last, owned.stored, owned.lost) == (1, 1, True)
    assert owned.token >= TOKEN
    sealed = await owners.take("b", "kid", 7, sealed=True)
    assert sealed.sealed


async def test_a_mark_never_lies_below_what_is_stored(
    owners: Ownership, buffer: PlayBuffer, redis: Redis, keys: PlayKeys
) -> None:
    await owners.open("a", "kid", session_of("a"))
    await buffer.append([frames("a", 0, 5)])
    await redis.hset(keys.session("a"), "last", 1)  # the last second of Redis is lost
    lost = frames("a", 5, 1)
    assert await buffer.append([lost]) == [Answer(Taken.MOVED, 1)]
    known = lost._replace(stored=4)
    assert await buffer.append([known]) == [Answer(Taken.TAKEN, 5)]


async def test_a_snapshot_is_kept_for_the_owner_alone(owners: Ownership) -> None:
    await owners.open("a", "kid", session_of("a"))
    await owners.keep_snapshots([("a", TOKEN - 1, b"old owner")])
    assert await owners.read_snapshot("a") is None
    await owners.keep_snapshots([("a", TOKEN, b"owner")])
    assert await owners.read_snapshot("a") == b"owner"


async def test_snapshots_of_several_shards_are_kept_together(
    owners: Ownership, keys: PlayKeys
) -> None:
    ids = [f"s{n}" for n in range(6)]
    assert 1 < len({keys.shard_of(session_id) for session_id in ids}) < len(ids)
    for session_id in ids:
        await owners.open(session_id, "kid", session_of(session_id))
    tokens = [TOKEN - (n == 2) for n in range(6)]  # one has another owner
    kept = [(i, token, i.encode()) for i, token in zip(ids, tokens, strict=True)]
    await owners.keep_snapshots(kept)
    found = [await owners.read_snapshot(session_id) for session_id in ids]
    assert found == [None if n == 2 else i.encode() for n, i in enumerate(ids)]


async def test_idle_sessions_are_found_and_sealed_ones_are_not(
    owners: Ownership, buffer: PlayBuffer, keys: PlayKeys
) -> None:
    await owners.open("a", "kid", session_of("a"))
    shard = keys.shard_of("a")
    assert await owners.list_idle(shard, 1000) == []
    owners._clock.move(2)  # type: ignore[attr-defined]
    assert await owners.list_idle(shard, 1000) == [("a", "kid")]
    await buffer.append([frames("a", 0, 1, seal=True)])
    assert await owners.list_idle(shard, 0) == []
