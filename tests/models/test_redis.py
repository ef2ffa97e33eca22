"""The connection to Redis: our packing is the library's, byte for byte."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Connection, Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import DataError, NoScriptError
from redis.exceptions import TimeoutError as RedisTimeoutError

from models.redis import OwnLine, connect_redis

VALUES = st.one_of(
    st.binary(max_size=50), st.text(max_size=50), st.integers(-(2**63), 2**63 - 1), st.floats()
)


def ours(url: str = "redis://127.0.0.1") -> Any:
    return connect_redis(url, 3.0, cluster=False).connection_pool.make_connection()


@given(st.sampled_from(["GET", "CONFIG GET", b"SCRIPT LOAD"]), st.lists(VALUES, max_size=5))
def test_commands_are_packed_as_the_library_packs_them(name: str, args: list[Any]) -> None:
    command, theirs = (name, *args), Connection()
    assert b"".join(ours().pack_command(*command)) == b"".join(theirs.pack_command(*command))
    both = [command, ("PING",)]
    assert b"".join(ours().pack_commands(both)) == b"".join(theirs.pack_commands(both))


@pytest.mark.parametrize("value", [None, [1], {"a": 1}])
def test_what_is_no_value_is_refused(value: object) -> None:
    with pytest.raises(DataError):
        ours().pack_command("SET", "key", value)


@pytest.mark.parametrize("url", ["redis://h:1/0", "rediss://h:1/0", "unix:///tmp/s"])
def test_every_kind_of_address_is_packed(url: str) -> None:
    assert type(ours(url)).__name__.startswith("_Packed")


async def test_a_cluster_keeps_the_library_s_own_connections() -> None:
    client = connect_redis("redis://127.0.0.1:1", 1.0, cluster=True)
    assert isinstance(client, RedisCluster)
    await client.aclose()


async def test_who_reads_nothing_is_waited_for_no_longer_than_the_limit() -> None:
    gone = asyncio.Event()

    async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"+OK\r\n" * 10)  # to what a client says of itself
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0, limit=1)
    port = server.sockets[0].getsockname()[1]
    pool = connect_redis(f"redis://127.0.0.1:{port}", 0.2, cluster=False).connection_pool
    line: Any = pool.make_connection()
    try:
        await line.connect()
        with pytest.raises(RedisTimeoutError, match="writing"):
            await line.send_command("SET", "key", b"x" * 50_000_000)
        assert not line.is_connected
    finally:
        await line.disconnect()
        gone.set()
        server.close()
        await server.wait_closed()


async def test_values_come_back_as_they_were_sent(redis_url: str, redis_prefix: str) -> None:
    redis: Redis = connect_redis(redis_url, 3.0, cluster=False)
    try:
        pipe = redis.pipeline(transaction=False)
        for n, value in enumerate((b"\x00\r\n\xff", "말", 7, 1.5, b"x" * 100_000)):
            pipe.set(f"{redis_prefix}:{n}", value)
        await pipe.execute()
        found = await redis.mget([f"{redis_prefix}:{n}" for n in range(5)])
    finally:
        await redis.aclose()
    assert found == [b"\x00\r\n\xff", "말".encode(), b"7", b"1.5", b"x" * 100_000]


async def test_a_line_of_one_s_own_is_made_anew_and_never_mixes_answers_up(
    redis_url: str, redis_prefix: str
) -> None:
    redis: Redis = connect_redis(redis_url, 3.0, cluster=False)
    line = OwnLine(redis)
    try:
        await line.call("SET", redis_prefix, b"x")
        found = await asyncio.gather(*(line.call("ECHO", n) for n in range(20)))
        assert found == [b"%d" % n for n in range(20)]
        own = await line.call("CLIENT", "ID")
        await redis.client_kill_filter(_id=own)
        assert await line.call("GET", redis_prefix) == b"x"
        slow = asyncio.create_task(line.call("BLPOP", f"{redis_prefix}:none", 1))
        await asyncio.sleep(0.05)
        slow.cancel()
        await asyncio.wait({slow})
        assert await line.call("ECHO", "mine") == b"mine"
        with pytest.raises(NoScriptError):
            await line.call("EVALSHA", "0" * 40, 0)
        assert await line.call("ECHO", "again") == b"again"
    finally:
        await redis.aclose()
